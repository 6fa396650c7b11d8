#!/usr/bin/env python3
"""Makes the stored PyTorch values that tests/torch compares with: needs torch and safetensors.

    python3 tests/torch/make_fixtures.py

writes ops.safetensors, unet_batch.safetensors and unet_instance.safetensors beside itself. Inputs are f32 numbers,
everything else is computed in f64, so that the f64 references can be held to f64 accuracy. Running it
again gives the same numbers up to the last bits of another version of PyTorch.

Tensors of ops.safetensors have the name CASE/BUFFER, with the buffers named as in kernels/src/call.rs; what a pass
updates has its old contents in CASE/BUFFER.before. All sizes of a case differ, so that no two can be mixed up.
"""

import importlib.util
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
stored: dict[str, torch.Tensor] = {}


def f32(value: float) -> float:
    """The number that a field of type f32 holds."""
    return torch.tensor(value, dtype=torch.float32).item()


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float32).double()


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float32).double()


def keep(case: str, **tensors: torch.Tensor) -> None:
    """Stores tensors; numbers that f32 holds are stored as f32. `_before` becomes `.before`."""
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        if tensor.is_floating_point():
            exact = bool((tensor.float().double() == tensor).all())
            tensor = tensor.float() if exact else tensor.double()
        else:
            tensor = tensor.to(torch.int32)
        stored[f"{case}/{name.replace('_before', '.before')}"] = tensor.clone()


def leaf(x: torch.Tensor) -> torch.Tensor:
    return x.detach().clone().requires_grad_()


def convolutions() -> None:
    for case, kernel, shape, c_out in [("3x3", 3, (2, 3, 5, 7), 4), ("1x1", 1, (3, 4, 2, 5), 6)]:
        x, weight, bias = leaf(normal(*shape)), leaf(normal(c_out, shape[1], kernel, kernel)), leaf(normal(c_out))
        y = F.conv2d(x, weight, bias, padding=kernel // 2)
        dy = normal(*y.shape)
        y.backward(dy)
        keep(f"conv2d.{case}", x=x, weight=weight, bias=bias, y=y, dy=dy, dx=x.grad, dweight=weight.grad, dbias=bias.grad)
    x, weight = normal(1, 2, 4, 3), normal(5, 2, 3, 3)
    # A network without bias hands over one unused number.
    keep("conv2d.no_bias", x=x, weight=weight, bias=normal(1), y=F.conv2d(x, weight, padding=1))

    x, weight, bias = leaf(normal(2, 5, 3, 4)), leaf(normal(5, 3, 2, 2)), leaf(normal(3))
    y = F.conv_transpose2d(x, weight, bias, stride=2)
    dy = normal(*y.shape)
    y.backward(dy)
    keep("conv_transpose2d", x=x, weight=weight, bias=bias, y=y, dy=dy, dx=x.grad, dweight=weight.grad, dbias=bias.grad)


def pooling() -> None:
    # Small integers: many maxima are not alone. Odd sides: the last row and column belong to no window.
    x = leaf(torch.randint(-2, 3, (2, 3, 5, 9)).double())
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    dy, before = normal(*y.shape), normal(*x.shape)
    y.backward(dy)
    keep("max_pool2d", x=x, y=y, indices=indices, dy=dy, dx_before=before, dx=before + x.grad)
    x = normal(3, 4, 5, 2)
    keep("global_avg_pool2d", x=x, y=F.adaptive_avg_pool2d(x, 1).flatten(1))


def normalisation() -> None:
    eps, momentum = f32(1e-3), f32(0.1)
    x, weight, bias = leaf(normal(3, 4, 2, 5) * 2 + 1), leaf(normal(4)), leaf(normal(4))
    running_mean, running_var = normal(4), uniform(4) + f32(0.5)
    before = {"running_mean_before": running_mean.clone(), "running_var_before": running_var.clone()}
    y = F.batch_norm(x, running_mean, running_var, weight, bias, True, momentum, eps)
    dy = normal(*y.shape)
    y.backward(dy)
    over = (0, 2, 3)
    keep(
        "batch_norm", x=x, weight=weight, bias=bias, mean=x.mean(over), rstd=(x.var(over, correction=0) + eps).rsqrt(),
        **before, running_mean=running_mean, running_var=running_var, y=y, dy=dy, dx=x.grad, dweight=weight.grad, dbias=bias.grad,
    )
    x, running_mean, running_var = normal(2, 5, 3, 4), normal(5), uniform(5) + f32(0.1)
    weight, bias = normal(5), normal(5)
    y = F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    keep("batch_norm.eval", x=x, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var, y=y)

    x = leaf(normal(2, 3, 5, 4) * 2 - 1)
    y = F.instance_norm(x, eps=eps)
    dy = normal(*y.shape)
    y.backward(dy)
    over = (2, 3)
    keep(
        "instance_norm", x=x, mean=x.mean(over), rstd=(x.var(over, correction=0) + eps).rsqrt(), y=y, dy=dy,
        sum_dy=dy.sum(over), sum_dy_xhat=(dy * y).sum(over), dx=x.grad,
    )


def pointwise() -> None:
    x = leaf(torch.randint(-3, 4, (53,)).double() / 2)
    y = F.relu(x)
    dy = normal(53)
    y.backward(dy)
    keep("relu", x=x, y=y, dy=dy, dx=x.grad)

    for case, rate, drop, shape in [("channel", 0.5, F.dropout2d, (3, 7, 2, 5)), ("element", 0.75, F.dropout, (2, 3, 4, 5))]:
        x = leaf(normal(*shape))
        torch.manual_seed(5)
        mask = drop(torch.ones(shape, dtype=torch.float64), rate)
        torch.manual_seed(5)
        y = drop(x, rate)
        dy = normal(*shape)
        y.backward(dy)
        assert 0 < (mask == 0).double().mean() < 1
        keep(f"dropout.{case}", x=x, mask=mask[:, :, 0, 0] if case == "channel" else mask, y=y, dy=dy, dx=x.grad)

    a, b = leaf(normal(2, 3, 4, 5)), leaf(normal(2, 1, 4, 5))
    y = torch.cat([a, b], dim=1)
    dy = normal(*y.shape)
    y.backward(dy)
    keep("concat_channels", a=a, b=b, y=y, dy=dy, da=a.grad, db=b.grad)


def classification() -> None:
    logits = leaf(normal(2, 5, 3, 4) * 4)
    p = logits.softmax(1)
    dp = normal(*p.shape)
    p.backward(dp)
    keep("softmax", logits=logits, p=p, dp=dp, dlogits=logits.grad)

    logits, class_weights = leaf(normal(3, 4, 5, 7) * 3), uniform(4) + f32(0.25)
    labels = torch.randint(0, 5, (3, 5, 7))
    labels[labels == 4] = 255
    loss = F.cross_entropy(logits, labels, class_weights, ignore_index=255)
    loss.backward()
    total = class_weights[labels[labels != 255]].sum()
    summed = F.cross_entropy(logits, labels, class_weights, ignore_index=255, reduction="sum")
    keep(
        "cross_entropy", logits=logits, labels=labels, class_weights=class_weights, partials=torch.stack([summed, total]),
        loss=torch.stack([loss.detach(), total, 1 / total]), dlogits=logits.grad,
    )


def optimiser() -> None:
    learning_rate, betas, eps = 1e-3, (f32(0.9), f32(0.999)), f32(1e-8)
    param = leaf(normal(23))
    adam = torch.optim.Adam([param], learning_rate, betas, eps)
    old = {"param_before": param.detach().clone(), "m_before": torch.zeros(23), "v_before": torch.zeros(23)}
    for t in (1, 2, 3):
        # Gradients near eps show where it is added.
        param.grad = (normal(23) * 10.0 ** -torch.arange(23).remainder(10)).float().double()
        adam.step()
        state = adam.state[param]
        new = {"param": param.detach().clone(), "m": state["exp_avg"].clone(), "v": state["exp_avg_sq"].clone()}
        step = torch.tensor([learning_rate / (1 - betas[0] ** t), 1 / math.sqrt(1 - betas[1] ** t)], dtype=torch.float64)
        keep(f"adam.{t}", grad=param.grad, step=step, **old, **new)
        old = {f"{name}_before": tensor for name, tensor in new.items()}


def entropy_of(p: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(p).sum(1)


def scores() -> None:
    p = (normal(2, 5, 3, 4) * 3).softmax(1)
    p[0, :, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])
    keep("entropy", p=p, map=entropy_of(p))
    p = p.float().double()
    keep("least_confidence", p=p, map=p.amax(1))
    passes = [(normal(3, 2, 4, 5) * 2).softmax(1) for _ in range(7)]
    sum_p, sum_entropy = sum(passes[:-1]), sum(map(entropy_of, passes[:-1]))
    after = {"sum_p": sum_p + passes[-1], "sum_entropy": sum_entropy + entropy_of(passes[-1])}
    keep("bald", p=passes[-1], sum_p_before=sum_p, sum_entropy_before=sum_entropy, **after)
    mean = torch.stack(passes).mean(0)
    of_mean = entropy_of(mean)
    keep("bald.entropy_of_mean", sum_p=after["sum_p"], map=of_mean)
    keep("bald.mutual_information", **after, map=of_mean - torch.stack([entropy_of(p) for p in passes]).mean(0))
    score_map = normal(3, 4, 7)
    keep("patch_sum", map=score_map, score=score_map.sum((1, 2)))

    p, labels = uniform(83), torch.randint(0, 3, (83,))
    labels[::11] = 255
    predicted, labelled, counted = p > 0.5, labels != 0, labels != 255
    both, either = (predicted & labelled & counted).sum(), ((predicted | labelled) & counted).sum()
    counts = torch.stack([both, (predicted & ~labelled & counted).sum(), (~predicted & labelled & counted).sum(), (~predicted & ~labelled & counted).sum()])
    keep("confusion", p=p, labels=labels, counts=counts, jaccard=both / either, dice=2 * both / (both + either))


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2


def geometry() -> None:
    a, b = normal(7, 11), normal(5, 11)
    keep("pairwise_sq_dist", a=a, b=b, sq_dist=squared_distances(a, b))
    points, centers = normal(13, 6), normal(4, 6)
    nearest = squared_distances(points, centers).min(1)
    keep("min_sq_dist", points=points, centers=centers, sq_dist=nearest.values, index=nearest.indices)
    # As if the points had other clusters before; some have the same. All 13 are in one tile.
    rolled, state = nearest.indices.roll(1), torch.tensor([3, 0])
    changes = (rolled != nearest.indices).sum().unsqueeze(0)
    keep(
        "k_means.assign", points=points, centroids=centers, state=state, assignment_before=rolled,
        sq_dist=nearest.values, assignment=nearest.indices, changes=changes,
    )
    # Nobody belongs to the last cluster: it stays where it is.
    counts = torch.bincount(nearest.indices, minlength=5).unsqueeze(1)
    before = torch.cat([centers, normal(1, 6)])
    sums = torch.zeros(5, 6, dtype=torch.float64).index_add(0, nearest.indices, points)
    centroids = torch.where(counts > 0, sums / counts.clamp(min=1), before)
    movements = ((centroids - before) ** 2).sum(1)
    keep(
        "k_means.update", points=points, assignment=nearest.indices, state=state, centroids_before=before,
        centroids=centroids, movements=movements,
    )
    # Points have changed, but the centroids hardly moved.
    movements = movements.float().double()
    limit = (2 * movements.sum()).float().unsqueeze(0)
    after = torch.tensor([4, 1])
    keep("k_means.check_convergence", changes=changes, movements=movements, limit=limit, state_before=state, state=after)

    before = uniform(13) * 12
    farthest = before.argmax()
    picks = torch.tensor([2, 9, 3, 0, 0])
    after = picks.clone()
    after[0], after[3] = 3, farthest
    after_dist = torch.minimum(before, squared_distances(points, points[farthest].unsqueeze(0)).squeeze(1))
    after_dist[farthest] = -1
    # All 13 rows are in one block.
    keep(
        "k_center_greedy.add_center", points=points, far_row=farthest.unsqueeze(0), far_sq_dist=before[farthest].unsqueeze(0),
        sq_dist_before=before, sq_dist=after_dist, next_far_row=after_dist.argmax().unsqueeze(0),
        next_far_sq_dist=after_dist.max().unsqueeze(0), picks_before=picks, picks=after,
    )


# --- One training step of the network. Weights, images, labels and masks come from formulas that the test repeats. ---

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix64(z: int) -> int:
    """SplitMix64's finalizer."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def named_bits(name: str, index: int) -> int:
    """64 bits that depend on a name (FNV-1a) and an index."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & MASK
    return mix64(key + index * GOLDEN & MASK)


def named(name: str, shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
    """Numbers in [low, high) from 24 bits each, rounded to f32."""
    unit = [(named_bits(name, i) >> 40) / 2**24 for i in range(math.prod(shape))]
    return torch.tensor([low + (high - low) * u for u in unit], dtype=torch.float64).float().double().reshape(shape)


def mask_draws(key: int, layer: int, count: int):
    """The random numbers of a sample's mask: for each 256 of them a xoshiro128++ of its own (Blackman and Vigna)."""
    for first in range(0, count, 256):
        name = layer << 32 | first // 256
        state = mix64(key ^ mix64(name + GOLDEN & MASK))
        words = []
        for _ in range(2):
            state = state + GOLDEN & MASK
            words += [mix64(state) & 0xFFFFFFFF, mix64(state) >> 32]
        for _ in range(min(256, count - first)):
            total = words[0] + words[3] & 0xFFFFFFFF
            yield ((total << 7 | total >> 25) + words[0]) & 0xFFFFFFFF
            shifted = words[1] << 9 & 0xFFFFFFFF
            words[2] ^= words[0]
            words[3] ^= words[1]
            words[1] ^= words[2]
            words[0] ^= words[3]
            words[2] ^= shifted
            words[3] = (words[3] << 11 | words[3] >> 21) & 0xFFFFFFFF


class Masked(torch.nn.Module):
    """Dropout with masks that follow from the samples' keys; nothing in evaluation."""

    def __init__(self, layer: int, keys: list[int], rate: float, element: bool):
        super().__init__()
        self.layer, self.keys, self.rate, self.element = layer, keys, rate, element

    def forward(self, x):
        if not self.training:
            return x
        shape = x.shape[1:] if self.element else (x.shape[1], 1, 1)
        threshold, scale = int(self.rate * 2**32), f32(1 / (1 - self.rate))
        masks = [[scale if bits >= threshold else 0.0 for bits in mask_draws(key, self.layer, math.prod(shape))] for key in self.keys]
        return x * torch.tensor(masks, dtype=torch.float64).reshape(-1, *shape)


def training_step(norm: str, dropout_kind: str) -> None:
    spec = importlib.util.spec_from_file_location("load_in_torch", HERE.parents[1] / "examples" / "load_in_torch.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    classes, rate, batch, side = 3, 0.25, 3, 32
    net = example.UNet(example.About(2, classes, norm, rate, dropout_kind, 0.0, 1.0)).double()

    keys = [named_bits("keys", i) for i in range(batch)]
    blocks = [f"enc{i}" for i in range(4)] + ["mid"] + [f"dec{i}" for i in range(4)]
    units = [net.get_submodule(f"{block}.{i}") for block in blocks for i in range(2)]
    for layer, unit in enumerate(units):
        unit.dropout = Masked(layer, keys, rate, dropout_kind == "element")
        unit.norm.eps = f32(1e-5)
        unit.norm.momentum = f32(0.1)
    with torch.no_grad():
        tensors = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
        for name, tensor in tensors.items():
            low, high = -0.5, 0.5
            if name.endswith("running_var") or name.endswith("norm.weight"):
                low, high = 0.5, 1.5
            elif tensor.dim() == 4:
                # The transposed convolution has its inputs first.
                fan_in = tensor.shape[0] if name.endswith("up.weight") else math.prod(tensor.shape[1:])
                high = math.sqrt(6 / fan_in)
                low = -high
            tensor.copy_(named(name, tensor.shape, low, high))

    x = named("x", (batch, 1, side, side), -2.0, 2.0)
    drawn = [named_bits("labels", i) % (classes + 1) for i in range(batch * side * side)]
    labels = torch.tensor([255 if label == classes else label for label in drawn]).reshape(batch, side, side)
    class_weights = torch.tensor([0.5, 1.25, 2.0], dtype=torch.float64)

    net.train()
    adam = torch.optim.Adam(net.parameters(), 1e-3, (f32(0.9), f32(0.999)), f32(1e-8))
    loss = F.cross_entropy(net(x), labels, class_weights, ignore_index=255)
    loss.backward()
    adam.step()
    parameters = dict(net.named_parameters())
    statistics = {k: v for k, v in net.named_buffers() if not k.endswith("num_batches_tracked")}
    net.eval()
    with torch.no_grad():
        logits = net(x)

    def few(tensors: list[torch.Tensor], count: int) -> torch.Tensor:
        """At most `count` elements of each, spread over it, and the sum of its squares."""
        parts = []
        for tensor in tensors:
            flat = tensor.detach().flatten()
            kept = min(count, flat.numel())
            parts += [flat[[k * flat.numel() // kept for k in range(kept)]], flat.square().sum().reshape(1)]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    save_file(
        {
            "loss": loss.detach().reshape(1),
            "gradients": few([p.grad for p in parameters.values()], 9),
            "parameters": few(list(parameters.values()), 9),
            "statistics": few(list(statistics.values()), 9),
            "logits": few([logits], 200),
        },
        HERE / f"unet_{norm}.safetensors",
        {"parameters": ",".join(parameters), "statistics": ",".join(statistics), "torch": torch.__version__},
    )


def cuts() -> None:
    """Patches of 3 x 4, once in each symmetry."""
    sections = normal(2, 9, 7)
    labels = torch.randint(0, 256, sections.shape)
    sites = torch.tensor([[s % 2, s % 6, (s + 2) % 4, s] for s in range(8)])

    def cut(maps: torch.Tensor) -> torch.Tensor:
        patches = []
        for z, y, x, symmetry in sites.tolist():
            turns, mirrored = symmetry % 4, symmetry >= 4
            rows, columns = (4, 3) if turns % 2 else (3, 4)
            patch = maps[z, y : y + rows, x : x + columns]
            patches.append(torch.rot90(patch.flip(-1) if mirrored else patch, turns))
        return torch.stack(patches)

    # Four labels to a word, the first in the lowest byte.
    padded = F.pad(labels.flatten(), (0, -labels.numel() % 4)).to(torch.uint8)
    packed = padded.view(torch.int32)
    keep("crop", sections=sections, packed_labels=packed, sites=sites, x=cut(sections), labels=cut(labels))


def warps() -> None:
    """Patches resampled by grid_sample, whose corners are the centres of the first and last pixels."""
    one = 1 << 14
    n, c, h, w = 3, 2, 6, 9
    x = normal(n, c, h, w)
    labels = torch.randint(0, 256, (n, h, w))
    matrices = [[15000, -4321, 3210, 12000], [-7001, 13003, -14009, -5003], [24001, 107, -211, 30011]]
    changes = [[1.25, 0.5], [0.75, -0.25], [1.0, 0.125]]
    bits = torch.tensor(changes, dtype=torch.float32).view(torch.int32).to(torch.int64)
    transforms = torch.cat([torch.tensor(matrices) % (1 << 32), bits], 1)

    def grid(matrix: list[int]) -> torch.Tensor:
        rows, columns = torch.arange(h).double() - (h - 1) / 2, torch.arange(w).double() - (w - 1) / 2
        a, b, c_, d = (entry / one for entry in matrix)
        across = torch.meshgrid(rows, columns, indexing="ij")
        y, x_ = a * across[0] + b * across[1], c_ * across[0] + d * across[1]
        return torch.stack([x_ / ((w - 1) / 2), y / ((h - 1) / 2)], -1)

    grids = torch.stack([grid(matrix) for matrix in matrices])
    options = {"padding_mode": "reflection", "align_corners": True}
    y = F.grid_sample(x, grids, mode="bilinear", **options)
    gain, offset = torch.tensor(changes, dtype=torch.float64).T
    y = gain[:, None, None, None] * y + offset[:, None, None, None]
    warped = F.grid_sample(labels[:, None].double(), grids, mode="nearest", **options)[:, 0].long()
    keep("warp", x=x, labels=labels, transforms=transforms, y=y, warped=warped)


def main() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    for make in (convolutions, pooling, normalisation, pointwise, classification, optimiser, scores, geometry, cuts, warps):
        make()
    save_file(stored, HERE / "ops.safetensors", {"torch": torch.__version__})
    training_step("batch", "channel")
    training_step("instance", "element")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""PyTorch's U-Net with askem's dropout, for a contest in which both do the same.

usage: python3 torch_equal.py PATH/TO/torch_unet.py COMMAND [OPTIONS of torch_unet.py]
       python3 torch_equal.py PATH/TO/torch_unet.py check

torch_unet.py drops single values after a few blocks. Here every convolution unit drops whole
feature maps between its normalisation and its ReLU, with the probability of --dropout, in training
and in BALD's passes. All else is torch_unet.py's: commands, options, timing, output. Where a pool
lies on the host, it lies there in pinned memory, from which PyTorch copies fastest.
`check` looks at the changed network and prints what it found.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is missing: run this with a Python that has PyTorch and NumPy")

# Of the paper's network: width 16, four poolings.
PARAMETERS = 1_942_306
UNITS = 18


class ChannelDropout(nn.Dropout):
    """Drops whole feature maps.

    An nn.Dropout, not an nn.Dropout2d: torch_unet.py turns dropout on and off by that class.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training)


def conv_block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Two times convolution, batch norm, dropout of feature maps where asked, ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        if dropout > 0:
            layers.append(ChannelDropout(dropout))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def load(path: str) -> ModuleType:
    """torch_unet.py as a module."""
    spec = importlib.util.spec_from_file_location("torch_unet", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is no Python file: give the path of torch_unet.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["torch_unet"] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        sys.exit(f"{path} is missing: give the path of torch_unet.py")
    return module


def equalise(peer: ModuleType) -> None:
    """Puts askem's dropout, and pools in pinned memory, into the module."""
    peer.conv_block = conv_block
    original, score_pool = peer.UNet, peer.score_pool
    pinned: dict[int, Tensor] = {}

    class UNet(original):
        def __init__(self, base: int, depth: int, dropout: float, _places: object) -> None:
            super().__init__(base, depth, dropout, ("encoder", "decoder"))
            deepest = base << depth
            self.bottleneck = conv_block(deepest // 2, deepest, dropout)
            self.bottleneck_dropout = nn.Identity()
            units = 2 * (2 * depth + 1) if dropout > 0 else 0
            expect("layers of dropout", dropout_layers(self), units)

    def from_pinned(scorer: object, pool: Tensor, batch: int, settings: object) -> Tensor:
        if settings.device.type == "cuda" and not pool.is_cuda:
            key = pool.data_ptr()
            if key not in pinned:
                pinned[key] = pool.pin_memory()
            pool = pinned[key]
        return score_pool(scorer, pool, batch, settings)

    peer.UNet, peer.score_pool = UNet, from_pinned


def dropout_layers(model: nn.Module) -> int:
    return sum(isinstance(module, nn.Dropout) for module in model.modules())


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        sys.exit(f"{what}: {found}, not {expected}; this torch_unet.py is built otherwise")


def check(peer: ModuleType) -> None:
    """Exits with a message if the network is not what askem trains."""
    torch.manual_seed(0)
    model = peer.UNet(16, 4, 0.25, ())
    parameters = sum(p.numel() for p in model.parameters())
    expect("parameters", parameters, PARAMETERS)
    expect("layers of dropout", dropout_layers(model), UNITS)
    blocks = [*model.down, model.bottleneck, *model.merge]
    unit = [nn.Conv2d, nn.BatchNorm2d, ChannelDropout, nn.ReLU]
    for block in blocks:
        expect("layers of a block", [type(layer) for layer in block], 2 * unit)

    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        for _ in range(3):
            model.train()(x)  # The running statistics move away from 0 and 1.
        peer.set_inference(model, monte_carlo=False)
        whole = model(x)
        expect("evaluation draws masks", torch.equal(whole, model(x)), True)
        peer.fold_batch_norm(model)
        norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        expect("batch norms after folding", norms, 0)
        close = torch.allclose(whole, model(x), rtol=1e-3, atol=1e-3)
        expect("folding keeps the output", close, True)
        peer.set_inference(model, monte_carlo=True)
        expect("passes under dropout are alike", torch.equal(model(x), model(x)), False)
        maps = blocks[0][2](torch.ones(64, 16, 8, 8)).flatten(2)
        expect("maps are dropped in part", bool((maps.amin(2) != maps.amax(2)).any()), False)
        dropped = (maps.amax(2) == 0).float().mean().item()
        expect("a quarter of the maps is dropped", abs(dropped - 0.25) < 0.05, True)
    print(json.dumps({"check": "ok", "parameters": parameters, "layers_of_dropout": UNITS}))


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    peer = load(sys.argv[1])
    equalise(peer)
    if sys.argv[2] == "check":
        check(peer)
    else:
        del sys.argv[1]
        peer.main()


if __name__ == "__main__":
    main()

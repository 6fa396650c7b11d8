#!/usr/bin/env python3
"""Opens a network that askem trained in PyTorch: needs only torch and safetensors from PyPI.

    python3 load_in_torch.py weights.safetensors
        says what the file holds
    python3 load_in_torch.py weights.safetensors images.safetensors answers.safetensors
        reads the tensor `grey` [n, h, w] (grey values as in the images, sides a multiple of 16; with
        neighbouring sections [n, sections, h, w], in order of z) and writes `logits` and `probabilities`, both [n, classes, h, w]

In a program of your own:

    from load_in_torch import load
    net, about = load("weights.safetensors")
    logits = net((grey - about.input_mean) / about.input_std)     # grey: [n, 1, h, w]

`net` is a plain torch.nn.Module in evaluation mode; net.train() makes it ready for more training, and
save(net, "weights.safetensors", "trained.safetensors") writes what became of it as a file for askem.
"""

import hashlib
import sys
from dataclasses import dataclass

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

LEVELS = 4


@dataclass
class About:
    """The metadata of a weights file."""

    width: int
    classes: int
    norm: str  # batch | instance
    dropout: float
    dropout_kind: str  # channel | element
    input_mean: float
    input_std: float
    context: int = 0  # neighbouring sections on each side, which are input channels too


class Unit(nn.Module):
    """3x3 convolution, normalisation, dropout, ReLU."""

    def __init__(self, inputs: int, outputs: int, about: About):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs) if about.norm == "batch" else nn.InstanceNorm2d(outputs)
        self.dropout = (nn.Dropout2d if about.dropout_kind == "channel" else nn.Dropout)(about.dropout)

    def forward(self, x):
        return torch.relu(self.dropout(self.norm(self.conv(x))))


class UNet(nn.Module):
    """enc0 (finest) to enc3, mid, dec0 (deepest) to dec3, head; each block is two units, 0 and 1."""

    def __init__(self, about: About):
        super().__init__()
        width = [about.width << level for level in range(LEVELS + 1)]

        def block(inputs, outputs):
            return nn.Sequential(Unit(inputs, outputs, about), Unit(outputs, outputs, about))

        for level in range(LEVELS):
            sections = 2 * about.context + 1
            self.add_module(f"enc{level}", block(width[level - 1] if level else sections, width[level]))
        self.mid = block(width[LEVELS - 1], width[LEVELS])
        for i in range(LEVELS):
            outputs = width[LEVELS - 1 - i]
            decoder = block(2 * outputs, outputs)
            decoder.add_module("up", nn.ConvTranspose2d(2 * outputs, outputs, 2, stride=2))
            self.add_module(f"dec{i}", decoder)
        self.head = nn.Conv2d(about.width, about.classes, 1)

    def forward(self, x):
        skips = []
        for level in range(LEVELS):
            x = self.get_submodule(f"enc{level}")(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.mid(x)
        for i in range(LEVELS):
            decoder = self.get_submodule(f"dec{i}")
            # The skip comes first, then what comes from below.
            x = torch.cat([skips.pop(), decoder.up(x)], dim=1)
            x = decoder[1](decoder[0](x))
        return self.head(x)


def load(path: str) -> tuple[UNet, About]:
    """The network in evaluation mode, and what is needed to feed it."""
    with safe_open(path, framework="pt") as file:
        text = file.metadata()
    known = About.__annotations__.items()
    about = About(**{name: kind(text[name]) for name, kind in known if name in text})
    net = UNet(about)
    missing, unexpected = net.load_state_dict(load_file(path), strict=False)
    # PyTorch counts batches beside the running statistics; nothing in a forward pass reads the count.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"{path}: missing tensors {missing}, unexpected tensors {unexpected}")
    return net.eval(), about


def save(net: UNet, like: str, path: str) -> None:
    """Writes a network that came from the file `like` and was trained on, so that askem reads it."""
    with safe_open(like, framework="pt") as file:
        text, names = file.metadata(), file.keys()
    tensors = net.state_dict()
    zeros = "0" * 64
    save_file({name: tensors[name].contiguous() for name in names}, path, {**text, "sha256": zeros})
    # The checksum is that of the file with zeros in the checksum's place.
    with open(path, "r+b") as file:
        whole = file.read()
        file.seek(whole.index(zeros.encode()))
        file.write(hashlib.sha256(whole).hexdigest().encode())


def main(arguments: list[str]) -> None:
    if len(arguments) not in (1, 3):
        sys.exit(__doc__)
    net, about = load(arguments[0])
    if len(arguments) == 1:
        return print(about, f"{sum(p.numel() for p in net.parameters())} parameters", sep="\n")
    grey = load_file(arguments[1])["grey"]
    if about.context == 0:
        grey = grey.unsqueeze(1)
    with torch.no_grad():
        logits = net((grey - about.input_mean) / about.input_std)
    save_file({"logits": logits, "probabilities": logits.softmax(1)}, arguments[2])


if __name__ == "__main__":
    main(sys.argv[1:])

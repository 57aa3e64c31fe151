"""Makes backbone weights for ``rs-segment train --init`` from ImageNet's MobileNetV2.

    python scripts/make_mobilenetv2_backbone.py --weights NPZ --chips CHIPS --output W.safetensors
    rs-segment train --chips CHIPS --network mask_rcnn --set options.backbone=mobilenetv2_100
        --init W.safetensors --output MODEL

The archive has torchvision's names and identity normalisations with folded biases. Here the
tensors get timm's names, the first layer takes images normalised by the chips' statistics instead
of -1 to 1, and all normalisations get the statistics of the training chips without a change of
the function (see ``engine.train.initialise``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.data.chip_folder import ChipFolder
from engine.models.blocks.backbones import timm_pyramid
from engine.train.initialise import read_npz_tensors, recalibrate_batch_norm
from engine.train.setup import Material, read_material

BACKBONE = "mobilenetv2_100"
RANGE = 127.5
PARTS = ("weight", "bias", "running_mean", "running_var")


def copy_in_order(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """Copy convolutions and normalisations in the order of their layers; returns their number.

    Raises:
        ValueError: If a layer has another shape.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    stems = [n.removesuffix(".weight") for n in weights if n.endswith(".weight")]
    stems = sorted((n for n in stems if n.startswith("features.")), key=_place)
    with torch.no_grad():
        for layer, stem in zip(layers, stems, strict=False):
            for part in PARTS:
                target = getattr(layer, part, None)
                if target is None:
                    continue
                found = weights[f"{stem}.{part}"]
                if found.shape != target.shape:
                    raise ValueError(f"{stem}.{part} is {tuple(found.shape)}, not {target.shape}")
                target.copy_(found)
    return len(layers)


def _place(name: str) -> list[int]:
    return [int(part) for part in name.split(".") if part.isdigit()]


def take_normalised_images(network: nn.Module, material: Material) -> None:
    """Let the first layers take ``(x - mean) / std`` where they took ``x / 127.5 - 1``."""
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    mean = torch.tensor([band.mean for band in material.bands])
    std = torch.tensor([band.std for band in material.bands])
    with torch.no_grad():
        offset = (first.weight.sum((2, 3)) * (mean / RANGE - 1)).sum(1)
        first.weight.mul_((std / RANGE).view(1, -1, 1, 1))
        norm.running_mean.sub_(offset)


def batches(material: Material, count: int, seed: int) -> Iterator[Tensor]:
    """Yield normalised training chips one by one, drawn with a seed."""
    data = material.dataset("train")
    order = np.random.default_rng(seed).permutation(len(data))[:count]
    for index in order:
        yield data.whole(int(index))["image"].unsqueeze(0)


def main() -> int:
    """Write the backbone's weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="NPZ of MobileNetV2")
    parser.add_argument("--chips", type=Path, required=True, help="folder of chips, three bands")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--images", type=int, default=24, help="chips to measure")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    material = read_material(ChipFolder.open(arguments.chips), "instance")
    network = timm_pyramid(BACKBONE)
    copied = copy_in_order(network, read_npz_tensors(arguments.weights))
    take_normalised_images(network, material)
    measured = batches(material, arguments.images, arguments.seed)
    changed = recalibrate_batch_norm(network, measured)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, arguments.output)
    print(f"{arguments.output}: {copied} layers copied, {changed} normalisations measured")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

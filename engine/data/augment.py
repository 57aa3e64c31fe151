"""Random changes of training chips with torchvision's transforms (v2), for any number of bands.

Image, class mask and instance masks are changed together; boxes follow from the masks. Values
are changed after normalisation, so that the strengths mean the same for 8-bit colours,
16-bit reflectances and radar. All draws come from torch's random state, which the data set seeds
for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

IGNORE_ID = 255
LEAST_INSTANCE_PX = 4
Sample = dict[str, Any]


@dataclass(frozen=True)
class AugmentOptions:
    """Strength of the changes; the fields are those of ``train.recipe.AugmentRecipe``."""

    hflip: float = 0.5
    vflip: float = 0.5
    rotate90: float = 0.75
    scale_min: float = 1.0
    scale_max: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    band_gain: float = 0.0
    noise: float = 0.0
    color_ratio: float = 0.8


class RandomQuarterTurn(v2.Transform):  # type: ignore[misc]
    """Turns by 90, 180 or 270 degrees with a probability, by the same angle for all inputs."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the number of quarter turns."""
        turned = bool(torch.rand(()) < self.probability)
        return {"turns": int(torch.randint(1, 4, ())) if turned else 0}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return one input turned."""
        return tv_tensors.wrap(torch.rot90(inpt, params["turns"], (-2, -1)), like=inpt)


class RandomScaledCrop(v2.Transform):  # type: ignore[misc]
    """Enlarges or reduces by a random ratio and cuts a crop; what is missing is unknown ground.

    Args:
        size_px: Side of the crop.
        scale_min: Smallest enlargement.
        scale_max: Largest enlargement.
    """

    def __init__(self, size_px: int, scale_min: float, scale_max: float) -> None:
        super().__init__()
        self.size_px = size_px
        self.scale_min, self.scale_max = scale_min, scale_max

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw ratio and place."""
        height, width = flat_inputs[0].shape[-2:]
        low, high = (torch.tensor(s).log() for s in (self.scale_min, self.scale_max))
        scale = float((low + (high - low) * torch.rand(())).exp())
        side = max(1, round(self.size_px / scale))
        return {"top": _place(height, side), "left": _place(width, side), "side": side}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return the crop of one input."""
        top, left, side = params["top"], params["left"], params["side"]
        fill = IGNORE_ID if isinstance(inpt, ClassMask) else 0
        cut = _crop(inpt.as_subclass(torch.Tensor), top, left, side, fill)
        if side != self.size_px:
            cut = _resize(cut, self.size_px, smooth=isinstance(inpt, tv_tensors.Image))
        return tv_tensors.wrap(cut, like=inpt)


class ClassMask(tv_tensors.Mask):  # type: ignore[misc]
    """Class ids ``[H, W]``; ground outside is unknown, not class 0."""


class RandomBandValues(v2.Transform):  # type: ignore[misc]
    """Changes brightness, contrast, saturation and the gain of each band; adds noise."""

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, options: AugmentOptions) -> None:
        super().__init__()
        self.options = options

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the changes."""
        o = self.options
        if torch.rand(()) >= o.color_ratio:
            return {}
        bands = flat_inputs[0].shape[0]
        return {
            "contrast": 1 + _about_zero(o.contrast),
            "brightness": _about_zero(o.brightness),
            "saturation": 1 + _about_zero(o.saturation),
            "gain": 1 + o.band_gain * (2 * torch.rand(bands, 1, 1) - 1),
            "noise": float(torch.rand(())) * o.noise,
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return an image with changed values."""
        if not params:
            return inpt
        x = inpt.as_subclass(torch.Tensor)
        if x.shape[0] > 1:
            mean = x.mean(dim=0, keepdim=True)
            x = torch.lerp(mean.expand_as(x), x, params["saturation"])
        center = x.mean()
        x = (x - center) * params["contrast"] + center + params["brightness"]
        x = x * params["gain"]
        if params["noise"]:
            x = x + torch.randn(x.shape) * params["noise"]
        return tv_tensors.wrap(x, like=inpt)


def make_augment(options: AugmentOptions, crop_px: int) -> v2.Compose:
    """Return the changes of one training: crop first, so that the rest is cheap."""
    return v2.Compose(
        [
            RandomScaledCrop(crop_px, options.scale_min, options.scale_max),
            v2.RandomHorizontalFlip(options.hflip),
            v2.RandomVerticalFlip(options.vflip),
            RandomQuarterTurn(options.rotate90),
            RandomBandValues(options),
        ]
    )


def instance_target(masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the target of an instance network from masks after a crop.

    Objects of which fewer than four pixels are left are dropped.

    Args:
        masks: Bool ``[n, H, W]``.
        labels: Int64 ``[n]``, from 1.

    Returns:
        ``boxes`` float ``[m, 4]`` (x0, y0, x1, y1, the far edges of the pixels), ``labels``,
        ``masks`` uint8 ``[m, H, W]``.
    """
    kept = masks.flatten(1).sum(dim=1) >= LEAST_INSTANCE_PX
    masks, labels = masks[kept], labels[kept]
    return {"boxes": boxes_of(masks), "labels": labels, "masks": masks.to(torch.uint8)}


def boxes_of(masks: Tensor) -> Tensor:
    """Return the boxes float ``[n, 4]`` of bool masks ``[n, H, W]`` that are not empty.

    The boxes reach to the far edges of the pixels: a single pixel has a box of one by one.
    """
    boxes = []
    for axis in (-2, -1):
        line = masks.any(dim=axis)
        first = line.to(torch.uint8).argmax(dim=1)
        last = line.shape[1] - line.flip(1).to(torch.uint8).argmax(dim=1)
        boxes.append((first, last))
    (x0, x1), (y0, y1) = boxes
    return torch.stack((x0, y0, x1, y1), dim=1).float()


def _place(length: int, side: int) -> int:
    """Return a random first pixel of a crop inside a length, or around one that is shorter."""
    return int(torch.randint(min(0, length - side), max(0, length - side) + 1, ()))


def _about_zero(width: float) -> float:
    return width * (2 * float(torch.rand(())) - 1)


def _crop(x: Tensor, top: int, left: int, side: int, fill: int) -> Tensor:
    """Return ``[..., side, side]``; ground outside the input gets ``fill``."""
    height, width = x.shape[-2:]
    part = x[..., max(0, top) : top + side, max(0, left) : left + side]
    missing = (
        *(max(0, -left), max(0, left + side - width)),
        *(max(0, -top), max(0, top + side - height)),
    )
    if not any(missing):
        return part
    return torch.nn.functional.pad(part, missing, value=fill)


def _resize(x: Tensor, side: int, *, smooth: bool) -> Tensor:
    if not x.numel():
        return x.new_zeros((*x.shape[:-2], side, side))
    mode = v2.InterpolationMode.BILINEAR if smooth else v2.InterpolationMode.NEAREST_EXACT
    source = x if smooth or x.dim() > 2 else x.unsqueeze(0)
    plain = source.to(torch.uint8) if source.dtype == torch.bool else source
    out = functional.resize(plain, [side, side], interpolation=mode, antialias=smooth)
    result: Tensor = out.to(x.dtype)
    return result if smooth or x.dim() > 2 else result.squeeze(0)

"""Two random views of each image crop, as momentum contrast wants them (torch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..geo.normalize import normalize
from ..zoo.card import BandSpec
from .augment import AugmentOptions, RandomBandValues, RandomQuarterTurn, RandomScaledCrop
from .sampling import Draw
from .unlabelled import ImageTile, read_tile

VIEW_SCALES = (1.0, 2.236)
BLUR_RATIO, BLUR_SIGMA_PX = 0.5, (0.1, 2.0)
_VIEW_STREAM = 5


def make_view(side_px: int) -> v2.Compose:
    """Return the changes of one view: crop of a fifth to all of the area, values, blur, turns."""
    blur = v2.GaussianBlur(kernel_size=max(3, side_px // 10 // 2 * 2 + 1), sigma=BLUR_SIGMA_PX)
    values = AugmentOptions(
        brightness=0.4, contrast=0.4, saturation=0.8, band_gain=0.2, color_ratio=0.8
    )
    return v2.Compose(
        [
            RandomScaledCrop(side_px, *VIEW_SCALES),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomVerticalFlip(0.5),
            RandomQuarterTurn(0.75),
            RandomBandValues(values),
            v2.RandomApply([blur], p=BLUR_RATIO),
        ]
    )


class ViewPairs(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Pairs of views; a :class:`engine.data.sampling.Draw` always gives the same pair.

    Args:
        tiles: Tiles of all images.
        bands: Band numbers from 1.
        specs: Normalisation.
        side_px: Side of a view.
        seed: Seed of the training.
    """

    def __init__(
        self,
        tiles: Sequence[ImageTile],
        bands: Sequence[int],
        specs: Sequence[BandSpec],
        side_px: int,
        seed: int,
    ) -> None:
        self.tiles = list(tiles)
        self.bands, self.specs = tuple(bands), tuple(specs)
        self.side_px, self.seed = side_px, seed
        self.view = make_view(side_px)

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        numbers = (self.seed, _VIEW_STREAM, draw.epoch, draw.position)
        rng = np.random.default_rng(numbers)
        pixels, valid = read_tile(self.tiles[draw.chip], self.bands, self.side_px, rng)
        image = tv_tensors.Image(torch.from_numpy(normalize(pixels, self.specs, valid)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(1 << 62)))
            first, second = self.view(image), self.view(image)
        return _plain(first), _plain(second)


def _plain(x: Tensor) -> Tensor:
    return x.as_subclass(torch.Tensor).contiguous()

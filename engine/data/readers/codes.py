"""Label images: from colours or numbers of the pixels to class ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import LabelError
from ...geo.image_file import read_codes
from ..chip_folder import IGNORE_INDEX
from .dataset import ImageLabels

Color = tuple[int, int, int]
_COLORS = 1 << 24
_THRESHOLD = 127


@dataclass(frozen=True)
class MaskCodes:
    """How pixels of label images mean classes.

    Attributes:
        by_color: Class id by colour; used for images of three bands and palettes.
        by_value: Class id by value; used for images of one band.
        snap: Whether channels are rounded to 0 or 255 first (colours blurred by compression).
        threshold: Values above this are class 1, others class 0; for grey pictures of masks.
    """

    by_color: Mapping[Color, int] | None = None
    by_value: Mapping[int, int] | None = None
    snap: bool = False
    threshold: int | None = None

    @cached_property
    def _color_table(self) -> NDArray[np.uint8]:
        table = np.full(_COLORS, IGNORE_INDEX, np.uint8)
        for (red, green, blue), class_id in (self.by_color or {}).items():
            table[red << 16 | green << 8 | blue] = class_id
        return table

    def class_ids(self, path: Path) -> NDArray[np.uint8]:
        """Return the class ids ``uint8[H, W]`` of a label image; unknown codes give 255.

        Raises:
            LabelError: If the image does not suit the codes.
            RasterReadError: If it cannot be decoded.
        """
        codes, palette = read_codes(path)
        if len(codes) >= 3 and self.by_color is not None:
            return self._of_colors(eight_bit(codes[:3], path))
        if palette and self.by_color is not None:
            table = np.array([palette.get(v, (0, 0, 0)) for v in range(256)]).T.astype(np.uint8)
            return self._of_colors(table[:, eight_bit(codes[0], path)])
        if self.threshold is not None:
            above: NDArray[np.uint8] = (codes[0] > self.threshold).astype(np.uint8)
            return above
        if self.by_value is None:
            raise LabelError(
                f"the label image {path} has {len(codes)} bands, colours were expected",
                "check that it is the right data set",
            )
        return self._of_values(codes[0])

    def _of_colors(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        if self.snap:
            codes = np.where(codes > _THRESHOLD, 255, 0)
        packed = codes.astype(np.int32)
        table: NDArray[np.uint8] = self._color_table[packed[0] << 16 | packed[1] << 8 | packed[2]]
        return table

    def _of_values(self, codes: NDArray[Any]) -> NDArray[np.uint8]:
        ids = np.full(codes.shape, IGNORE_INDEX, np.uint8)
        for value, class_id in (self.by_value or {}).items():
            ids[codes == value] = class_id
        return ids

    def loader(self, path: Path) -> MaskLoader:
        """Return what reads the labels of one image."""
        return MaskLoader(self, path)


def eight_bit(codes: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return codes of colours unchanged, once they are known to be 0 to 255.

    Raises:
        LabelError: If they are not.
    """
    least, most = codes.min(initial=0), codes.max(initial=0)
    if least < 0 or most > 255:
        raise LabelError(
            f"the label image {path} has values from {least} to {most}, colours go from 0 to 255",
            "save it with 8 bits per band",
        )
    return codes


@dataclass(frozen=True)
class MaskLoader:
    """Reads one label image, with the size of its image checked."""

    codes: MaskCodes
    path: Path

    def __call__(self, height: int, width: int) -> ImageLabels:
        """Return the labels of an image of this size."""
        mask = self.codes.class_ids(self.path)
        if mask.shape != (height, width):
            raise LabelError(
                f"the label image {self.path} has {mask.shape[0]} x {mask.shape[1]} pixels, its "
                f"image {height} x {width}",
                "label images must have the size of their images",
            )
        return ImageLabels(mask)

    def amounts(self) -> dict[int, float]:
        """Return the pixels of each class."""
        counts = np.bincount(self.codes.class_ids(self.path).ravel(), minlength=256)
        return {int(i): float(counts[i]) for i in np.flatnonzero(counts[1:IGNORE_INDEX]) + 1}


def parse_color(text: str) -> Color | None:
    """Return a colour written as ``#rrggbb``, None for anything else."""
    digits = text.strip().lstrip("#")
    if len(digits) != 6:
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    return number >> 16, number >> 8 & 255, number & 255


def color_text(color: Color) -> str:
    """Return a colour as ``#rrggbb``."""
    return "#" + "".join(f"{part:02x}" for part in color)

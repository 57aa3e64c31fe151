"""Padding of images to what a network divides by."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pad_to_multiple(images: Tensor, multiple_px: int, *, minimum_px: int = 0) -> Tensor:
    """Pad images with zeros on the right and below.

    Args:
        images: Float ``[N, C, H, W]``; zero is the mean after normalisation.
        multiple_px: The sides of the result are multiples of this.
        minimum_px: The sides of the result are at least this; itself a multiple.

    Returns:
        Float ``[N, C, H', W']``; the input itself if nothing is missing.
    """
    height, width = int(images.shape[-2]), int(images.shape[-1])
    missing_rows = _missing(height, multiple_px, minimum_px)
    missing_cols = _missing(width, multiple_px, minimum_px)
    if missing_rows == 0 and missing_cols == 0:
        return images
    return functional.pad(images, (0, missing_cols, 0, missing_rows))


def _missing(length_px: int, multiple_px: int, minimum_px: int) -> int:
    wanted = max(-(-length_px // multiple_px) * multiple_px, minimum_px)
    return wanted - length_px

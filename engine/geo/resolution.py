"""Whether a raster's resolution and data type suit a model, and what to do if not."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import RasterError
from ..zoo.card import Resolution
from .grid import Grid

MAX_ENLARGEMENT = 8.0
"""A raster this many times coarser than the model's training data holds nothing to find."""
RANGE_SLACK = 1.01
"""Map projections stretch pixels a little; that is no reason to resample."""


def plan_resolution(grid: Grid, resolution: Resolution) -> tuple[tuple[int, int] | None, str]:
    """Decide whether a raster must be resampled for a model.

    Both sides of a pixel are judged. If one is outside the model's range, both are brought
    to its nominal resolution, so that the network sees square pixels of the size that it was
    trained on; inside the range nothing is resampled.

    Args:
        grid: The part of the raster that will be segmented.
        resolution: Nominal ground sampling distance of the model and the range that works.

    Returns:
        Rows and columns to resample to, None for none; and a note for the user, empty if
        there is nothing to say.

    Raises:
        RasterError: If the raster is more than 8 times coarser than the model's data.
    """
    if not grid.crs_wkt:
        return None, (
            "the raster has no CRS, so its resolution is not known; the model expects "
            f"{_metres(resolution.nominal)} pixels"
        )
    height_m, width_m = grid.pixel_size_m
    found = _metres(grid.gsd_m)
    usable = f"{_metres(resolution.min)} to {_metres(resolution.max)}"
    low, high = resolution.min / RANGE_SLACK, resolution.max * RANGE_SLACK
    if all(low <= side <= high for side in (height_m, width_m)):
        return None, ""
    if max(height_m, width_m) > MAX_ENLARGEMENT * resolution.nominal:
        raise RasterError(
            f"the raster's pixels of {found} are too coarse for the model, which works "
            f"with {usable}",
            "choose a model for this resolution, or sharper imagery",
        )
    rows = max(1, round(grid.height * height_m / resolution.nominal))
    cols = max(1, round(grid.width * width_m / resolution.nominal))
    return (rows, cols), (
        f"the raster's pixels of {found} are outside the model's range of {usable}; "
        f"it is read at {_metres(resolution.nominal)} ({rows} x {cols} pixels)"
    )


def _metres(value_m: float) -> str:
    return f"{value_m * 100:.3g} cm" if value_m < 1 else f"{value_m:.3g} m"


def check_dtype(dtype: str, card_dtypes: Sequence[str]) -> list[str]:
    """Return warnings for a raster whose data type is not one of the model's.

    Args:
        dtype: Data type of the raster.
        card_dtypes: Data types that the model was made for; empty means any.
    """
    if not card_dtypes or dtype in card_dtypes:
        return []
    wanted = " or ".join(card_dtypes)
    if "uint8" in card_dtypes and dtype != "uint8":
        return [
            f"the raster holds {dtype} values, the model expects {wanted} (0..255): the values "
            "are used as they are, and results will be poor unless they have that range; "
            "scale the raster to 0..255 first (QGIS: Raster > Conversion > Translate, -scale)"
        ]
    return [
        f"the raster holds {dtype} values, the model expects {wanted}: the values are used as "
        "they are; scale the raster to the units that the model's card states"
    ]

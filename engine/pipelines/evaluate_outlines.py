"""Figures of a semantic evaluation: counted pixels, and outlines with their tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import JobError, LabelError
from ..evaluate.boundary import BoundaryCounts
from ..evaluate.confusion import ConfusionMatrix
from ..jobs import EvaluateJob


@dataclass(frozen=True)
class Outlines:
    """Boundary counts with their tolerance in both units; in metres None where unknown."""

    counts: BoundaryCounts
    tolerance_px: float
    tolerance_m: float | None


def boundary_counts(job: EvaluateJob, classes: int, pixel_size_m: tuple[float, float]) -> Outlines:
    """Return empty counts with the tolerance of a job.

    Args:
        job: The job.
        classes: Number of classes.
        pixel_size_m: Height and width of a pixel in metres, 0 where unknown.

    Raises:
        JobError: If the tolerance is in metres and the size of a pixel is not known.
    """
    gsd_m = math.sqrt(math.prod(pixel_size_m))
    if job.boundary_m <= 0:
        tolerance_m = job.boundary_px * gsd_m if gsd_m else None
        return Outlines(BoundaryCounts(classes, job.boundary_px), job.boundary_px, tolerance_m)
    if not gsd_m:
        raise JobError(
            f"boundary_m is {job.boundary_m:g}, but the size of a pixel in metres is not known",
            "give the tolerance in pixels",
        )
    counts = BoundaryCounts(classes, job.boundary_m, pixel_size_m)
    return Outlines(counts, job.boundary_m / gsd_m, job.boundary_m)


def semantic_figures(
    matrix: ConfusionMatrix, outlines: Outlines, names: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of counted pixels and outlines as JSON values.

    Raises:
        LabelError: If no pixel has a known class.
    """
    if not matrix.pixels:
        raise LabelError(
            "no pixel of the labels has a class that counts",
            "check the labelled area, and that labels and model have the same classes",
        )
    boundary = {
        "tolerance_px": outlines.tolerance_px,
        "tolerance_m": outlines.tolerance_m,
        **outlines.counts.metrics(names),
    }
    return {**matrix.metrics(names), "boundary": boundary, "pixels": matrix.pixels}

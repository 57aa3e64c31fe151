"""What a job for an instance model may ask for."""

from __future__ import annotations

from ..errors import JobError
from ..jobs import SegmentJob
from ..predict.plan import TilePlan

FEW_OVERLAP_PX = 32
"""Overlap below which networks see too little of an object at a seam to agree about it."""


def check_instance_job(job: SegmentJob, plan: TilePlan) -> list[str]:
    """Check a job for an instance model and return what the user should look at.

    Raises:
        JobError: If the job asks for what instances do not have, or the tiles do not overlap.
    """
    for name in ("class_raster", "score_raster"):
        if getattr(job, name):
            raise JobError(
                f"an instance model writes no {name.replace('_', ' ')}, objects may overlap",
                f"leave {name} out, and rasterise the layer 'instances' by class_id or score "
                "(GDAL, Rasterize)",
            )
    if job.tta:
        raise JobError("an instance model cannot average over flipped tiles", "leave tta out")
    tiles = len(plan.row_starts) * sum(len(panel.tile_starts) for panel in plan.panels)
    if tiles == 1 or plan.overlap_px >= FEW_OVERLAP_PX:
        return []
    if plan.overlap_px < 1:
        raise JobError(
            "tiles of an instance model must overlap, or objects at their edges stay in pieces",
            f"choose an overlap of {FEW_OVERLAP_PX} px or more",
        )
    return [
        f"an overlap of {plan.overlap_px} px is small for an instance model: objects at the edges "
        f"of tiles may come out in pieces; {FEW_OVERLAP_PX} px or more is better"
    ]

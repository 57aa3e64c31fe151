"""This engine's side of the comparison: the job of a segmentation, in a warm process."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from engine.jobs import SegmentJob
from engine.pipelines.segment import run_segment

folder, precision = Path(sys.argv[1]), sys.argv[2]
job = SegmentJob(
    raster=str(folder / "scene.tif"),
    model=str(folder / "model"),
    output=str(folder / "engine.gpkg"),
    class_raster=str(folder / "engine.tif"),
    device="cpu",
    precision=precision,
    overwrite=True,
)
for _ in range(2):  # the first one loads the network, compiles kernels and chooses the backend
    begin = time.perf_counter()
    details = run_segment(job, lambda event: None, lambda: False).details
    seconds = time.perf_counter() - begin
chosen = f"{details['backend']} {details['precision']}"
print(json.dumps({"seconds": seconds, "backend": chosen}))

"""Real segmentation on a real worker: warm, robust against a failure in between, cancelled."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.protocol import Cancelled, Failure, Progress, Result, encode_cancel, encode_run
from tests.engine.worker_client import Client
from tests.factories import SQUARE_1_M, make_raster
from tests.factories_models import write_identity_model

REAL = ("-m", "engine", "worker")


def polygons(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as database:
        return database.execute("select geom, class_id from classes order by fid").fetchall()


@pytest.mark.timeout(600)
def test_jobs_on_one_warm_worker(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 3, (1, 61, 97), dtype=np.uint8)
    raster = make_raster(tmp_path / "scene.tif", pixels, transform=SQUARE_1_M)
    large = make_raster(
        tmp_path / "large.tif", (1, 3000, 3000), transform=SQUARE_1_M, dtype="uint8"
    )
    model = write_identity_model(tmp_path / "identity", 3)
    fields = {"model": str(model), "device": "cpu", "tile_px": 32, "overlap_px": 8}

    with Client(REAL, OMP_NUM_THREADS="1") as client:

        def start(job_id: str, source: Path) -> Path:
            output = tmp_path / f"{job_id}.gpkg"
            record = {**fields, "raster": str(source), "output": str(output)}
            client.send(encode_run("segment", record, job_id))
            return output

        first = start("first", raster)
        missing = start("missing", tmp_path / "nowhere.tif")
        second = start("second", raster)
        results = [client.finish()[-1] for _ in range(3)]
        assert isinstance(results[0], Result) and isinstance(results[2], Result)
        assert isinstance(results[1], Failure)
        assert (results[1].code, results[1].id) == ("raster_read", "missing")
        assert not missing.exists()
        assert polygons(first) == polygons(second) != []
        assert results[2].seconds <= results[0].seconds

        output = start("large", large)
        while not isinstance(event := client.next(), Progress) or event.done == 0:
            assert event is not None
        client.send(encode_cancel("large"))
        assert client.finish()[-1] == Cancelled("large")
        assert not output.exists()
        assert (tmp_path / ".large.gpkg.run").is_dir()
        assert client.close() == 0

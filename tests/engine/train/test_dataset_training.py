"""Trainings and evaluations straight from data sets in their published layouts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.protocol import Event, Progress, Result
from engine.runner import run_named
from tests.engine.data.test_readers import block_mask, coco_record, colored, picture, write_json

from .jobs_for_tests import fields, train

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
OBJECTS = (
    "options.backbone=resnet18",
    "options.width=16",
    "options.hidden=16",
    "options.rois_per_image=8",
    "options.proposals=[16, 8]",
    "crop_px=0",
)
DUBAI = {1: (0x3C, 0x10, 0x98), 2: (0x84, 0x29, 0xF6)}
REAL = os.environ.get("RS_SEGMENT_DATA", "")


def dubai_tree(root: Path) -> None:
    for tile in range(1, 6):
        for part in (1, 2):
            mask = block_mask(1)
            mask[:4] = 2
            base = root / f"Tile_{tile}"
            picture(base / "images" / f"image_part_00{part}.jpg")
            picture(base / "masks" / f"image_part_00{part}.png", colored(mask, DUBAI))


def nwpu_tree(root: Path) -> None:
    names = [f"{number:03d}.jpg" for number in range(1, 51, 5)]
    for name in names:
        picture(root / "images" / name)
    write_json(root / "annotations.json", coco_record(names))


def hrsid_tree(root: Path) -> None:
    for split, numbers in (("train", range(6)), ("test", range(6, 8))):
        names = [f"P{number:04d}_0_800.jpg" for number in numbers]
        for name in names:
            picture(root / "JPEGImages" / name)
        write_json(root / "annotations" / f"{split}2017.json", coco_record(names))


TREES = {"dubai": dubai_tree, "nwpu_vhr10": nwpu_tree, "hrsid": hrsid_tree}


def record_for(folder: Path, dataset: str, root: Path, **changes: Any) -> dict[str, Any]:
    """Return a small job on a data set: pixels for Dubai, objects for the others."""
    record = fields(folder, chips="", dataset=dataset, root=str(root), epochs=1, **changes)
    if dataset != "dubai":
        record.update(network="mask_rcnn", options=(*OBJECTS, *changes.get("options", ())))
    return record


@pytest.mark.parametrize("dataset", list(TREES))
def test_a_data_set_is_cut_learnt_and_measured(dataset: str, tmp_path: Path) -> None:
    TREES[dataset](tmp_path / "data")
    events: list[Event] = []
    final = train(record_for(tmp_path, dataset, tmp_path / "data"), events=events)
    assert isinstance(final, Result), final
    stages = [e.stage for e in events if isinstance(e, Progress)]
    assert stages.index("chips") < stages.index("train")
    card = final.details["card"]
    assert card["task"] == ("semantic" if dataset == "dubai" else "instance")
    assert card["training"]["splits"]["train"] > card["training"]["splits"]["val"] > 0
    measured = {
        "model": str(tmp_path / "model"),
        "dataset": dataset,
        "root": str(tmp_path / "data"),
        "output": str(tmp_path / "metrics.json"),
        "device": "cpu",
    }
    result = run_named("evaluate", measured, lambda e: None, lambda: False)
    assert isinstance(result, Result), result
    again = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    trained = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))["test"]
    if dataset == "dubai":
        assert np.sum(again["confusion"]) == np.sum(trained["confusion"]) > 0
    else:
        assert again["classes"][0]["truth"] == trained["classes"][0]["truth"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not REAL, reason="RS_SEGMENT_DATA names no folder of data sets")
@pytest.mark.parametrize(
    ("dataset", "folder"), [("dubai", "dubai_landcover"), ("hrsid", "hrsid_sar_ships")]
)
def test_real_data_sets_train(dataset: str, folder: str, tmp_path: Path) -> None:
    root = Path(REAL) / folder
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    record = record_for(tmp_path, dataset, root)
    record["options"] = (*record["options"], "crop_px=128")
    final = train({**record, "batch": 4, "max_minutes": 0.2})
    assert isinstance(final, Result), final
    assert final.counts["steps"] > 0

"""Two chips are learnt by heart, through the whole job: data, loop, checkpoint, publishing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.protocol import Result

from .chips_for_tests import write_chips
from .jobs_for_tests import fields, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STILL = (
    "augment.hflip=0",
    "augment.vflip=0",
    "augment.rotate90=0",
    "augment.color_ratio=0",
    "augment.scale_min=1",
    "augment.scale_max=1",
    "log_steps=20",
    "checkpoint_steps=1000",
    "repeat=20",
    "ema_decay=0",
)


def learnt(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the figures of two training chips after a training on them."""
    record = fields(folder, **changes)
    final = train(record)
    assert isinstance(final, Result), final
    rows = [e for e in json.loads(json.dumps(final.details))["card"]["metrics"]]
    return {row["name"]: row["value"] for row in rows}


def test_a_semantic_network(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 2, "val": 2}, side_px=48)
    path = tmp_path / "chips" / "chips.json"
    _same_chips_for_validation(path)
    options = (*fields(tmp_path)["options"][:3], *STILL, "optimizer.lr=0.005")
    found = learnt(tmp_path, options=options, epochs=4)
    assert found["object iou"] > 0.95


def test_an_instance_network(tmp_path: Path) -> None:
    write_chips(tmp_path / "chips", {"train": 2, "val": 2}, side_px=96)
    _same_chips_for_validation(tmp_path / "chips" / "chips.json")
    options = (
        "options.backbone=resnet18",
        "options.width=64",
        "options.hidden=128",
        "options.rois_per_image=32",
        "options.proposals=[64, 32]",
        *STILL,
        "optimizer.lr=0.002",
    )
    found = learnt(tmp_path, network="mask_rcnn", options=options, epochs=5)
    assert found["mask AP"] > 0.9


def _same_chips_for_validation(path: Path) -> None:
    """Let the val chips be the train chips, so that what is measured is what was learnt."""
    record = json.loads(path.read_text(encoding="utf-8"))
    train_chips = [c for c in record["chips"] if c["split"] == "train"]
    record["chips"] = train_chips + [{**c, "split": "val"} for c in train_chips]
    path.write_text(json.dumps(record), encoding="utf-8")

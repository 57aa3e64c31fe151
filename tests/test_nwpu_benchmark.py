"""The smaller copy of a data set keeps its objects; outlines are drawn without the images."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_half_the_resolution_is_a_quarter_of_the_area(load, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pixels = np.zeros((30, 45, 3), np.uint8)
    pixels[:, 20:] = 200
    Image.fromarray(pixels).save(tmp_path / "images" / "007.jpg", quality=100)
    ring = [4.0, 6.0, 24.0, 6.0, 24.0, 16.0, 4.0, 16.0]
    record = {
        "images": [{"id": 3, "file_name": "007.jpg", "width": 45, "height": 30}],
        "annotations": [
            {"id": 1, "image_id": 3, "segmentation": [ring], "bbox": [4, 6, 20, 10], "area": 200.0}
        ],
        "categories": [{"id": 1, "name": "ship"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(record))
    load("nwpu").shrink(tmp_path, tmp_path / "half", 0.5)
    half = json.loads((tmp_path / "half" / "annotations.json").read_text())
    (info,), (found,) = half["images"], half["annotations"]
    with Image.open(tmp_path / "half" / "images" / "007.jpg") as image:
        assert image.size == (info["width"], info["height"]) == (22, 15)
        smaller = np.asarray(image)
    assert smaller[:, :9].max() < 20 and smaller[:, 11:].min() > 180
    assert found["segmentation"] == [[v / 2 for v in ring]]
    assert found["bbox"] == [2, 3, 10, 5] and found["area"] == 50.0


def test_pictures_show_outlines_and_nothing_else(load, tmp_path: Path) -> None:
    draw = load("_instance_picture").draw_outlines
    masks = np.zeros((1, 24, 31), bool)
    masks[0, 5:12, 8:31] = True
    truth = {"labels": [2], "masks": masks}
    nothing = {"labels": [], "scores": [], "masks": masks[:0]}
    sure = {"labels": [2], "scores": [0.9], "masks": masks}
    colored = []
    for name, found in (("nothing", nothing), ("sure", sure)):
        draw(tmp_path / f"{name}.png", [truth], [found], ["plane", "ship"])
        with Image.open(tmp_path / f"{name}.png") as image:
            values = np.asarray(image.convert("RGB")).astype(int)
        colored.append(int((np.ptp(values, axis=2) > 60).sum()))
    assert colored[0] == 0 < colored[1]

"""Folders of chips: many processes, damaged files, broken descriptions."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.data.chip_folder import ChipFolder
from engine.errors import LabelError, RasterReadError
from tests.factories import random_pixels
from tests.factories_chips import make_chips, simple_job


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> ChipFolder:
    return make_chips(simple_job(tmp_path_factory.mktemp("chips")))[0]


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    for file in folder.path.rglob("*"):
        if file.is_file():
            target = tmp_path / file.relative_to(folder.path)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    return tmp_path


def _wrong_chips(folder: ChipFolder, seed: int) -> int:
    """Read all chips several times in an order of its own; count those that are not right."""
    whole, wrong = random_pixels((3, 120, 160)), 0
    order = np.random.default_rng(seed).permutation(np.tile(np.arange(len(folder.chips())), 10))
    for index in order:
        chip = folder.chips()[index]
        rows = slice(chip.row_off, chip.row_off + chip.height_px)
        truth = whole[:, rows, chip.col_off : chip.col_off + chip.width_px]
        wrong += not np.array_equal(folder.read_image(chip), truth)
        masks, _, _ = folder.read_instances(chip)
        wrong += not np.array_equal(masks.any(axis=0), folder.read_mask(chip) == 1)
    return wrong


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_many_processes_read_no_wrong_chip(method, folder):
    """The folder was read here before the processes start, so open handles would be shared."""
    assert _wrong_chips(folder, 0) == 0
    workers = 8 if method == "fork" else 2
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        assert sum(pool.map(_wrong_chips, [folder] * workers, range(workers))) == 0


def test_parts(folder):
    assert len(folder.chips()) == sum(len(folder.chips(s)) for s in ("train", "val", "test"))
    with pytest.raises(LabelError, match="no split 'valid'"):
        folder.chips("valid")


def test_no_folder_and_other_files_are_explained(tmp_path):
    with pytest.raises(LabelError, match=r"has no chips\.json") as error:
        ChipFolder.open(tmp_path)
    assert "rs-segment chips" in error.value.hint
    (tmp_path / "chips.json").write_text('{"format": "else"}')
    with pytest.raises(LabelError, match="does not describe chips"):
        ChipFolder.open(tmp_path)
    (tmp_path / "chips.json").write_text("{")
    with pytest.raises(LabelError, match="cannot be read"):
        ChipFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has version 2, this engine reads 1"),
        ({"chips": [{"name": "x"}]}, "is damaged"),
        ({"bands": None}, "is damaged"),
    ],
)
def test_broken_descriptions(change, message, copy):
    record = json.loads((copy / "chips.json").read_text())
    (copy / "chips.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(LabelError, match=message):
        ChipFolder.open(copy)


def test_unreadable_chips_are_named(copy):
    folder = ChipFolder.open(copy)
    first, second = folder.chips()[:2]
    (copy / first.image_file).unlink()
    (copy / first.mask_file).write_bytes(b"")
    (copy / second.image_file).write_bytes((copy / second.image_file).read_bytes()[:900])
    (copy / second.mask_file).write_bytes((copy / folder.chips()[-1].image_file).read_bytes())
    for read in (folder.read_image, folder.read_mask):
        for chip in (first, second):
            with pytest.raises(RasterReadError, match=chip.name) as error:
                read(chip)
            assert "make the chips again" in error.value.hint


def test_broken_annotations(copy):
    folder = ChipFolder.open(copy)
    chip = next(c for c in folder.chips() if c.instances)
    (copy / "annotations.json").write_text("{}")
    with pytest.raises(LabelError, match="annotations"):
        folder.coco()
    (copy / "annotations.json").unlink()
    with pytest.raises(LabelError, match="annotations"):
        folder.read_instances(chip)

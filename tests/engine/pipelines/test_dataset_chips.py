"""Chips of data sets: parts, tiles, objects, and the round trip of our own COCO files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.errors import JobError, LabelError, RasterError
from engine.jobs import ChipsJob
from tests.engine.data.test_readers import SHAPE, block_mask, coco_record, picture, write_json
from tests.factories_chips import make_chips, mosaic, simple_job

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def dataset_job(tmp_path: Path, name: str, **fields) -> ChipsJob:
    record = {"output": str(tmp_path / "out"), "dataset": name, "root": str(tmp_path / "in")}
    return ChipsJob.from_dict({**record, **fields})


def mask_tree(root: Path, count: int = 20) -> None:
    for i in range(count):
        picture(root / "images" / f"{i}.png")
        picture(root / "masks" / f"{i}.png", block_mask(255 if i % 2 else 0))


def test_images_are_shared_out_in_balance(tmp_path):
    mask_tree(tmp_path / "in")
    folder, result, _ = make_chips(dataset_job(tmp_path, "masks", split=[50, 25, 25]))
    assert (
        folder.record["splits"] == {"train": 10, "val": 5, "test": 5} and folder.task == "semantic"
    )
    full = {s: sum(1 in c.class_pixels for c in folder.chips(s)) for s in folder.record["splits"]}
    assert full["train"] == 5 and full["val"] in (2, 3)
    assert result.details["leak_check"]["shared_pixels"] == 0
    chip = next(c for c in folder.chips() if c.name == "1")
    assert np.array_equal(folder.read_mask(chip), block_mask(1))
    assert folder.read_instances(chip)[0].shape == (0, *SHAPE)


def test_large_images_are_cut_into_equal_tiles(tmp_path):
    picture(tmp_path / "in" / "images" / "a.png")
    write_json(tmp_path / "in" / "annotations.json", coco_record(["a.png"]))
    folder, _, warnings = make_chips(
        dataset_job(tmp_path, "coco", tile_px=16, overlap_px=4, split=[100, 0, 0])
    )
    assert {(c.height_px, c.width_px) for c in folder.chips()} == {(16, 16)}
    assert sorted({c.col_off for c in folder.chips()}) == [0, 12, 14]
    assert np.array_equal(mosaic(folder, SHAPE), block_mask(1)) and not warnings


def test_official_parts_are_kept_and_val_comes_from_train(tmp_path):
    for split, count in (("train", 10), ("test", 3)):
        names = [f"{split}{i}.jpg" for i in range(count)]
        for name in names:
            picture(tmp_path / "in" / "images" / name)
        write_json(tmp_path / "in" / "annotations" / f"{split}.json", coco_record(names))
    folder, _, _ = make_chips(dataset_job(tmp_path, "ssdd", split=[80, 20, 0]))
    assert folder.record["splits"] == {"train": 8, "val": 2, "test": 3}
    assert all(c.name.startswith("test") for c in folder.chips("test"))
    assert "official" in folder.record["split"]["by"] and folder.record["licenses"]["data"]


def test_own_chips_come_back_through_coco(tmp_path):
    """COCO written, read as a data set, written again: equal masks, objects and parts."""
    first, _, _ = make_chips(simple_job(tmp_path / "in"))
    shutil.move(first.path, tmp_path / "moved")
    second, _, _ = make_chips(dataset_job(tmp_path, "coco", root=str(tmp_path / "moved")))
    before = {c.name: c for c in first.chips()}
    first = type(first).open(tmp_path / "moved")
    assert {c.name: c.split for c in second.chips()} == {c.name: c.split for c in first.chips()}
    for chip in second.chips():
        old = before[chip.name]
        assert np.array_equal(second.read_image(chip), first.read_image(old))
        assert np.array_equal(second.read_mask(chip), first.read_mask(old))
        for new, was in zip(second.read_instances(chip), first.read_instances(old), strict=True):
            assert np.array_equal(new, was)
    assert second.gsd_m == pytest.approx(1.0, rel=0.01), "chips keep their place on the map"


def test_grey_and_colour_images_and_bands(tmp_path):
    mask_tree(tmp_path / "in", 4)
    picture(tmp_path / "in" / "images" / "0.png", block_mask(9))
    folder, _, warnings = make_chips(dataset_job(tmp_path, "masks", bands=[3, 1]))
    assert len(folder.bands) == 2 and any("grey and colour" in text for text in warnings)
    grey = folder.read_image(next(c for c in folder.chips() if c.name == "0"))
    assert np.array_equal(grey[0], block_mask(9)) and np.array_equal(grey[0], grey[1])
    with pytest.raises(JobError, match="no band 4"):
        make_chips(dataset_job(tmp_path, "masks", bands=[4], overwrite=True))
    (tmp_path / "in" / "images" / "0.png").unlink()
    picture(tmp_path / "in" / "images" / "0.tif", np.zeros((2, *SHAPE), np.uint8))
    with pytest.raises(RasterError, match="different numbers of bands"):
        make_chips(dataset_job(tmp_path, "masks", overwrite=True))


def test_label_images_of_another_size_are_refused(tmp_path):
    mask_tree(tmp_path / "in", 4)
    picture(tmp_path / "in" / "images" / "2.png", shape=(40, 60))
    with pytest.raises(LabelError, match=r"2\.png has 20 x 30 pixels, its image 40 x 60"):
        make_chips(dataset_job(tmp_path, "masks"))


REAL = os.environ.get("RS_SEGMENT_DATA", "")


@pytest.mark.skipif(not REAL, reason="RS_SEGMENT_DATA names no folder of data sets")
@pytest.mark.parametrize(
    ("name", "folder", "chips", "instances"),
    [("hrsid", "hrsid_sar_ships", 26, 48), ("masks", "gsi_japan_roads", 36, 0)],
)
def test_real_data_sets(name, folder, chips, instances, tmp_path):
    root = Path(REAL) / folder
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    _, result, _ = make_chips(dataset_job(tmp_path, name, root=str(root)))
    assert (result.counts["chips"], result.counts["instances"]) == (chips, instances)
    assert result.details["leak_check"]["shared_pixels"] == 0

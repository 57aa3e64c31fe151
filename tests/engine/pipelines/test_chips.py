"""Chips of labelled rasters: nothing lost, nothing shared, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shapely

from engine.data.chip_folder import ChipFolder
from engine.data.rle import decode_mask
from engine.errors import DiskError, JobCancelled, JobError, LabelError, RasterError
from tests.factories import (
    DEGREES,
    NORTH_UP_2X1_M,
    ROTATED_1_M,
    SQUARE_1_M,
    make_polygons,
    make_raster,
    random_pixels,
)
from tests.factories_chips import (
    digest,
    make_chips,
    make_labels,
    mosaic,
    on_map,
    simple_job,
    squares,
)

SPLITS = ("train", "val", "test")


def footprints(folder: ChipFolder, split: str) -> np.ndarray:
    hits = np.zeros((120, 160), np.int32)
    for chip in folder.chips(split):
        rows = slice(chip.row_off, chip.row_off + chip.height_px)
        hits[rows, chip.col_off : chip.col_off + chip.width_px] += 1
    return hits


def test_every_pixel_is_in_one_chip_and_one_part(tmp_path):
    job = simple_job(tmp_path)
    folder, result, warnings = make_chips(job)
    hits = {split: footprints(folder, split) for split in SPLITS}
    assert (sum(hits.values()) == 1).all()
    assert all((h.sum() > 0) for h in hits.values()) and not warnings
    assert result.details["leak_check"] == {"shared_pixels": 0, "smallest_distance_m": 0.0}
    truth = np.zeros((120, 160), np.uint8)
    for row in range(4, 113, 20):
        for col in range(5, 153, 20):
            truth[row : row + 7, col : col + 7] = 1
    assert np.array_equal(mosaic(folder, (120, 160)), truth), "labelled pixels are conserved"
    counted = {s: sum(c.class_pixels.get(1, 0) for c in folder.chips(s)) for s in SPLITS}
    assert sum(counted.values()) == truth.sum()
    assert counted == {s: result.details["class_pixels"][s]["1"] for s in SPLITS}


def test_images_masks_objects_and_statistics_agree(tmp_path):
    job = simple_job(tmp_path, (4, 120, 160), dtype="uint16")
    folder, _, _ = make_chips(job)
    whole = random_pixels((4, 120, 160), "uint16")
    train = []
    for chip in folder.chips():
        rows = slice(chip.row_off, chip.row_off + chip.height_px)
        cols = slice(chip.col_off, chip.col_off + chip.width_px)
        image = folder.read_image(chip)
        assert image.dtype == np.uint16 and np.array_equal(image, whole[:, rows, cols])
        masks, ids, crowd = folder.read_instances(chip)
        assert np.array_equal(masks.any(axis=0), folder.read_mask(chip) == 1)
        assert chip.instances == int((~crowd).sum()) and set(ids) <= {1}
        train += [image.reshape(4, -1)] if chip.split == "train" else []
    pixels = np.concatenate(train, axis=1).astype(np.float64)
    assert [band.mean for band in folder.bands] == pytest.approx(pixels.mean(axis=1))
    assert [band.std for band in folder.bands] == pytest.approx(pixels.std(axis=1))
    assert [band.max for band in folder.bands] == pixels.max(axis=1).tolist()


def test_coco_file_gives_the_masks(tmp_path):
    folder, _, _ = make_chips(simple_job(tmp_path))
    record = folder.coco("train")
    assert {i["split"] for i in record["images"]} == {"train"}
    assert record["categories"] == [{"id": 1, "name": "object", "supercategory": ""}]
    by_file = {chip.image_file: chip for chip in folder.chips("train")}
    for image in record["images"]:
        found = [a for a in record["annotations"] if a["image_id"] == image["id"]]
        chip = by_file[image["file_name"]]
        masks, _, crowd = folder.read_instances(chip)
        assert len(found) == len(masks)
        for annotation, mask in zip(found, masks, strict=True):
            assert np.array_equal(decode_mask(annotation["segmentation"]), mask)
            assert annotation["area"] == mask.sum()
        assert [bool(a["iscrowd"]) for a in found] == crowd.tolist()
    assert len({a["id"] for a in folder.coco()["annotations"]}) == len(folder.coco()["annotations"])


def test_buffer_keeps_parts_apart(tmp_path):
    job = simple_job(tmp_path, buffer_m=6.0, block_m=40.0, tile_px=20)
    folder, result, _ = make_chips(job)
    assert result.details["leak_check"]["smallest_distance_m"] >= 5.99
    parts = [shapely.union_all([_box(c) for c in folder.chips(s)]) for s in SPLITS]
    assert min(parts[i].distance(parts[j]) for i, j in ((0, 1), (1, 2), (0, 2))) >= 6


def _box(chip) -> shapely.Polygon:
    return shapely.box(
        chip.col_off, chip.row_off, chip.col_off + chip.width_px, chip.row_off + chip.height_px
    )


@pytest.mark.parametrize(
    ("transform", "crs", "bands"),
    [
        (NORTH_UP_2X1_M, "EPSG:32645", 13),
        (ROTATED_1_M, "EPSG:32645", 1),
        (DEGREES, "EPSG:4326", 3),
    ],
)
def test_odd_rasters(transform, crs, bands, tmp_path):
    """37 x 61 pixels, smaller than a tile: all parts have ground, labels lie where they should."""
    job = simple_job(tmp_path, (bands, 37, 61), transform=transform, crs=crs, dtype="int16")
    folder, result, _ = make_chips(job)
    assert min(result.counts[s] for s in SPLITS) >= 1 and len(folder.bands) == bands
    found = mosaic(folder, (37, 61))
    truth = np.zeros((37, 61), np.uint8)
    for row in range(4, 30, 20):
        for col in range(5, 54, 20):
            truth[row : row + 7, col : col + 7] = 1
    assert np.array_equal(found, truth)
    assert result.details["leak_check"]["shared_pixels"] == 0
    assert folder.gsd_m == pytest.approx({13: 2**0.5, 1: 1.0, 3: 0.131}[bands], rel=0.01)


def test_nodata_area_and_ignored_ground_are_unknown(tmp_path):
    pixels = random_pixels((2, 60, 80), "int16")
    pixels[:, :, :9] = -9999
    job = simple_job(tmp_path, (2, 60, 80))
    make_raster(tmp_path / "scene.tif", pixels, transform=SQUARE_1_M, nodata=-9999)
    aoi = make_polygons(tmp_path / "aoi.gpkg", [on_map(SQUARE_1_M, 0, 0, 80, 50)])
    ignore = make_polygons(tmp_path / "ignore.gpkg", [on_map(SQUARE_1_M, 40, 20, 60, 30)])
    job = simple_job_with(job, aoi=str(aoi), ignore=str(ignore))
    folder, _, _ = make_chips(job)
    found = mosaic(folder, (60, 80))
    known = np.zeros((60, 80), dtype=bool)
    known[:50, 9:] = True
    known[20:30, 40:60] = False
    assert np.array_equal((found == 0) | (found == 1), known)
    chips = [c for c in folder.chips() if c.col_off == 0 and c.valid_ratio < 1]
    assert chips
    for chip in chips:
        assert np.array_equal(folder.read_valid(chip)[0], np.arange(chip.width_px) >= 9)
    assert min(band.min for band in folder.bands) > -9999, "nodata does not enter statistics"


def test_ground_without_data_is_not_shared_out(tmp_path):
    """Only a corner of the raster holds data: all parts get some of it."""
    pixels = random_pixels((1, 320, 320))
    pixels[:] = np.where(pixels == 0, 1, pixels)
    pixels[:, 128:], pixels[:, :, 64:] = 0, 0
    job = simple_job(tmp_path, (1, 320, 320), split=[40, 30, 30])
    make_raster(tmp_path / "scene.tif", pixels, transform=SQUARE_1_M, nodata=0)
    make_labels(tmp_path / "labels.gpkg", [on_map(SQUARE_1_M, 300, 300, 310, 310)])
    folder, result, _ = make_chips(job)
    assert min(result.counts[split] for split in SPLITS) >= 1
    assert sum(c.valid_ratio * c.height_px * c.width_px for c in folder.chips()) == 64 * 128


def test_a_full_disk_is_told_and_the_work_is_kept(tmp_path, monkeypatch):
    job = simple_job(tmp_path)
    written = Path.write_bytes
    calls = iter(range(1000))

    def full(path: Path, data: bytes) -> int:
        if next(calls) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskError, match="No space left"):
        make_chips(job)
    monkeypatch.undo()
    assert len((tmp_path / "chips.partial" / "journal.jsonl").read_text().splitlines()) == 10
    assert make_chips(simple_job_with(job, resume=True))[0].chips()


def simple_job_with(job, **fields):
    return type(job).from_dict({**job.to_dict(), **fields})


def test_classes_colours_missing_values_and_sparse_labels(tmp_path):
    polygons = [*squares(SQUARE_1_M, 120, 160)]
    values = ["tree", "roof", None, ""] * (len(polygons) // 4)
    job = simple_job(tmp_path)
    make_labels(tmp_path / "labels.gpkg", polygons[: len(values)], values)
    job = simple_job_with(
        job, class_field="kind", background=False, colors=["roof=#E6550D"], empty_ratio=0.5
    )
    folder, _, warnings = make_chips(job)
    assert [(c.id, c.name) for c in folder.classes] == [(1, "roof"), (2, "tree")]
    assert folder.classes[0].color == "#e6550d" and folder.classes[1].color.startswith("#")
    found = mosaic(folder, (120, 160))
    assert set(np.unique(found)) <= {1, 2, 254, 255}
    assert (found == 1).sum() == (found == 2).sum() == len(values) // 4 * 49
    assert any(f"{len(values) // 2} polygons have no class" in text for text in warnings)


def test_numbers_are_class_names_without_decimals_and_chosen_classes_keep_their_order(tmp_path):
    polygons = squares(SQUARE_1_M, 120, 160)
    job = simple_job(tmp_path)
    make_labels(tmp_path / "labels.gpkg", polygons, [float(i % 3) for i in range(len(polygons))])
    job = simple_job_with(job, class_field="kind", classes=["2", "1"])
    folder, _, warnings = make_chips(job)
    assert [c.name for c in folder.classes] == ["background", "2", "1"]
    assert any("no class of this training" in text for text in warnings), "class 0 is ignored"
    with pytest.raises(LabelError, match=r"no polygon .* has the class 'x'") as error:
        make_chips(simple_job_with(job, classes=["x"], overwrite=True))
    assert "0, 1, 2" in error.value.hint


def test_self_crossing_polygons_are_mended(tmp_path):
    job = simple_job(tmp_path)
    bow = shapely.Polygon([SQUARE_1_M @ p for p in ((10, 10), (30, 30), (30, 10), (10, 30))])
    make_labels(tmp_path / "labels.gpkg", [bow])
    folder, _, _ = make_chips(job)
    assert 180 <= (mosaic(folder, (120, 160)) == 1).sum() <= 220, "two triangles of 100 pixels"


def test_other_resolution_and_several_rasters(tmp_path):
    job = simple_job(tmp_path, (1, 60, 80), transform=NORTH_UP_2X1_M)
    second = SQUARE_1_M @ SQUARE_1_M.translation(500, 0)
    make_raster(tmp_path / "b.tif", (1, 120, 160), transform=second)
    labels = [*squares(NORTH_UP_2X1_M, 60, 80), *squares(second, 120, 160)]
    make_labels(tmp_path / "labels.gpkg", labels)
    rasters = [str(tmp_path / "scene.tif"), str(tmp_path / "b.tif")]
    folder, result, _ = make_chips(simple_job_with(job, rasters=rasters, gsd_m=2.0))
    assert folder.gsd_m == 2.0 and len(folder.record["sources"]) == 2
    for source, shape in ((0, (30, 80)), (1, (60, 80))):
        own = mosaic(folder, shape, source)
        assert (own < 254).all(), "all ground is there at 2 m"
    assert result.details["leak_check"]["shared_pixels"] == 0


def test_rasters_of_the_same_ground_do_not_leak(tmp_path):
    job = simple_job(tmp_path)
    make_raster(
        tmp_path / "b.tif", (3, 120, 160), transform=SQUARE_1_M @ SQUARE_1_M.translation(13, 7)
    )
    rasters = [*job.rasters, str(tmp_path / "b.tif")]
    folder, result, warnings = make_chips(simple_job_with(job, rasters=rasters))
    assert result.details["leak_check"]["shared_pixels"] == 0
    assert any("another raster shows their ground" in text for text in warnings)
    assert {chip.source for chip in folder.chips()} == {0, 1}


def test_two_dates_of_one_place_are_split_alike(tmp_path):
    job = simple_job(tmp_path)
    make_raster(tmp_path / "b.tif", (3, 120, 160), transform=SQUARE_1_M, seed=1)
    rasters = [*job.rasters, str(tmp_path / "b.tif")]
    folder, result, warnings = make_chips(simple_job_with(job, rasters=rasters))
    assert not warnings and result.details["leak_check"]["shared_pixels"] == 0
    parts = [
        {(c.row_off, c.col_off): c.split for c in folder.chips() if c.source == s} for s in (0, 1)
    ]
    assert parts[0] == parts[1] and set(parts[0].values()) == set(SPLITS)


def test_whole_rasters_as_parts(tmp_path):
    job = simple_job(tmp_path)
    rasters = []
    polygons = []
    for i in range(4):
        place = SQUARE_1_M @ SQUARE_1_M.translation(300 * i, 0)
        rasters.append(str(make_raster(tmp_path / f"r{i}.tif", (3, 50, 60), transform=place)))
        polygons += squares(place, 50, 60)
    make_labels(tmp_path / "labels.gpkg", polygons)
    folder, _, _ = make_chips(
        simple_job_with(job, rasters=rasters, split_by="raster", split=[50, 25, 25])
    )
    parts = {
        c.source: {d.split for d in folder.chips() if d.source == c.source} for c in folder.chips()
    }
    assert all(len(found) == 1 for found in parts.values())
    assert sorted(next(iter(found)) for found in parts.values()) == [
        "test",
        "train",
        "train",
        "val",
    ]


def test_empty_chips_are_thinned_out(tmp_path):
    job = simple_job(tmp_path, (1, 120, 160), tile_px=16, split=[100, 0, 0])
    make_labels(tmp_path / "labels.gpkg", [on_map(SQUARE_1_M, 0, 0, 30, 30)])
    folder, _, _ = make_chips(simple_job_with(job, empty_ratio=0.5))
    full = [c for c in folder.chips() if c.instances]
    assert len(full) == 4 and len(folder.chips()) == 8
    files = {p.stem for p in (folder.path / "images").iterdir()}
    assert files == {c.name for c in folder.chips()}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": "far"}, LabelError, "touches the raster"),
        ({"rasters": ["missing.tif"]}, RasterError, "does not exist"),
        ({"class_field": "nothing"}, LabelError, "no field 'nothing'"),
        ({"gsd_m": 0.05}, RasterError, "too coarse"),
        ({"aoi": "far"}, LabelError, "touches the raster"),
        ({"bands": [4]}, RasterError, "has no band 4"),
    ],
)
def test_bad_input_has_a_message_and_a_hint(change, error, message, tmp_path):
    job = simple_job(tmp_path)
    far = make_polygons(tmp_path / "far.gpkg", [on_map(SQUARE_1_M, 9000, 0, 9010, 10)])
    change = {k: str(far) if v == "far" else v for k, v in change.items()}
    with pytest.raises(error, match=message) as caught:
        make_chips(simple_job_with(job, **change))
    assert caught.value.hint
    assert not (tmp_path / "chips").exists()


def test_absent_classes_and_missing_parts_are_warned_of(tmp_path):
    job = simple_job(tmp_path)
    make_labels(tmp_path / "labels.gpkg", [on_map(SQUARE_1_M, 3, 3, 9, 9)])
    _, _, warnings = make_chips(job)
    assert any("has no pixel of: object" in text for text in warnings)


def test_existing_folders_are_safe(tmp_path):
    job = simple_job(tmp_path)
    make_chips(job)
    with pytest.raises(JobError, match="exists"):
        make_chips(job)
    again, result, _ = make_chips(simple_job_with(job, resume=True))
    assert result.details["finished_before"] and again.chips()
    make_chips(simple_job_with(job, overwrite=True, seed=5))
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["chips"]
    (tmp_path / "other").mkdir()
    assert make_chips(simple_job_with(job, output=str(tmp_path / "other")))[0].chips()
    (tmp_path / "more.partial").mkdir()
    (tmp_path / "more.partial" / "photo.txt").write_text("x")
    with pytest.raises(JobError, match=r"photo\.txt"):
        make_chips(simple_job_with(job, output=str(tmp_path / "more")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.txt").write_text("x")
    with pytest.raises(JobError, match="exists"):
        make_chips(simple_job_with(job, output=str(tmp_path / "mine"), overwrite=True))
    assert (tmp_path / "mine" / "photo.txt").exists()


def test_cancelled_and_resumed_runs_give_the_same_bytes(tmp_path):
    whole, _, _ = make_chips(simple_job(tmp_path / "a"))
    job = simple_job(tmp_path / "b")
    calls = iter(range(1000))
    with pytest.raises(JobCancelled):
        make_chips(job, lambda: next(calls) > 9)
    partial = tmp_path / "b" / "chips.partial"
    assert partial.is_dir() and not (tmp_path / "b" / "chips").exists()
    with (partial / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"name": "torn')
    with pytest.raises(JobError, match="another seed"):
        make_chips(simple_job_with(job, resume=True, seed=4))
    again, _, _ = make_chips(simple_job_with(job, resume=True))
    first, second = digest(again.path), digest(whole.path)
    assert first.pop("chips.json") != second.pop("chips.json"), "the paths of the rasters differ"
    assert first == second and not partial.exists()


def test_killed_runs_resume_to_the_same_bytes(tmp_path):
    """A process that is killed in the middle of its chips, then the same job again."""
    job = simple_job(tmp_path / "run", (3, 400, 400), tile_px=16)
    record = json.dumps({**job.to_dict(), "resume": True})
    code = (
        "import json, sys; from engine.jobs import ChipsJob; "
        "from engine.pipelines.chips import run_chips; "
        "run_chips(ChipsJob.from_dict(json.loads(sys.argv[1])), lambda e: None, lambda: False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, record])
    journal = tmp_path / "run" / "chips.partial" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size > 4000):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    resumed, _, _ = make_chips(simple_job_with(job, resume=True))
    first = digest(resumed.path)
    again, _, _ = make_chips(simple_job_with(job, overwrite=True))
    assert digest(again.path) == first

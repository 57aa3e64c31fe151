"""Readers of data sets, on small trees in the published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from engine.data.readers import list_readers, reader
from engine.data.readers.dataset import Dataset
from engine.data.readers.outlines import yaml_names
from engine.data.readers.published import ISAID_COLORS, id_parts
from engine.data.rle import encode_mask
from engine.errors import JobError, LabelError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SHAPE = (20, 30)


def picture(path: Path, pixels: np.ndarray | None = None, shape: tuple[int, int] = SHAPE) -> Path:
    """Write an image by its ending; without pixels a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = np.random.default_rng(0).integers(0, 255, (3, *shape)).astype(np.uint8)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    driver = {".png": "PNG", ".jpg": "JPEG", ".tif": "GTiff"}[path.suffix]
    count, height, width = pixels.shape
    profile = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver=driver, **profile) as out:
        out.write(pixels)
    return path


def block_mask(value: int = 1) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:11, 8:20] = value
    return mask


def colored(mask: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> np.ndarray:
    table = np.array([colors.get(i, (0, 0, 0)) for i in range(256)], np.uint8)
    return table[mask].transpose(2, 0, 1)


def only(dataset: Dataset, name: str) -> np.ndarray:
    """Return the class mask of one image."""
    image = next(i for i in dataset.images if i.name == name)
    return labels_of(dataset, image)


def labels_of(dataset: Dataset, image) -> np.ndarray:
    labels = image.load(*SHAPE)
    if labels.mask is not None:
        return labels.mask
    mask = np.full(SHAPE, dataset.background, np.uint8)
    for part in labels.objects:
        height, width = part.mask.shape
        mask[part.row : part.row + height, part.col : part.col + width][part.mask] = part.class_id
    return mask


def coco_record(names: list[str], ring: list[float] | None = None, **more) -> dict:
    segmentation = [ring or [8, 5, 20, 5, 20, 11, 8, 11]]
    return {
        "images": [
            {"id": i, "file_name": n, "height": 20, "width": 30} for i, n in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7, "segmentation": segmentation,
             "bbox": [8, 5, 12, 6], "area": 72, "iscrowd": 0, **more}
            for i in range(len(names))
        ],
        "categories": [{"id": 7, "name": "ship"}],
    }  # fmt: skip


def write_json(path: Path, record: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("form", ["polygon", "counts", "text"])
def test_coco_polygons_and_run_lengths(form, tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    record = coco_record(["a.jpg"])
    if form != "polygon":
        rle = encode_mask(block_mask().astype(bool))
        if form == "counts":
            rle = {"size": [20, 30], "counts": [8 * 20 + 5, *[6, 14] * 11, 6, 9 + 10 * 20]}
        record["annotations"][0]["segmentation"] = rle
    write_json(tmp_path / "annotations.json", record)
    dataset = reader("coco").open(tmp_path)
    assert np.array_equal(only(dataset, "a"), block_mask()) and dataset.task == "both"
    assert [(c.id, c.name) for c in dataset.classes] == [(0, "background"), (1, "ship")]
    assert dataset.images[0].amounts() == {1: 1.0}


def test_coco_parts_and_broken_files(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / split / "1.jpg")
        write_json(tmp_path / "annotations" / f"instances_{split}2017.json", coco_record(["1.jpg"]))
    dataset = reader("coco").open(tmp_path)
    assert [(i.split, i.path.parent.name) for i in dataset.images] == [
        ("train", "train"),
        ("val", "val"),
    ]
    write_json(tmp_path / "annotations" / "instances_test.json", coco_record(["gone.jpg"]))
    with pytest.raises(LabelError, match=r"image gone\.jpg"):
        reader("coco").open(tmp_path)
    record = coco_record(["1.jpg"], ring=[1, 2, 3])
    write_json(tmp_path / "annotations" / "instances_test.json", record)
    broken = next(i for i in reader("coco").open(tmp_path).images if i.split == "test")
    with pytest.raises(LabelError, match=r"annotation 0 of .* is broken"):
        broken.load(*SHAPE)


def test_crowds_stay_crowds(tmp_path):
    picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", coco_record(["a.png"], iscrowd=1))
    assert reader("coco").open(tmp_path).images[0].load(*SHAPE).objects[0].crowd


def test_nwpu_vhr10(tmp_path):
    names = [f"{n:03d}.jpg" for n in (1, 5, 6, 650)]
    for name in names:
        picture(tmp_path / "positive image set" / name)
    picture(tmp_path / "negative image set" / "001.jpg")
    write_json(tmp_path / "annotations.json", coco_record([*names, "002.jpg"]))
    dataset = reader("nwpu_vhr10").open(tmp_path)
    assert [i.group for i in dataset.images] == ["0", "0", "1", "129"]
    assert all(i.path.parent.name == "positive image set" for i in dataset.images)
    assert not any(i.split for i in dataset.images)


def test_ssdd_and_hrsid(tmp_path):
    style = tmp_path / "Official-SSDD-OPEN" / "BBox_RBox_PSeg_SSDD" / "coco_style"
    other = tmp_path / "HRSID_JPG"
    for split, name in (("train", "000002.jpg"), ("test", "000001.jpg")):
        picture(style / "images" / split / name)
        write_json(style / "annotations" / f"{split}.json", coco_record([name]))
        picture(other / "JPEGImages" / f"P000{len(split)}_0_800.jpg")
        crop = [f"P000{len(split)}_0_800.jpg"]
        write_json(other / "annotations" / f"{split}2017.json", coco_record(crop))
    write_json(style / "annotations" / "test_inshore.json", coco_record(["000001.jpg"]))
    write_json(other / "annotations" / "train_test2017.json", coco_record(crop))
    ssdd, hrsid = reader("ssdd").open(tmp_path), reader("hrsid").open(other)
    assert sorted((i.split, i.name) for i in ssdd.images) == [
        ("test", "000001"),
        ("train", "000002"),
    ]
    assert sorted((i.split, i.group) for i in hrsid.images) == [
        ("test", "P0004"),
        ("train", "P0005"),
    ]
    assert [c.name for c in ssdd.classes] == ["background", "ship"]
    assert np.array_equal(labels_of(hrsid, hrsid.images[0]), block_mask())


def test_isaid(tmp_path):
    colors = {i: c for i, c in enumerate(ISAID_COLORS.values(), 1)}
    ids = np.zeros(SHAPE, np.int32)
    ids[5:11, 8:14], ids[5:11, 14:20] = 70_000, 5
    for split, name in (("train", "P0002"), ("val", "P0003")):
        folder = tmp_path / split / "images"
        picture(folder / f"{name}.png")
        picture(folder / f"{name}_instance_color_RGB.png", colored(block_mask(12), colors))
        packed = np.stack([ids >> 16, ids >> 8 & 255, ids & 255]).astype(np.uint8)
        picture(folder / f"{name}_instance_id_RGB.png", packed)
    picture(tmp_path / "test" / "images" / "P0006.png")
    dataset = reader("isaid").open(tmp_path)
    assert [(i.name, i.split) for i in dataset.images] == [("P0002", "train"), ("P0003", "val")]
    assert (dataset.tile_px, dataset.overlap_px, dataset.task) == (896, 384, "both")
    assert [c.name for c in dataset.classes][2] == "storage tank", "the devkit's order"
    assert dataset.classes[12].name == "roundabout"
    labels = dataset.images[0].load(*SHAPE)
    assert np.array_equal(labels.mask, block_mask(12))
    assert [(p.class_id, p.row, p.col, int(p.mask.sum())) for p in labels.objects] == [
        (12, 5, 14, 36),
        (12, 5, 8, 36),
    ]
    assert id_parts(ids, np.zeros(SHAPE, np.uint8)) == [], "objects without a class"


def test_loveda(tmp_path):
    for split, scene, number in (("Train", "Rural", 0), ("Val", "Urban", 0)):
        mask = block_mask(7)
        mask[0] = np.arange(30) % 8
        picture(tmp_path / split / scene / "images_png" / f"{number}.png")
        picture(tmp_path / split / scene / "masks_png" / f"{number}.png", mask)
    dataset = reader("loveda").open(tmp_path)
    assert [(i.name, i.split) for i in dataset.images] == [("rural_0", "train"), ("urban_0", "val")]
    found = only(dataset, "rural_0")
    assert found[0, :8].tolist() == [255, 0, 1, 2, 3, 4, 5, 6], "0 is unknown, 1 background"
    assert [c.name for c in dataset.classes][6] == "agriculture" and (found[5:11, 8:20] == 6).all()


def test_potsdam_and_vaihingen(tmp_path):
    colors = {1: (255, 255, 255), 5: (255, 255, 0), 9: (255, 0, 0), 8: (200, 40, 10)}
    mask = block_mask(5)
    mask[0, :3] = 1, 9, 8
    mask[1:] = np.where(mask[1:] == 0, 9, mask[1:])
    potsdam, vaihingen = tmp_path / "p", tmp_path / "v"
    for key in ("2_10", "2_13", "7_10"):
        picture(potsdam / "2_Ortho_RGB" / f"top_potsdam_{key}_RGB.tif")
        picture(potsdam / "5_Labels_all" / f"top_potsdam_{key}_label.tif", colored(mask, colors))
    for area in (1, 38):
        picture(vaihingen / "top" / f"top_mosaic_09cm_area{area}.tif")
        name = f"top_mosaic_09cm_area{area}.tif"
        picture(vaihingen / "gts_for_participants" / name, colored(mask, colors))
    first, second = reader("potsdam").open(potsdam), reader("vaihingen").open(vaihingen)
    assert [(i.name, i.split) for i in first.images] == [
        ("top_potsdam_2_10_RGB", "train"),
        ("top_potsdam_2_13_RGB", "test"),
    ]
    assert [(i.name[-2:], i.split) for i in second.images] == [("a1", "train"), ("38", "test")]
    found = only(first, "top_potsdam_2_10_RGB")
    assert found[0, :4].tolist() == [1, 0, 0, 255] and (found[5:11, 8:20] == 5).all()
    assert first.classes[0].name == "clutter" and first.classes[0].background


def test_dubai(tmp_path):
    colors = {1: (0x3C, 0x10, 0x98), 5: (0xE2, 0xA9, 0x29), 9: (0x9B, 0x9B, 0x9B)}
    mask = block_mask(1)
    mask[0, :2] = 5, 9
    for tile in (1, 2):
        picture(tmp_path / f"Tile_{tile}" / "images" / "image_part_001.jpg")
        picture(tmp_path / f"Tile_{tile}" / "masks" / "image_part_001.png", colored(mask, colors))
    dataset = reader("dubai").open(tmp_path)
    assert [(i.name, i.group) for i in dataset.images][1] == ("Tile_2_image_part_001", "Tile_2")
    found = only(dataset, "Tile_1_image_part_001")
    assert found[0, :3].tolist() == [5, 0, 255] and (found[5:11, 8:20] == 1).all()


@pytest.mark.parametrize(
    ("classes", "codes"),
    [
        ({"0": "background", "3": "roof"}, "values"),
        ([{"name": "background", "id": 0}, {"name": "roof", "id": 3}], "values"),
        ({"#102030": "roof", "#000000": "background"}, "colors"),
        ({"roof": [16, 32, 48], "background": "#000000"}, "colors"),
        ({"roof": "#102030", "background": "#000000"}, "palette"),
        (None, "binary"),
    ],
)
def test_mask_folders(classes, codes, tmp_path):
    mask = block_mask(255 if codes == "binary" else 3)
    picture(tmp_path / "train" / "images" / "a.jpg")
    file = tmp_path / "train" / "masks" / "a.png"
    picture(file, colored(mask, {3: (16, 32, 48)}) if codes == "colors" else mask)
    if codes == "palette":
        with rasterio.open(
            file, "w", driver="PNG", count=1, height=20, width=30, dtype="uint8"
        ) as out:
            out.colorinterp = [ColorInterp.palette]
            out.write_colormap(1, {0: (0, 0, 0), 3: (16, 32, 48)})
            out.write(mask, 1)
    if classes is not None:
        write_json(tmp_path / "classes.json", classes)
    dataset = reader("masks").open(tmp_path)
    assert np.array_equal(only(dataset, "a"), block_mask(1))
    assert dataset.images[0].split == "train" and dataset.classes[0].background
    assert dataset.classes[1].name == ("object" if classes is None else "roof")


def test_colours_of_sixteen_bits_are_refused(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    mask = colored(block_mask(3), {3: (16, 32, 48)}).astype(np.uint16) * 257
    profile = {"driver": "PNG", "count": 3, "height": 20, "width": 30, "dtype": "uint16"}
    with rasterio.open(tmp_path / "masks" / "a.png", "w", **profile) as out:
        out.write(mask)
    write_json(tmp_path / "classes.json", {"#102030": "roof", "#000000": "background"})
    dataset = reader("masks").open(tmp_path)
    with pytest.raises(LabelError, match=r"from 0 to 12336, colours go from 0 to 255.*8 bits"):
        only(dataset, "a")


def test_pascal_voc_lists_and_sizes(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "VOC2012" / "JPEGImages" / f"{name}.jpg")
        picture(tmp_path / "VOC2012" / "SegmentationClass" / f"{name}.png", block_mask(2))
    lists = tmp_path / "VOC2012" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    dataset = reader("masks").open(tmp_path)
    assert [(i.name, i.split) for i in dataset.images] == [("a", "train"), ("b", "val")]
    assert dataset.classes[1].name == "class 2"
    with pytest.raises(LabelError, match="20 x 30 pixels, its image 40 x 60"):
        dataset.images[0].load(40, 60)


def test_labelme(tmp_path):
    picture(tmp_path / "a.jpg")
    ring = [[8, 5], [20, 5], [20, 11], [8, 11]]
    shapes = [
        {"label": "roof", "points": ring[:1] + ring[2:3], "shape_type": "rectangle"},
        {"label": "tree", "points": [[4, 15], [4, 18]], "shape_type": "circle"},
        {"label": "ignore", "points": [[25, 0], [30, 0], [30, 3], [25, 3]]},
        {"label": "roof", "points": [[1, 1]], "shape_type": "point"},
        {"label": "roof", "points": [[0, 0], [2, 0], [2, 2], [0, 2]], "group_id": 4},
        {"label": "roof", "points": [[0, 3], [2, 3], [2, 5], [0, 5]], "group_id": 4},
    ]
    write_json(tmp_path / "a.json", {"imagePath": "a.jpg", "shapes": shapes})
    dataset = reader("labelme").open(tmp_path)
    assert [c.name for c in dataset.classes] == ["background", "roof", "tree"]
    found = only(dataset, "a")
    assert (found[5:11, 8:20] == 1).all() and (found == 1).sum() == 72 + 8
    assert 20 <= (found == 2).sum() <= 32 and (found[:3, 25:] == 255).all()
    objects = dataset.images[0].load(*SHAPE).objects
    assert sorted(int(o.mask.sum()) for o in objects if o.class_id == 1) == [8, 72]


@pytest.mark.parametrize("shape", [{"points": [[0, 0], [2, 2]]}, {"label": None, "points": []}])
def test_labelme_shapes_without_a_label_are_named(shape, tmp_path):
    picture(tmp_path / "a.jpg")
    write_json(tmp_path / "a.json", {"imagePath": "a.jpg", "shapes": [shape]})
    with pytest.raises(LabelError, match="label"):
        reader("labelme").open(tmp_path)


def test_yolo_seg(tmp_path):
    picture(tmp_path / "images" / "train" / "a.jpg")
    picture(tmp_path / "images" / "val" / "b.jpg")
    file = tmp_path / "labels" / "train" / "a.txt"
    file.parent.mkdir(parents=True)
    points = [(8, 5), (20, 5), (20, 11), (8, 11)]
    file.write_text("1 " + " ".join(f"{x / 30} {y / 20}" for x, y in points) + "\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames:\n  0: tree\n  1: 'roof'\n")
    dataset = reader("yolo_seg").open(tmp_path)
    assert np.array_equal(only(dataset, "a"), block_mask(2)) and not only(dataset, "b").any()
    assert [(i.name, i.split) for i in dataset.images] == [("a", "train"), ("b", "val")]
    file.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(LabelError, match=r"line 1 of .* has 4 numbers"):
        reader("yolo_seg").open(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["names: [tree, 'roof']", "nc: 2\nnames:\n- tree\n- roof\n", "names: {0: tree, 1: roof}"],
)
def test_names_of_yolo(text):
    assert yaml_names(text) == ["tree", "roof"]


@pytest.mark.parametrize("name", [item.name for item in list_readers()])
def test_empty_and_missing_folders_are_explained(name, tmp_path):
    with pytest.raises(LabelError) as error:
        reader(name).open(tmp_path)
    assert error.value.hint
    with pytest.raises(LabelError, match="does not exist"):
        reader(name).open(tmp_path / "gone")


def test_unknown_readers():
    with pytest.raises(JobError, match="no reader of data sets called 'lovda'") as error:
        reader("lovda")
    assert "loveda" in error.value.hint

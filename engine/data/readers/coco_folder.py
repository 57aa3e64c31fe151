"""Readers of data sets with COCO annotations: any, NWPU VHR-10, SSDD and HRSID."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import LabelError
from ...zoo.card import ClassInfo
from ..class_list import palette_color
from ..coco import CocoFile, coco_parts, is_coco, read_coco
from .dataset import (
    Dataset,
    DatasetImage,
    ImageLabels,
    find_folder,
    image_files,
    make_classes,
    nothing_found,
    split_of,
)

NWPU_GROUP = 5
_LAYOUT = "annotations.json, or annotations/<part>.json, and the images"


@dataclass(frozen=True)
class _Loader:
    """Reads the objects of one image."""

    coco: CocoFile
    image_id: Any
    class_ids: Mapping[int, int]

    def __call__(self, height: int, width: int) -> ImageLabels:
        found = self.coco.annotations.get(self.image_id, [])
        where = f"{self.coco.path}, image {self.image_id}"
        return ImageLabels(None, coco_parts(found, self.class_ids, (height, width), where))

    def amounts(self) -> dict[int, float]:
        """Return the number of objects of each class."""
        amounts: defaultdict[int, float] = defaultdict(float)
        for annotation in self.coco.annotations.get(self.image_id, []):
            amounts[self.class_ids.get(int(annotation["category_id"]), 0)] += 1.0
        amounts.pop(0, None)
        return dict(amounts)


def read_coco_folder(root: Path) -> Dataset:
    """Read a folder with COCO annotations, such as those of this engine's own chips.

    The part of an image is the ``split`` of its record, or what the name of the annotation file
    or of the image's folder says.

    Raises:
        LabelError: If there are no annotations, or images of them are missing.
    """
    files = [p for p in sorted(root.glob("*.json")) if is_coco(p)]
    if not files:
        found = (p for p in sorted(root.rglob("*.json")) if len(p.relative_to(root).parts) <= 3)
        files = [p for p in found if is_coco(p)]
    if not files:
        raise nothing_found(root, "COCO annotations", _LAYOUT)
    return coco_dataset(root, [(path, _file_split(path)) for path in files])


def _file_split(path: Path) -> str:
    """Return the part that the name of an annotation file says."""
    stem = path.stem.lower().replace("2017", "").replace("instances_", "")
    return split_of(Path(stem.replace("_", "/")), Path())


def read_nwpu_vhr10(root: Path) -> Dataset:
    """Read NWPU VHR-10 with the instance masks of Su et al.

    Images ``positive image set/NNN.jpg`` (or ``images/NNN.jpg``) and ``annotations.json``. There
    is no official split; five images with consecutive numbers, which can be crops of one scene,
    stay together.

    Raises:
        LabelError: If the layout is another one.
    """
    files = [p for p in sorted(root.rglob("*.json")) if is_coco(p)]
    whole = [p for p in files if p.stem == "annotations"] or files
    if not whole:
        raise nothing_found(root, "annotations of NWPU VHR-10", "annotations.json and *.jpg")
    images = find_folder(root, "positive image set", "images") or root
    licenses = {"data": "images: research only; masks: MIT"}
    return coco_dataset(
        images, [(whole[0], "")], group_of=_nwpu_group, licenses=licenses, strict=False
    )


def _nwpu_group(name: str) -> str:
    return str((int(name) - 1) // NWPU_GROUP) if name.isdigit() else name


def read_ssdd(root: Path) -> Dataset:
    """Read SSDD in its official release: ``coco_style/annotations/{train,test}.json``.

    Raises:
        LabelError: If the layout is another one.
    """
    style = find_folder(root, "coco_style") or root
    pairs = _split_files(style, {"train": ("train",), "test": ("test",)})
    if not pairs:
        layout = "coco_style/annotations/train.json and test.json, coco_style/images"
        raise nothing_found(root, "annotations of SSDD", layout)
    return coco_dataset(style, pairs, licenses={"data": "research"}, names=("ship",))


def read_hrsid(root: Path) -> Dataset:
    """Read HRSID: ``annotations/{train,test}2017.json`` and ``JPEGImages``.

    A folder with a single COCO file has no official split; crops of one scene (``P0003_...``)
    stay together.

    Raises:
        LabelError: If the layout is another one.
    """
    pairs = _split_files(root, {"train": ("train2017", "train"), "test": ("test2017", "test")})
    if not pairs:
        pairs = [(path, "") for path in sorted(root.rglob("*.json")) if is_coco(path)][:1]
    if not pairs:
        layout = "annotations/train2017.json and test2017.json, JPEGImages"
        raise nothing_found(root, "annotations of HRSID", layout)
    return coco_dataset(
        root,
        pairs,
        group_of=lambda name: name.split("_")[0],
        licenses={"data": "GPL-3.0 repository; rights of the SAR imagery are not stated"},
        names=("ship",),
    )


def _split_files(root: Path, stems: Mapping[str, Sequence[str]]) -> list[tuple[Path, str]]:
    """Return the annotation file of each part, by its exact name."""
    found = sorted(root.rglob("*.json"))
    pairs = []
    for split, names in stems.items():
        file = next((p for name in names for p in found if p.stem == name and is_coco(p)), None)
        if file is not None:
            pairs.append((file, split))
    return pairs


def coco_dataset(
    images_root: Path,
    files: Sequence[tuple[Path, str]],
    *,
    group_of: Callable[[str], str] = lambda name: "",
    licenses: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    strict: bool = True,
) -> Dataset:
    """Return the data set of COCO files.

    Args:
        images_root: Folder with the images, at any depth.
        files: Annotation files with their parts; an empty part means that of each image.
        group_of: Returns the group of an image from its name without ending.
        licenses: What is known of the licences.
        names: Names of the classes, if the file's are not wanted.
        strict: Whether every image of the annotations must be there.

    Raises:
        LabelError: If a file is no COCO file, or images are missing.
    """
    cocos = [(read_coco(path), split) for path, split in files]
    categories = {i: name for coco, _ in cocos for i, name in coco.categories.items()}
    ordered = [(i, name) for i, name in sorted(categories.items()) if name != "background"]
    class_ids = {category: i for i, (category, _) in enumerate(ordered, 1)}
    classes = _classes([name for _, name in ordered], names)
    index = _ImageIndex(images_root)
    images = []
    for coco, split in cocos:
        for record in coco.images:
            path = index.find(record["file_name"], split or str(record.get("split", "")))
            if path is None:
                if strict:
                    raise LabelError(
                        f"image {record['file_name']} of {coco.path} is not below {images_root}",
                        "put images and annotations into one folder",
                    )
                continue
            loader = _Loader(coco, record["id"], class_ids)
            part = split or str(record.get("split", "")) or split_of(path, images_root)
            images.append(
                DatasetImage(
                    path=path,
                    name=path.stem,
                    load=loader,
                    split=part,
                    group=group_of(path.stem),
                    amounts=loader.amounts,
                    labels=coco.path,
                )
            )
    if not images:
        raise nothing_found(images_root, "image of the annotations", _LAYOUT)
    return Dataset(classes, tuple(images), "both", licenses=licenses or {})


def _classes(found: Sequence[str], wanted: Sequence[str]) -> tuple[ClassInfo, ...]:
    names = wanted if len(wanted) == len(found) else found
    return make_classes(names, [palette_color(i) for i in range(len(names))])


class _ImageIndex:
    """Finds images by the names in annotations."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        for path in image_files(root):
            self._by_name[path.name].append(path)

    def find(self, name: str, split: str) -> Path | None:
        """Return the image whose path ends in this name; one in a folder of the part is best."""
        wanted = Path(name)
        found = self._by_name.get(wanted.name, [])
        exact = [p for p in found if p.parts[-len(wanted.parts) :] == wanted.parts] or found
        in_part = [p for p in exact if split and split_of(p, self._root) == split]
        return next(iter(in_part or exact), None)

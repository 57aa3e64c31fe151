"""What a reader of a data set returns: classes, and images whose labels are read on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import LabelError
from ...geo.image_file import IMAGE_ENDINGS
from ...zoo.card import ClassInfo
from ..instances import PolygonPart

_SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class ImageLabels(NamedTuple):
    """Labels of one image: class ids ``uint8[H, W]`` (255 unknown), or objects, or both.

    Without a mask, it is painted from the objects over background.
    """

    mask: NDArray[np.uint8] | None
    objects: Sequence[PolygonPart] = ()


@dataclass(frozen=True)
class DatasetImage:
    """One image of a data set.

    Attributes:
        path: The image file.
        name: Name without ending.
        load: Returns the labels; called with height and width of the image.
        split: Official part ``train``, ``val`` or ``test``; empty if there is none.
        group: Images of one group belong into one part (crops of one scene); empty for none.
        amounts: Returns how much there is of each class id, for a balanced split.
        labels: The file of the labels, for the fingerprint.
    """

    path: Path
    name: str
    load: Callable[[int, int], ImageLabels] = field(repr=False)
    split: str = ""
    group: str = ""
    amounts: Callable[[], Mapping[int, float]] = field(default=dict, repr=False)
    labels: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set on disk.

    Attributes:
        classes: Classes in the order of their ids.
        images: The images that have labels.
        task: ``semantic`` or ``both``.
        tile_px: Side of the chips that the papers use; 0 keeps whole images.
        overlap_px: Overlap of these chips.
        licenses: What is known of the licences.
        gsd_m: Pixel size in metres if it is one and known, else 0.
    """

    classes: tuple[ClassInfo, ...]
    images: tuple[DatasetImage, ...]
    task: str
    tile_px: int = 0
    overlap_px: int = 0
    licenses: Mapping[str, str] = field(default_factory=dict)
    gsd_m: float = 0.0

    @property
    def background(self) -> int:
        """Id of ground outside all objects."""
        return next((c.id for c in self.classes if c.background), 255)


def image_files(folder: Path) -> list[Path]:
    """Return the images below a folder in a fixed order."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS and p.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def split_of(path: Path, root: Path) -> str:
    """Return the part that a folder or file name says, such as ``train/images/1.png``."""
    for part in path.relative_to(root).parts:
        word = Path(part).stem.lower()
        if word in _SPLIT_WORDS:
            return _SPLIT_WORDS[word]
    return ""


def find_folder(root: Path, *names: str) -> Path | None:
    """Return the first folder at or below the root with one of these names, any case."""
    wanted = [name.lower() for name in names]
    if root.name.lower() in wanted:
        return root
    folders = sorted(p for p in root.rglob("*") if p.is_dir())
    for name in wanted:
        for folder in folders:
            if folder.name.lower() == name:
                return folder
    return None


def make_classes(
    names: Iterable[str], colors: Iterable[str], *, background: str = "background"
) -> tuple[ClassInfo, ...]:
    """Return classes with the background as id 0 and the named ones from 1.

    Args:
        names: Names in the order of the ids.
        colors: Their colours ``#rrggbb``.
        background: Name of class 0.
    """
    pairs = zip(names, colors, strict=True)
    found = [ClassInfo(i, name, color) for i, (name, color) in enumerate(pairs, 1)]
    return (ClassInfo(0, background, "#000000", background=True), *found)


def nothing_found(root: Path, what: str, layout: str) -> LabelError:
    """Return the error for a folder that is not laid out as the reader expects."""
    return LabelError(f"{root} holds no {what}", f"expected: {layout}; see docs/chips.md")

"""Readers of data sets: formats of annotation programs, and published sets as they come."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import JobError, LabelError
from .coco_folder import read_coco_folder, read_hrsid, read_nwpu_vhr10, read_ssdd
from .dataset import Dataset, DatasetImage, ImageLabels
from .isprs import read_potsdam, read_vaihingen
from .mask_folder import read_mask_folder
from .outlines import read_labelme, read_yolo_seg
from .published import read_dubai, read_isaid, read_loveda

__all__ = ["Dataset", "DatasetImage", "ImageLabels", "Reader", "list_readers", "reader"]


@dataclass(frozen=True)
class Reader:
    """A reader: its name, what it reads, and the function that reads a folder."""

    name: str
    about: str
    read: Callable[[Path], Dataset]

    def open(self, root: str | Path) -> Dataset:
        """Read the description of a data set; labels are read later, image by image.

        Raises:
            LabelError: If there is no such folder, or it is laid out in another way.
        """
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise LabelError(
                f"the folder {folder} does not exist", "check the root of the data set"
            )
        return self.read(folder)


_READERS = (
    Reader("coco", "images with COCO annotations", read_coco_folder),
    Reader("masks", "folders of images and label images (PASCAL VOC)", read_mask_folder),
    Reader("labelme", "images with JSON files of LabelMe", read_labelme),
    Reader("yolo_seg", "images with outlines of YOLO", read_yolo_seg),
    Reader("isaid", "iSAID, 15 classes of objects in aerial images", read_isaid),
    Reader("nwpu_vhr10", "NWPU VHR-10 with instance masks, 10 classes", read_nwpu_vhr10),
    Reader("ssdd", "SSDD, ships in SAR images", read_ssdd),
    Reader("hrsid", "HRSID, ships in SAR images", read_hrsid),
    Reader("loveda", "LoveDA, land cover of three cities", read_loveda),
    Reader("potsdam", "ISPRS Potsdam, 5 cm aerial images", read_potsdam),
    Reader("vaihingen", "ISPRS Vaihingen, 9 cm aerial images", read_vaihingen),
    Reader("dubai", "land cover of Dubai, 5 classes", read_dubai),
)


def list_readers() -> tuple[Reader, ...]:
    """Return all readers."""
    return _READERS


def reader(name: str) -> Reader:
    """Return the reader called ``name``.

    Raises:
        JobError: If there is none.
    """
    names = [item.name for item in _READERS]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
        raise JobError(f"there is no reader of data sets called {name!r}", hint)
    return _READERS[names.index(name)]

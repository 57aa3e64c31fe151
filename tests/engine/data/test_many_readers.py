"""Many forked processes read the same data at once, and every pixel is right.

Libraries that keep a file open share its position between forked processes: then windows come
from wrong places, without any error. Both datasets are used in the parent first, which is what
triggers that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window
from torch.utils.data import DataLoader, Dataset

from engine.data.chip_folder import ChipFolder
from engine.data.unlabelled import ImageTile, read_tile, tiles_of
from tests.factories_chips import make_chips, simple_job

READERS, PASSES = 8, 6
HEIGHT, WIDTH, SIDE = 210, 325, 32

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")


class Chips(Dataset[tuple[int, torch.Tensor]]):
    def __init__(self, folder: ChipFolder) -> None:
        self.folder, self.chips = folder, folder.chips()

    def __len__(self) -> int:
        return PASSES * len(self.chips)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        chip = self.chips[index % len(self.chips)]
        return index % len(self.chips), torch.from_numpy(self.folder.read_image(chip))


class Crops(Dataset[tuple[int, torch.Tensor]]):
    def __init__(self, tiles: Sequence[ImageTile]) -> None:
        self.tiles = list(tiles)

    def __len__(self) -> int:
        return PASSES * len(self.tiles)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        tile, rng = self.tiles[index % len(self.tiles)], np.random.default_rng(index)
        return index, torch.from_numpy(read_tile(tile, (1, 2, 3), SIDE, rng)[0])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChipFolder, np.ndarray]:
    """Return a raster whose bands tell row, column and a hash of both, and chips of it."""
    folder = tmp_path_factory.mktemp("scene")
    job = simple_job(folder, (3, HEIGHT, WIDTH), dtype="uint16")
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([rows, cols, (rows * 7919 + cols * 104729) % 65536]).astype(np.uint16)
    with rasterio.open(folder / "scene.tif", "r+") as raster:
        raster.write(pixels)
    chips, _, _ = make_chips(job)
    return folder / "scene.tif", chips, pixels


def read_all(data: Dataset[Any]) -> list[tuple[int, np.ndarray]]:
    """Return everything that forked processes read, after the parent has read, too."""
    data[0], data[1]
    loader = DataLoader(
        data, batch_size=None, num_workers=READERS, multiprocessing_context="fork", shuffle=True
    )
    return [(index, image.numpy()) for index, image in loader]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_no_chip_is_wrong_with_many_readers(scene: tuple[Path, ChipFolder, np.ndarray]) -> None:
    _, folder, pixels = scene
    found = read_all(Chips(folder))
    chips = folder.chips()
    wrong = 0
    for index, image in found:
        chip = chips[index]
        rows = slice(chip.row_off, chip.row_off + chip.height_px)
        columns = slice(chip.col_off, chip.col_off + chip.width_px)
        wrong += not np.array_equal(image, pixels[:, rows, columns])
    assert len(found) == PASSES * len(chips) > 300
    assert wrong == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_no_crop_of_a_raster_is_wrong_with_many_readers(
    scene: tuple[Path, ChipFolder, np.ndarray],
) -> None:
    path, _, pixels = scene
    crops = Crops(tiles_of([str(path)], SIDE, (1, 2, 3)))
    found = read_all(crops)
    wrong = 0
    for _, image in found:
        row, col = int(image[0, 0, 0]), int(image[1, 0, 0])
        wrong += not np.array_equal(image, pixels[:, row : row + SIDE, col : col + SIDE])
    assert len(found) == len(crops) > 300
    assert wrong == 0
    with rasterio.open(path) as raster:
        assert np.array_equal(raster.read(window=Window(0, 0, WIDTH, HEIGHT)), pixels)

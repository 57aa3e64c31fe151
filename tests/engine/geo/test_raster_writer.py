"""Written rasters hold what went in, in the same bytes however it came, or do not exist."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyproj
import pytest
import rasterio

from engine.errors import DiskError
from engine.geo.grid import Grid
from engine.geo.raster import RasterReader, RasterWriter
from tests.factories import DEGREES, NORTH_UP_2X1_M, ROTATED_1_M, SOUTH_UP_1_M

UTM = pyproj.CRS(32645).to_wkt()
ROOT = Path(__file__).parents[3]


def labels(height, width, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 5, (height // 16 + 1, width // 16 + 1), dtype=np.uint8)
    coarse[0] = 255
    return np.kron(coarse, np.ones((16, 16), np.uint8))[:height, :width]


def write(path, pixels, rows=100, *, transform=NORTH_UP_2X1_M, crs=UTM, **options):
    grid = Grid(*pixels.shape, transform, crs)
    with RasterWriter(path, grid, nodata=255, **options) as writer:
        for row in range(0, len(pixels), rows):
            writer.write_rows(pixels[row : row + rows])
    return path


@pytest.mark.parametrize("transform", [NORTH_UP_2X1_M, ROTATED_1_M, SOUTH_UP_1_M, DEGREES])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (37, 61), (513, 1030)])
def test_pixels_and_grid_come_back(tmp_path, shape, transform):
    pixels = labels(*shape)
    path = write(tmp_path / "a.tif", pixels, transform=transform)
    with RasterReader(str(path)) as reader:
        found, valid = reader.read_rows(0, shape[0])
        assert tuple(reader.grid.transform)[:6] == pytest.approx(tuple(transform)[:6])
        assert pyproj.CRS(reader.grid.crs_wkt).equals(pyproj.CRS(32645))
    np.testing.assert_array_equal(found[0], pixels)
    np.testing.assert_array_equal(valid, pixels != 255)


def test_the_rows_per_call_do_not_show_in_the_bytes(tmp_path):
    pixels = labels(1100, 900)
    options = {"colors": {0: "#000000", 1: "#ff8000"}, "names": {0: "ground", 1: "roof"}}
    files = [
        write(tmp_path / f"{n}" / "a.tif", pixels, n, **options).read_bytes()
        for n in (1, 37, 512, 513, 5000)
        if not (tmp_path / f"{n}").mkdir()
    ]
    assert all(content == files[0] for content in files)


def test_the_file_is_tiled_compressed_sparse_and_has_overviews(tmp_path):
    pixels = np.full((1200, 1500), 255, np.uint8)
    empty = write(tmp_path / "empty.tif", pixels).stat().st_size
    pixels[:500, :500] = labels(500, 500)
    path = write(tmp_path / "a.tif", pixels)
    assert empty < 3000
    with rasterio.open(path) as dataset:
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.profile["compress"] == "deflate"
        assert dataset.overviews(1) == [2, 4, 8]
        assert dataset.nodata == 255


def test_overviews_of_classes_take_the_most_frequent_class(tmp_path):
    pixels = np.full((600, 600), 1, np.uint8)
    pixels[::2, ::2] = 3  # one of four pixels, the one that nearest would take
    path = write(tmp_path / "a.tif", pixels, overviews="mode")
    with rasterio.open(path, overview_level=0) as overview:
        assert (overview.read(1) == 1).all()


def test_overviews_of_scores_average_without_nodata(tmp_path):
    pixels = np.full((600, 600), 255, np.uint8)
    pixels[:, 0::2] = 100
    pixels[1::2, 0::2] = 200
    path = write(tmp_path / "a.tif", pixels, overviews="average", scale=1 / 254)
    with rasterio.open(path, overview_level=0) as overview:
        assert (overview.read(1) == 150).all()
    with rasterio.open(path) as dataset:
        assert dataset.scales == pytest.approx((1 / 254,))


def test_colors_names_description_and_tags(tmp_path):
    path = write(
        tmp_path / "a b ü.tif",
        labels(37, 61),
        colors={0: "#000000", 2: "#ff8001"},
        names={0: "ground", 2: "roof & <wall>"},
        description="class",
        tags={"RS_SEGMENT_RUN": "1234"},
    )
    with rasterio.open(path) as dataset:
        table = dataset.colormap(1)
        assert table[2] == (255, 128, 1, 255) and table[255] == (0, 0, 0, 0)
        assert dataset.descriptions == ("class",)
        assert dataset.tags()["RS_SEGMENT_RUN"] == "1234"
        assert dataset.tags()["CLASS_2"] == "roof & <wall>"
    root = ElementTree.parse(f"{path}.aux.xml").getroot()
    names = [item.text for item in root.iter("Category")]
    assert names == ["ground", None, "roof & <wall>"]


def test_rows_that_do_not_fit_are_refused(tmp_path):
    writer = RasterWriter(tmp_path / "a.tif", Grid(5, 7, NORTH_UP_2X1_M, ""), nodata=255)
    for shape in ((2, 6), (6, 7)):
        with pytest.raises(ValueError, match="do not fit"):
            writer.write_rows(np.zeros(shape, np.uint8))
    writer.close()


def test_an_unfinished_raster_does_not_stay(tmp_path):
    path = tmp_path / "a.tif"
    writer = RasterWriter(path, Grid(50, 70, NORTH_UP_2X1_M, UTM), nodata=255)
    writer.write_rows(np.zeros((49, 70), np.uint8))
    writer.close()
    assert not path.exists()
    with (
        pytest.raises(KeyError),
        RasterWriter(path, Grid(1, 1, NORTH_UP_2X1_M, UTM), nodata=255) as writer,
    ):
        writer.write_rows(np.zeros((1, 1), np.uint8))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_two_rasters_may_be_written_side_by_side(tmp_path):
    pixels = labels(600, 90)
    grid = Grid(600, 90, NORTH_UP_2X1_M, UTM)
    with (
        RasterWriter(tmp_path / "a.tif", grid, nodata=255) as first,
        RasterWriter(tmp_path / "b.tif", grid, nodata=255) as second,
    ):
        for row in range(0, 600, 150):
            first.write_rows(pixels[row : row + 150])
            second.write_rows(255 - pixels[row : row + 150])
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        np.testing.assert_array_equal(a.read(1), pixels)
        np.testing.assert_array_equal(b.read(1), 255 - pixels)


@pytest.mark.parametrize("path", ["missing/a.tif", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path, path):
    with pytest.raises(DiskError) as caught:
        write(tmp_path / path, labels(5, 5))
    assert str(tmp_path) in caught.value.message and caught.value.hint


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from affine import Affine
from engine.errors import DiskError
from engine.geo.grid import Grid
from engine.geo.raster import RasterWriter
path, limits = Path(sys.argv[1]), [int(v) for v in sys.argv[2:]]
noise = np.random.default_rng(0).integers(0, 255, (1030, 600), dtype=np.uint8)
grid = Grid(*noise.shape, Affine(1, 0, 5, 0, -1, 5), "")
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with RasterWriter(path, grid, nodata=255) as writer:
            for row in range(0, 1030, 300):
                writer.write_rows(noise[row : row + 300])
        print("written", path.stat().st_size)
    except DiskError as error:
        print(error.message, error.hint, path.exists(), sep=" | ")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_reported_wherever_it_happens(tmp_path):
    def run(*limits):
        command = [sys.executable, "-c", FULL_DISK, tmp_path / "a.tif", *map(str, limits)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        return done.stdout.splitlines()

    written, size = run(1 << 30)[0].split()
    assert written == "written"
    size = int(size)
    limits = [10, 100_000, size // 2, size * 3 // 4, size - 3000, size - 1, size]
    lines = run(*limits)
    assert lines[-1] == f"written {size}" and len(lines) == len(limits)
    hint = "free space on the disk, or choose another one"
    for line in lines[:-1]:
        assert line == f"cannot write {tmp_path / 'a.tif'}: File too large | {hint} | False"

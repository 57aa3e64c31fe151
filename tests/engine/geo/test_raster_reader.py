"""The reader returns the file's own pixels, whatever is asked for in which pieces."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.geo.blocks import chunk_rows
from engine.geo.raster import RasterReader
from engine.geo.windows import Window
from tests.factories import (
    DEGREES,
    ROTATED_1_M,
    SOUTH_UP_1_M,
    make_raster,
    random_pixels,
)

LAYOUTS = {
    "strips": {},
    "tiles": {"block_px": 64},
    "one strip": {"blockysize": 5000},
    "band by band": {"interleave": "band", "block_px": 32},
    "not compressed": {"compress": "none"},
}


def read_in_pieces(reader, rows, **columns):
    starts = range(0, reader.grid.height, rows)
    parts = [
        reader.read_rows(row, min(row + rows, reader.grid.height), **columns) for row in starts
    ]
    return np.concatenate([p for p, _ in parts], axis=1), np.concatenate([v for _, v in parts])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 7, 100, 297])
def test_pieces_of_any_height_are_the_whole(tmp_path, layout, rows):
    pixels = random_pixels((3, 297, 131))
    path = make_raster(tmp_path / "a.tif", pixels, **LAYOUTS[layout])
    with RasterReader(str(path)) as reader:
        found, valid = read_in_pieces(reader, rows)
    np.testing.assert_array_equal(found, pixels)
    assert valid.all()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_window_rows_and_columns_are_that_part_of_the_raster(tmp_path, data):
    height, width = 150, 91
    pixels = random_pixels((2, height, width), "uint16")
    path = tmp_path / "a.tif"
    if not path.exists():
        make_raster(path, pixels, block_px=32)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    high, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    with RasterReader(str(path), window=Window(top, left, high, wide)) as reader:
        for _ in range(3):
            row0, col0 = data.draw(st.integers(0, high - 1)), data.draw(st.integers(0, wide - 1))
            row1 = data.draw(st.integers(row0 + 1, high))
            col1 = data.draw(st.integers(col0 + 1, wide))
            found, valid = reader.read_rows(row0, row1, col0=col0, col1=col1)
            part = pixels[:, top + row0 : top + row1, left + col0 : left + col1]
            np.testing.assert_array_equal(found, part)
            assert valid.shape == part.shape[1:] and valid.all()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Rasters of 3 x 700 x 1024 pixels by layout."""
    folder = tmp_path_factory.mktemp("large")
    shape = (3, 700, 1024)
    return {
        "tiles": make_raster(folder / "tiles.tif", shape, block_px=256),
        "strips": make_raster(folder / "strips.tif", shape),
        "bands": make_raster(folder / "bands.tif", shape, interleave="band", block_px=128),
    }


def bytes_read():
    """Bytes that this process has asked the kernel for."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux")
@pytest.mark.parametrize("rows", [1, 100, 192, 700])
@pytest.mark.parametrize("layout", ["tiles", "strips", "bands"])
def test_each_block_is_read_once(large, layout, rows):
    # Random bytes do not compress: the file's size is the size of its blocks.
    path = large[layout]
    size = path.stat().st_size
    with RasterReader(str(path)) as reader:
        before = bytes_read()
        for row in range(0, 700, rows):
            reader.read_rows(row, min(row + rows, 700))
        once = bytes_read() - before
    assert 0.9 * size < once < 1.03 * size


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux")
def test_each_block_is_read_once_per_column_panel_and_when_resampled(large):
    path = large["tiles"]
    size = path.stat().st_size
    with RasterReader(str(path)) as reader:
        before = bytes_read()
        for col0, col1 in ((0, 768), (768, 1024)):
            for row in range(0, 700, 50):
                reader.read_rows(row, row + 50, col0=col0, col1=col1)
        assert bytes_read() - before < 1.03 * size
    for shape in ((413, 555), (901, 1300)):
        with RasterReader(str(path), shape_px=shape) as reader:
            before = bytes_read()
            read_in_pieces(reader, 37)
            assert bytes_read() - before < 1.03 * size


def test_the_gdal_cache_is_64_mebibytes(tmp_path):
    path = make_raster(tmp_path / "a.tif")
    with RasterReader(str(path)):
        assert rasterio.env.get_gdal_config("GDAL_CACHEMAX") == 64 << 20


def test_chunks_are_whole_blocks_unless_memory_forbids():
    assert chunk_rows(512, 10_000) == 512
    assert chunk_rows(1, 10_000) == 128
    assert chunk_rows(60, 10_000) == 180
    assert chunk_rows(60, 100) == 60
    assert chunk_rows(512, 100) == 100


def test_a_small_buffer_changes_nothing_but_the_effort(tmp_path, caplog):
    pixels = random_pixels((3, 200, 400))
    path = make_raster(tmp_path / "a.tif", pixels, block_px=128)
    with RasterReader(str(path), buffer_bytes=30_000) as reader:
        found, _ = read_in_pieces(reader, 33)
    np.testing.assert_array_equal(found, pixels)
    assert "so wide" in caplog.text


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 50), (3, 50, 1), (13, 37, 61)])
@pytest.mark.parametrize(
    "dtype",
    [
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
    ],
)
def test_thin_rasters_many_bands_and_all_types(tmp_path, shape, dtype):
    pixels = random_pixels(shape, dtype)
    path = make_raster(tmp_path / "a.tif", pixels)
    with RasterReader(str(path)) as reader:
        found, valid = reader.read_rows(0, shape[1])
        assert reader.dtype == dtype and found.dtype == np.dtype(dtype)
        assert reader.count == reader.data_band_count == shape[0]
    np.testing.assert_array_equal(found, pixels)
    assert valid.all()


@pytest.mark.parametrize("transform", [ROTATED_1_M, SOUTH_UP_1_M, DEGREES])
def test_the_grid_is_the_files_and_follows_the_window(tmp_path, transform):
    path = make_raster(tmp_path / "a.tif", transform=transform)
    with RasterReader(str(path), window=Window(4, 9, 20, 30), shape_px=(10, 60)) as reader:
        assert tuple(reader.source_grid.transform)[:6] == pytest.approx(tuple(transform)[:6])
        corner = reader.source_grid.pixel_to_map(4 + 20, 9 + 30)
        assert reader.grid.pixel_to_map(10, 60) == pytest.approx(corner)
        assert (reader.grid.height, reader.grid.width) == (10, 60)


def test_bands_come_in_the_order_that_is_asked_for(tmp_path):
    pixels = random_pixels((4, 20, 30))
    path = make_raster(tmp_path / "a.tif", pixels, descriptions=("Blue", "Green", "RED", ""))
    with RasterReader(str(path), bands=(3, 1, 1)) as reader:
        np.testing.assert_array_equal(reader.read_rows(0, 20)[0], pixels[[2, 0, 0]])
        assert reader.band_names[:3] == ("blue", "green", "red")
        assert reader.bands == (3, 1, 1)


def test_a_raster_without_crs_has_an_empty_one(tmp_path):
    with RasterReader(str(make_raster(tmp_path / "a.tif", crs=None))) as reader:
        assert reader.grid.crs_wkt == ""


def test_the_crs_is_wkt2(tmp_path):
    with RasterReader(str(make_raster(tmp_path / "a.tif"))) as reader:
        assert reader.grid.crs_wkt.startswith("PROJCRS[")


def test_rows_outside_the_grid_are_a_programming_error(tmp_path):
    with RasterReader(str(make_raster(tmp_path / "a.tif"))) as reader:
        for rows in ((0, 38), (-1, 3), (5, 5)):
            with pytest.raises(ValueError, match="not inside"):
                reader.read_rows(*rows)


def test_a_reader_may_be_used_from_another_thread(tmp_path):
    pixels = random_pixels((3, 297, 131))
    path = make_raster(tmp_path / "a.tif", pixels, block_px=64)
    found = []
    with RasterReader(str(path)) as reader:
        threads = [
            threading.Thread(target=lambda: found.append(read_in_pieces(reader, 13)[0]))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 3
    for result in found:
        np.testing.assert_array_equal(result, pixels)


def test_fingerprints_tell_rasters_apart_and_copies_not(tmp_path):
    pixels = random_pixels((3, 500, 600))
    path = make_raster(tmp_path / "a.tif", pixels, block_px=64)
    shutil.copy(path, tmp_path / "copy.tif")
    changed = pixels.copy()
    changed[:, 240:260, 290:310] ^= 1
    others = [
        make_raster(tmp_path / "b.tif", changed, block_px=64),
        make_raster(tmp_path / "c.tif", pixels, transform=SOUTH_UP_1_M),
        make_raster(tmp_path / "d.tif", pixels, crs="EPSG:32644"),
        make_raster(tmp_path / "e.tif", pixels, nodata=0),
        make_raster(tmp_path / "f.tif", pixels[:, :499]),
    ]

    def fingerprint(file):
        with RasterReader(str(file)) as reader:
            return reader.fingerprint()

    assert fingerprint(path) == fingerprint(tmp_path / "copy.tif") == fingerprint(path)
    assert len({fingerprint(file) for file in (path, *others)}) == 6

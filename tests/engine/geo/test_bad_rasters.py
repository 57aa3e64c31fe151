"""What is wrong with a raster is said with its name and a way out."""

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

from engine.errors import EngineError, RasterError, RasterReadError
from engine.geo.raster import RasterReader
from engine.geo.windows import Window
from tests.factories import make_raster, random_pixels


def refused(source, kind=RasterError, **options):
    with pytest.raises(EngineError) as caught:
        RasterReader(str(source), **options)
    assert type(caught.value) is kind
    assert caught.value.hint and "\n" not in str(caught.value)
    return caught.value


def test_missing(tmp_path):
    error = refused(tmp_path / "no such.tif", RasterReadError)
    assert "no such.tif" in error.message and "does not exist" in error.message


def test_folder_text_and_empty_name(tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    assert "text.tif is not a raster" in refused(text, RasterReadError).message
    assert "is a folder" in refused(tmp_path, RasterReadError).message
    assert "does not exist" in refused("", RasterReadError).message
    (tmp_path / "empty.tif").touch()
    assert "empty.tif" in refused(tmp_path / "empty.tif", RasterReadError).message


def test_only_a_header(tmp_path):
    path = make_raster(tmp_path / "a.tif", (3, 300, 300))
    path.write_bytes(path.read_bytes()[:40])
    assert "a.tif" in refused(path, RasterReadError).message


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("options", [{"block_px": 64}, {}])
def test_truncated_in_the_middle_names_the_rows(tmp_path, options, threads):
    path = make_raster(tmp_path / "cut.tif", (3, 640, 300), **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with RasterReader(str(path), threads=threads) as reader:
        reader.read_rows(0, 100)
        with pytest.raises(RasterReadError) as caught:
            for row in range(100, 640, 50):
                reader.read_rows(row, min(row + 50, 640))
        assert caught.value.message.startswith("rows ")
        first = int(caught.value.message.split()[1].split("..")[0])
        assert 200 <= first <= 384 and "cut.tif" in caught.value.message
        reader.read_rows(0, 100)


def test_damaged_blocks(tmp_path):
    path = make_raster(tmp_path / "a.tif", (1, 640, 300), block_px=64)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    with RasterReader(str(path)) as reader, pytest.raises(RasterReadError, match="rows "):
        reader.read_rows(0, 640)


def test_complex_numbers(tmp_path):
    path = make_raster(tmp_path / "a.tif", np.zeros((1, 4, 5), np.complex64))
    assert "complex" in refused(path).message


def test_no_place_on_the_map(tmp_path):
    error = refused(make_raster(tmp_path / "a.tif", transform=None, crs=None))
    assert "no place on the map" in error.message and "eoreference" in error.hint


def test_control_points_only(tmp_path):
    path = tmp_path / "a.tif"
    points = [
        GroundControlPoint(row, col, 85 + col * 1e-5, 27 - row * 1e-5)
        for row in (0, 37)
        for col in (0, 61)
    ]
    profile = {"driver": "GTiff", "height": 37, "width": 61, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", gcps=points, crs="EPSG:4326", **profile) as out:
        out.write(random_pixels((1, 37, 61)))
    error = refused(path)
    assert "control points" in error.message and "gdalwarp" in error.hint


def test_a_transform_that_flattens_the_ground(tmp_path):
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="5"><GeoTransform>10,1,1,20,1,1</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    assert "no place on the map" in refused(vrt).message


@pytest.mark.parametrize("bands", [(0,), (4,), (1, -1)])
def test_a_band_that_is_not_there(tmp_path, bands):
    error = refused(make_raster(tmp_path / "a.tif"), bands=bands)
    assert "it has 3" in error.message and "1 to 3" in error.hint


@pytest.mark.parametrize("window", [Window(0, 0, 0, 5), Window(30, 0, 8, 5), Window(-1, 0, 3, 3)])
def test_a_window_that_is_not_inside(tmp_path, window):
    assert "37 x 61" in refused(make_raster(tmp_path / "a.tif"), window=window).message


def test_parts_of_a_file_by_gdal_name(tmp_path):
    path = make_raster(tmp_path / "a.tif", (1, 10, 10))
    with RasterReader(f"GTIFF_DIR:1:{path}") as reader:
        assert reader.grid.height == 10
    assert "GTIFF_DIR:9" in refused(f"GTIFF_DIR:9:{path}", RasterReadError).message


def test_a_container_names_its_rasters(tmp_path):
    path = tmp_path / "two.gpkg"
    for name in ("first", "second"):
        options = {"raster_table": name, "append_subdataset": name == "second"}
        make_raster(path, driver="GPKG", compress=None, interleave=None, **options)
    error = refused(path)
    assert "container" in error.message and "first" in error.hint and "second" in error.hint


def test_mixed_data_types_are_widened(tmp_path):
    make_raster(tmp_path / "byte.tif", np.full((1, 4, 5), 200, np.uint8))
    make_raster(tmp_path / "short.tif", np.full((1, 4, 5), -3, np.int16))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{name}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for i, (kind, name) in enumerate((("Byte", "byte"), ("Int16", "short")), 1)
    )
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4">'
        f"<GeoTransform>9,1,0,9,0,-1</GeoTransform>{bands}</VRTDataset>"
    )
    with RasterReader(str(vrt)) as reader:
        assert reader.dtype == "int16"
        pixels, _ = reader.read_rows(0, 4)
        assert (pixels[0] == 200).all() and (pixels[1] == -3).all()
        assert reader.fingerprint()

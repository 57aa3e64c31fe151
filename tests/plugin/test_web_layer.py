"""A web layer (XYZ tiles, served from files here) is exported for the extent and segmented."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from osgeo import gdal
from qgis.core import (
    QgsCoordinateTransformContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.testing import start_app

from rs_segment_plugin.layers.raster_source import ground_size_m, raster_source
from tests.plugin.rasters import class_map, write_raster

pytestmark = pytest.mark.qgis
start_app()
gdal.UseExceptions()

HALF_WORLD_M = 20037508.342789244
ZOOM = 2
TILE_PX = 256
TILE_M = 2 * HALF_WORLD_M / 2**ZOOM


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> Path:
    """Tiles of zoom 2; each has its column in red and 50 times its row in green."""
    folder = tmp_path_factory.mktemp("tiles")
    memory, png = gdal.GetDriverByName("MEM"), gdal.GetDriverByName("PNG")
    for column in range(2**ZOOM):
        for row in range(2**ZOOM):
            data = memory.Create("", TILE_PX, TILE_PX, 3)
            for band, value in enumerate((column, 50 * row, 99), 1):
                data.GetRasterBand(band).Fill(value)
            path = folder / str(ZOOM) / str(column) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            png.CreateCopy(str(path), data)
    for aux in folder.rglob("*.aux.xml"):
        aux.unlink()
    return folder


@pytest.fixture
def layer(tiles) -> QgsRasterLayer:
    url = f"file://{tiles}/%7Bz%7D/%7Bx%7D/%7By%7D.png"
    made = QgsRasterLayer(f"type=xyz&url={url}&zmin={ZOOM}&zmax={ZOOM}", "tiles", "wms")
    assert made.isValid()
    return made


def test_a_web_layer_has_no_gdal_source_but_a_file_has(layer, tmp_path):
    assert raster_source(layer).gdal == ""
    path = write_raster(tmp_path / "a b.tif", class_map())
    assert raster_source(QgsRasterLayer(str(path))).gdal == str(path)
    options = QgsRasterLayer(f"{path}|option:NUM_THREADS=2")
    assert options.isValid() and raster_source(options).gdal == ""
    gdal.GetDriverByName("GTiff").CreateCopy("/vsimem/b.tif", gdal.Open(str(path)))
    memory = QgsRasterLayer("/vsimem/b.tif")
    assert memory.isValid() and raster_source(memory).gdal == ""


def export(layer, path, extent, gsd_m, feedback=None, report=None):
    raster_source(layer).export(
        str(path),
        extent,
        gsd_m,
        QgsCoordinateTransformContext(),
        feedback or QgsProcessingFeedback(False),
        report or (lambda event: None),
    )


def test_the_export_has_the_pixels_extent_and_ground_resolution(layer, tmp_path):
    extent = QgsRectangle(-TILE_M / 2, -TILE_M / 4, TILE_M / 2, TILE_M / 4)
    width_m, _ = ground_size_m(extent, layer.crs(), QgsCoordinateTransformContext())
    events = []
    export(layer, tmp_path / "out.tif", extent, width_m / 120, report=events.append)
    data = gdal.Open(str(tmp_path / "out.tif"))
    assert (data.RasterXSize, data.RasterCount >= 3) == (120, True)
    left, step, _, top, _, _ = data.GetGeoTransform()
    assert (left, top) == pytest.approx((extent.xMinimum(), extent.yMaximum()))
    assert step == pytest.approx(extent.width() / 120)
    pixel = [data.GetRasterBand(b).ReadRaster(30, 10, 1, 1)[0] for b in (1, 2, 3)]
    assert pixel == [1, 50 * 1, 99]
    pixel = [data.GetRasterBand(b).ReadRaster(90, data.RasterYSize - 9, 1, 1)[0] for b in (1, 2)]
    assert pixel == [2, 50 * 2]
    assert events and events[-1].stage == "export"


def test_without_extent_the_way_out_is_named(layer, tmp_path):
    with pytest.raises(QgsProcessingException, match="Choose an extent"):
        export(layer, tmp_path / "out.tif", QgsRectangle(), 1.0)


def test_a_size_beyond_all_sense_is_refused(layer, tmp_path):
    with pytest.raises(QgsProcessingException, match="Choose a smaller extent"):
        export(layer, tmp_path / "out.tif", layer.extent(), 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_export_ends(layer, tmp_path):
    feedback = QgsProcessingFeedback(False)
    feedback.cancel()
    extent = QgsRectangle(-TILE_M, -TILE_M, TILE_M, TILE_M)
    export(layer, tmp_path / "out.tif", extent, 10_000, feedback)


def test_ground_size_is_measured_on_the_ellipsoid():
    from qgis.core import QgsCoordinateReferenceSystem

    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    box = QgsRectangle(-0.5, 59.5, 0.5, 60.5)
    width_m, height_m = ground_size_m(box, degrees, QgsCoordinateTransformContext())
    # One degree at 60 degrees north on WGS 84: 55.80 km of longitude, 111.41 km of latitude.
    assert width_m == pytest.approx(55_800, abs=10)
    assert height_m == pytest.approx(111_412, abs=20)

"""Preflight: resolution, bands, tiles and warnings against hand-worked numbers."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("qgis.core")

from osgeo import gdal
from qgis.core import QgsRasterLayer, QgsRectangle
from qgis.testing import start_app

from rs_segment_plugin.engine_api import find_model
from rs_segment_plugin.gui.preflight import (
    OK,
    PROBLEM,
    WARNING,
    Workload,
    default_bands,
    preflight,
    working_size,
    worst_level,
)
from rs_segment_plugin.gui.raster_facts import length_text, read_facts
from tests.plugin.gui_window import write_card, write_raster

pytestmark = pytest.mark.qgis
start_app()


def facts_of(path):
    layer = QgsRasterLayer(str(path), "test")
    assert layer.isValid()
    return read_facts(layer)


@pytest.fixture
def card(tmp_path):
    return find_model(str(write_card(tmp_path / "model"))).card


def notes_of(facts, card, bands=(1, 2, 3)):
    return preflight(facts, card, bands, Workload(facts.height_px, facts.width_px, 512, 64))


def texts(notes, level):
    return " ".join(note.text for note in notes if note.level == level)


def test_pixel_sides_of_a_metric_grid_are_its_own(tmp_path):
    grid = (500_000.0, 2.0, 0.0, 5_500_000.0, 0.0, -1.0)
    facts = facts_of(write_raster(tmp_path / "a.tif", transform=grid))
    # UTM is not true to scale; near its central meridian the factor is 0.9996.
    assert facts.pixel_m == pytest.approx((1.0, 2.0), rel=1e-3)
    assert facts.gsd_m == pytest.approx(math.sqrt(2.0), rel=1e-3)


def test_pixel_sides_of_a_grid_in_degrees_are_geodesic(tmp_path):
    step = 1e-5
    grid = (10.0, step, 0.0, 60.0, 0.0, -step)
    facts = facts_of(write_raster(tmp_path / "a.tif", transform=grid, epsg=4326))
    # At 60 degrees north a degree is 111 412 m along the meridian, 55 800 m along the parallel.
    assert facts.pixel_m == pytest.approx((1.11412, 0.55800), rel=1e-3)


def test_pixel_sides_in_feet_become_metres(tmp_path):
    grid = (2_000_000.0, 3.0, 0.0, 700_000.0, 0.0, -3.0)
    facts = facts_of(write_raster(tmp_path / "a.tif", transform=grid, epsg=2263))
    assert facts.pixel_m == pytest.approx((3 * 0.3048006,) * 2, rel=1e-3)


def test_tiles_are_counted_like_windows_are_laid():
    def laid(length, tile, overlap):
        starts, at = 1, 0
        while at + tile < length:
            at += tile - overlap
            starts += 1
        return starts

    for tile, overlap in ((16, 0), (16, 4), (16, 15), (512, 64)):
        for rows in (1, 15, 16, 17, 28, 29, 61, 512, 961):
            work = Workload(rows, 37, tile, overlap)
            assert work.tiles == laid(rows, tile, overlap) * laid(37, tile, overlap)


def test_area_is_cut_to_the_raster_and_counted_in_whole_pixels(tmp_path):
    facts = facts_of(write_raster(tmp_path / "a.tif"))
    assert facts.size_of(facts.extent) == (37, 61)
    corner = QgsRectangle(500_000 - 50, 5_500_000 - 10, 500_000 + 20, 5_500_000 + 90)
    assert facts.size_of(corner) == (10, 20)
    assert facts.size_of(QgsRectangle(0, 0, 10, 10)) == (0, 0)


def test_fitting_raster_has_only_good_news(tmp_path, card):
    notes = notes_of(facts_of(write_raster(tmp_path / "a.tif")), card)
    assert worst_level(notes) == OK
    assert "fits the model" in texts(notes, OK) and "1 tile" in texts(notes, OK)


def test_coarser_raster_is_resampled_and_says_so(tmp_path, card):
    grid = (500_000.0, 4.0, 0.0, 5_500_000.0, 0.0, -3.0)
    facts = facts_of(write_raster(tmp_path / "a.tif", transform=grid))
    assert working_size(facts, card, (37, 61)) == (111, 244)
    notes = notes_of(facts, card)
    assert worst_level(notes) == WARNING and "coarser" in texts(notes, WARNING)


def test_far_too_coarse_raster_may_not_run(tmp_path, card):
    grid = (500_000.0, 10.0, 0.0, 5_500_000.0, 0.0, -10.0)
    notes = notes_of(facts_of(write_raster(tmp_path / "a.tif", transform=grid)), card)
    assert "too coarse" in texts(notes, PROBLEM)


def test_missing_crs_and_foreign_pixel_type_are_warnings(tmp_path, card):
    path = write_raster(tmp_path / "a.tif", dtype=gdal.GDT_UInt16, epsg=0)
    warnings = texts(notes_of(facts_of(path), card), WARNING)
    assert "no coordinate system" in warnings and "UInt16" in warnings and "uint8" in warnings


def test_too_few_bands_name_the_way_out_until_they_are_mapped(tmp_path, card):
    facts = facts_of(write_raster(tmp_path / "a.tif", bands=1))
    bands, by_name = default_bands(facts, card)
    assert bands == (1, 0, 0) and not by_name
    problem = texts(notes_of(facts, card, bands), PROBLEM)
    assert "needs 3 bands (red, green, blue)" in problem and "has 1" in problem
    assert worst_level(notes_of(facts, card, (1, 1, 1))) == WARNING


def test_bands_are_found_by_name_in_any_order(tmp_path, card):
    names = ("coastal", "Blue", "B3 Green", "red", *(f"x{n}" for n in range(9)))
    facts = facts_of(write_raster(tmp_path / "a.tif", bands=13, names=names))
    assert default_bands(facts, card) == ((4, 3, 2), True)


def test_bands_without_names_are_taken_in_order_without_alpha(tmp_path, card):
    path = write_raster(tmp_path / "a.tif", bands=4, names=("", "", "", ""))
    data = gdal.Open(str(path), gdal.GA_Update)
    data.GetRasterBand(1).SetColorInterpretation(gdal.GCI_AlphaBand)
    for number in (2, 3, 4):
        data.GetRasterBand(number).SetColorInterpretation(gdal.GCI_Undefined)
    del data
    assert default_bands(facts_of(path), card) == ((2, 3, 4), False)


def test_lengths_keep_three_digits_and_their_unit():
    assert [length_text(v).replace("\u00a0", " ") for v in (0.0613, 0.5, 1.0, 10.0, 2500)] == [
        "6.13 cm",
        "50 cm",
        "1 m",
        "10 m",
        "2.5 km",
    ]

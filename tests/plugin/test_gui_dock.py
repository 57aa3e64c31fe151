"""The dock in a window of its own: parameters, remembered choices, interrupted runs, refusals."""

from __future__ import annotations

import pytest

pytest.importorskip("qgis.core")

from qgis.core import QgsApplication, QgsProcessing, QgsProject, QgsSettings
from qgis.testing import start_app

from rs_segment_plugin.algorithms import segment as ids
from rs_segment_plugin.gui.algorithm_run import command_text, find_algorithm, make_context
from rs_segment_plugin.gui.dock import RsSegmentDock
from rs_segment_plugin.provider import RsSegmentProvider
from rs_segment_plugin.worker.client import EngineClient
from rs_segment_plugin.worker.environment import EngineEnvironment
from tests.plugin.gui_window import Window, add_raster, spin, wait_for, write_card, write_raster

pytestmark = pytest.mark.qgis
start_app()


@pytest.fixture
def services(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path / "zoo"))
    QgsSettings().remove("rs_segment")
    write_card(tmp_path / "zoo" / "roofs")
    QgsProject.instance().clear()
    client = EngineClient()
    environment = EngineEnvironment(client)
    provider = RsSegmentProvider(client, environment)
    QgsApplication.processingRegistry().addProvider(provider)
    yield environment
    QgsApplication.processingRegistry().removeProvider(provider)
    environment.close()
    client.close()
    QgsProject.instance().clear()
    QgsSettings().remove("rs_segment")


@pytest.fixture
def window(services):
    window = Window()
    yield window
    window.mainWindow().close()


@pytest.fixture
def dock(window, services, tmp_path):
    layer = add_raster(write_raster(tmp_path / "town.tif"))
    dock = RsSegmentDock(window, services)
    window.show(dock, 320)
    window.activate(layer)
    dock.segment.page.model.choose("roofs")
    spin(300)
    yield dock
    dock.shutdown()


def test_parameters_are_what_the_algorithm_takes(dock, window):
    page = dock.segment.page
    parameters = page.parameters()
    layer = page.raster.layer()
    assert parameters == {
        ids.RASTER: layer.id(),
        ids.MODEL: "roofs",
        ids.BANDS: [1, 2, 3],
        ids.DEVICE: "auto",
        ids.OUTPUT: QgsProcessing.TEMPORARY_OUTPUT,
    }
    page.options.set_values({**page.options.values(), ids.TILE: 96, ids.TTA: True})
    window.mapCanvas().setDestinationCrs(layer.crs())
    window.mapCanvas().setExtent(layer.extent())
    page.area.set_mode("view")
    algorithm = find_algorithm(ids.ALGORITHM_ID)
    known = {definition.name() for definition in algorithm.parameterDefinitions()}
    assert set(page.parameters()) <= known
    assert algorithm.checkParameterValues(page.parameters(), make_context())[0]
    command = command_text(ids.ALGORITHM_ID, page.parameters())
    assert "--TILE=96" in command and "--EXTENT=" in command and "town.tif" in command


def test_output_without_an_ending_becomes_a_geopackage(dock, tmp_path):
    page = dock.segment.page
    page.output.setFilePath(str(tmp_path / "roofs"))
    assert page.parameters()[ids.OUTPUT] == str(tmp_path / "roofs.gpkg")
    page.output.setFilePath(str(tmp_path / "nowhere" / "roofs.gpkg"))
    assert wait_for(lambda: not dock.segment.panel.run_button.isEnabled(), 3)
    assert "nowhere does not exist" in dock.segment.panel.notes_label.text()


def test_choices_are_remembered_for_the_next_session(dock, window, services):
    page = dock.segment.page
    page.options.score.setValue(0.75)
    page.device.setCurrentIndex(page.device.findData("cpu"))
    page.area.set_mode("view")
    page.remember()
    other = RsSegmentDock(window, services)
    again = other.segment.page
    assert again.model.model_id() == "roofs" and again.device.currentData() == "cpu"
    assert again.options.values()[ids.SCORE] == 0.75 and again.area.mode() == "view"
    other.shutdown()


def test_an_interrupted_run_is_continued_only_with_the_same_inputs(dock, tmp_path):
    page = dock.segment.page
    page.output.setFilePath(str(tmp_path / "a.gpkg"))
    page.remember()
    page.look_for_interrupted_run()
    assert not page.resume.isVisibleTo(page) and ids.RESUME not in page.parameters()
    (tmp_path / ".a.gpkg.run").mkdir()
    page.look_for_interrupted_run()
    assert page.resume.isVisibleTo(page) and page.parameters()[ids.RESUME] is True
    page.options.tta.setChecked(True)
    assert wait_for(lambda: not page.resume.isChecked(), 3)
    assert ids.RESUME not in page.parameters()
    page.options.tta.setChecked(False)
    assert wait_for(page.resume.isChecked, 3)


def test_a_file_that_a_layer_shows_is_refused_with_a_way_out(dock, window, tmp_path):
    panel = dock.segment.panel
    target = add_raster(write_raster(tmp_path / "classes.tif"))
    dock.segment.page.options.class_raster.setFilePath(target.source())
    spin(300)
    panel.run_button.click()
    item = window.messageBar().currentItem()
    assert "is shown by the layer 'classes'." in item.text() and "another name" in item.text()
    assert not dock.segment.run.running() and panel.run_button.text() == "Run"


def test_a_layer_whose_file_is_gone_switches_run_off(dock, window, tmp_path):
    gone = add_raster(tmp_path / "gone.tif")
    window.activate(gone)
    assert wait_for(lambda: not dock.segment.panel.run_button.isEnabled(), 3)


def test_dock_follows_rasters_and_ignores_other_layers(dock, window, tmp_path):
    first = dock.segment.page.raster.layer()
    second = add_raster(write_raster(tmp_path / "other.tif", bands=1))
    window.activate(second)
    assert dock.segment.page.raster.layer().id() == second.id()
    assert wait_for(lambda: "needs 3 bands" in dock.segment.panel.notes_label.text(), 3)
    window.activate(None)
    assert dock.segment.page.raster.layer().id() == second.id()
    QgsProject.instance().removeMapLayer(second.id())
    assert dock.segment.page.raster.layer().id() == first.id()


def test_nothing_needs_horizontal_scrolling_at_320_pixels(dock):
    page = dock.segment.page
    for box in (page.bands, page.options):
        box.setCollapsed(False)
    page.area.set_mode("polygons")
    spin(100)
    for part in (page, dock.segment.panel, dock.engine):
        assert part.minimumSizeHint().width() <= 320
    assert dock.tabs.minimumSizeHint().width() <= 320

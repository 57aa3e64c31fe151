"""Parts of the Train tab: curves, labels, start, checks, the states of a training, corrections."""

from __future__ import annotations

import json
import re
import time

import pytest

pytest.importorskip("qgis.core")

from qgis.core import (
    QgsApplication,
    QgsProject,
    QgsReferencedRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QColor, QImage, QTextDocument
from qgis.testing import start_app

from rs_segment_plugin.engine_api import Cancelled, Metrics, Progress, Result, list_networks
from rs_segment_plugin.gui.curve_data import MAX_POINTS, Curve, tick_text, ticks, value_range
from rs_segment_plugin.gui.curve_plot import COLORS, CurvePlot
from rs_segment_plugin.gui.label_input import LabelInput
from rs_segment_plugin.gui.network_page import page_file
from rs_segment_plugin.gui.start_picker import PAGE, StartPicker
from rs_segment_plugin.gui.train_checks import TrainInputs, train_notes
from rs_segment_plugin.gui.train_monitor import TrainMonitor
from rs_segment_plugin.gui.train_names import free_title, training_paths
from rs_segment_plugin.gui.train_run import IDLE, PAUSED, TRAINING, TrainRun
from rs_segment_plugin.layers.labels_copy import area_layer, editable_copy, is_result, model_of
from rs_segment_plugin.provider import RsSegmentProvider
from rs_segment_plugin.worker.environment import EngineEnvironment
from tests.plugin.gui_window import add_raster, spin, wait_for, write_card
from tests.plugin.gui_window import write_raster as write_photo
from tests.plugin.rasters import NORTH, PYTHON, WEST, write_identity
from tests.plugin.test_training_algorithms import categorized, label_layer, saved

pytestmark = pytest.mark.qgis
start_app()


@pytest.fixture(autouse=True)
def zoo(tmp_path, monkeypatch):
    monkeypatch.setenv("RS_SEGMENT_ZOO", str(tmp_path / "zoo"))
    monkeypatch.setenv("RS_SEGMENT_PYTHON", PYTHON)
    yield tmp_path / "zoo"
    QgsProject.instance().clear()


def test_a_curve_stays_small_and_keeps_its_mean():
    curve = Curve("loss", "train")
    for step in range(4 * MAX_POINTS):
        curve.add(step, 2.0 + (step % 2))
    curve.add(1.0, float("nan"))
    assert MAX_POINTS / 2 <= len(curve.points) <= MAX_POINTS
    assert {y for _, y in curve.points} == {2.5} == {round(y, 9) for _, y in curve.smoothed()}
    assert curve.points[0][0] == pytest.approx(3.5) and curve.last() == 2.5


def test_marks_of_an_axis_are_round_numbers():
    assert ticks(0.0, 1.0, 4) == [0.0, 0.5, 1.0]
    assert ticks(0.13, 0.87, 4) == [0.2, 0.4, 0.6, 0.8]
    assert ticks(0, 1234, 4) == [0, 500, 1000]
    assert ticks(3.0, 3.0) == [3.0]
    assert [tick_text(v) for v in (0.25, 12000.0, 3.0)] == ["0.25", "12k", "3"]


def test_wild_first_steps_do_not_flatten_the_loss():
    curve = Curve("loss", "train", [(step, 1.0) for step in range(200)])
    curve.points[0] = (0, 500.0)
    assert value_range([curve], unit=False)[1] < 2
    share = Curve("iou", "val", [(0, 0.0), (1, 1.0)])
    assert value_range([share], unit=True) == (0.0, 1.0)


def test_the_plot_draws_training_and_validation_in_their_colours():
    plot = CurvePlot("Loss")
    plot.resize(300, 140)
    empty = plot.grab().toImage()
    train = Curve("training", "train", [(x, x / 5) for x in range(6)])
    val = Curve("validation", "val", [(0, 1.0), (5, 0.0)])
    plot.show_curves([train, val], 5)
    image = plot.grab().toImage()
    assert image != empty
    found = {image.pixelColor(x, y).name() for x in range(300) for y in range(140)}
    assert QColor(COLORS[0]).name() in found and QColor(COLORS[1]).name() in found


def test_the_monitor_shows_the_classes_and_the_best_value():
    monitor, steps = TrainMonitor(), []
    monitor.first_step.connect(lambda: steps.append(1))
    monitor.restart("Roofs", "U-Net <quick>")
    monitor.take(Metrics("train", 1, 0.1, {"loss": 1.5, "lr": 0.001}))
    values = {"loss": 1.0, "iou_background": 0.9, "iou_roof": 0.5, "iou_mean": 0.5, "miou": 0.7}
    monitor.take(Metrics("val", 10, 1.0, values))
    monitor.take(Metrics("val", 20, 2.0, {**values, "iou_roof": 0.4, "iou_mean": 0.4}))
    assert [curve.name for curve in monitor.loss_plot.curves()] == ["training", "validation"]
    assert [curve.name for curve in monitor.metric_plot.curves()] == ["roof", "with background"]
    assert "best roof 0.500 at step 10" in monitor.numbers.text()
    assert steps == [1] and "&lt;quick&gt;" in monitor.head.text()
    monitor.show_end(report="/tmp/a report.html", model=True)
    assert "a%20report.html" in monitor.links.text() or "a report.html" in monitor.links.text()


def test_labels_show_their_classes_with_colour_and_count():
    widget, layer = LabelInput(), label_layer(("roof", "road", "roof", None))
    categorized(layer, {"roof": "#e6550d"})
    QgsProject.instance().addMapLayer(layer)
    widget.set_layer(layer)
    assert widget.class_field() == "kind" and widget.counts == {"": 1, "road": 1, "roof": 2}
    text = widget.classes.text()
    assert "#e6550d" in text and "roof" in text and "1 polygons have no class" in text
    layer.startEditing()
    first = next(layer.getFeatures())
    layer.changeAttributeValue(first.id(), layer.fields().lookupField("kind"), "tree")
    assert wait_for(lambda: widget.counts.get("tree") == 1, 3)
    layer.select(first.id())
    assert widget.selected_only.isVisibleTo(widget)
    widget.selected_only.setChecked(True)
    assert widget.value().selectedFeaturesOnly
    widget.field.setField("")
    assert "one class" in widget.classes.text() and widget.single_class() == "object"
    layer.rollBack()
    widget.dispose()


def test_networks_stand_below_their_task_and_models_can_be_tuned(zoo):
    model = write_identity(zoo / "mine", 2)
    picker = StartPicker()
    names = [picker.network.itemData(i) for i in range(picker.network.count())]
    assert names[0] is None and names[1] == "unet" == picker.network_name()
    assert {"farseg_r50", "hq_isnet_w18"} <= set(names) and names.count(None) == 2
    assert {"linknet", "manet", "pan", "dpt", "fpn", "ocrnet"} <= set(names)  # no other variant
    assert not {"farseg", "deeplabv3plus", "hq_isnet"} & set(names)
    picker.set_network("hq_isnet_w18")
    assert picker.network_name() == "hq_isnet_w18" and "graphics card" in picker.about.text()
    assert picker.set_init(str(model)) and picker.network_name() == ""
    assert picker.entry().id == "mine" and not picker.network.isVisibleTo(picker)


def test_the_chosen_network_says_what_it_is_good_at_and_what_it_costs(zoo):
    picker = StartPicker()
    picker.set_network("unet_r50")
    text = picker.about.text()
    assert "Good at little data" in text and "32.5 million parameters" in text
    assert re.search(r"[\d.]+ s per megapixel on one processor core, 1 times U-Net", text)
    assert PAGE in text and "Good at little data" in picker.network.itemData(
        picker.network.currentIndex(), Qt.ItemDataRole.ToolTipRole
    )


def test_the_page_of_a_network_opens_offline_with_its_picture(zoo):
    picker = StartPicker()
    assert all(page_file(info.page).is_file() for info in list_networks())
    page = picker.open_page()
    text = page.browser.toPlainText()
    assert "Ronneberger" in text and "GMACs" in text and "cost: start" not in text
    image = QTextDocument.ResourceType.ImageResource
    picture = page.browser.loadResource(image, QUrl("../images/networks/unet.jpg"))
    assert not QImage.fromData(picture).isNull()
    page.browser.anchorClicked.emit(QUrl("deeplabv3plus.md"))
    assert "Papandreou" in page.browser.toPlainText() and "DeepLabV3+" in page.windowTitle()
    page.browser.anchorClicked.emit(QUrl("nothing.md"))
    assert "Papandreou" in page.browser.toPlainText()
    page.close()


def inputs(facts, layer, **changes):
    values = {
        **{"field": "kind", "counts": {"road": 30, "roof": 30}, "area": None, "tile_px": 8},
        **{"title": "Roofs", "resuming": False, **changes},
    }
    return TrainInputs(facts, layer, **values)


def test_what_speaks_against_a_training_is_said(tmp_path, zoo):
    from rs_segment_plugin.gui.raster_facts import read_facts

    path = write_photo(tmp_path / "town.tif", transform=(WEST, 2.0, 0.0, NORTH, 0.0, -1.0))
    facts = read_facts(add_raster(path))
    layer = label_layer(("roof", "road") * 30)
    said = [note.text for note in train_notes(inputs(facts, layer))]
    assert said[-1] == "60 polygons of 2 classes" and "background" in said[0]
    for changes, words in (
        ({"title": ""}, "name"),
        ({"counts": {"": 60}}, "No polygon has a class"),
        ({"tile_px": 512}, "Only about 1 samples"),
    ):
        assert words in train_notes(inputs(facts, layer, **changes))[0].text
    far = label_layer(("roof",), uri="MultiPolygon?crs=EPSG:32733")
    assert "outside the raster" in train_notes(inputs(facts, far))[0].text
    write_card(zoo / "roofs", id="roofs")
    assert "model of this name" in train_notes(inputs(facts, layer))[0].text


def test_names_and_places_of_a_training(zoo):
    paths = training_paths("Roofs of my town!")
    assert paths.model == zoo / "roofs_of_my_town" and paths.work.name.endswith(".training")
    assert not paths.interrupted()
    paths.work.mkdir(parents=True)
    job = {"network": "unet", "options": ["a=1", "b=2"], "epochs": 0, "preset": "", "resume": True}
    (paths.work / "job.json").write_text(json.dumps(job))
    assert paths.interrupted()
    earlier = paths.earlier_parameters()
    assert (earlier["NETWORK"], earlier["OPTIONS"]) == ("unet", "a=1;b=2")
    assert "PRESET" not in earlier and "RESUME" not in earlier
    write_card(zoo / "roofs_2", id="roofs_2")
    assert (free_title("Roofs"), free_title("Roofs 2"), free_title("2020")) == (
        *("Roofs 3", "Roofs 3", "2020 2"),
    )


class Trainer:
    """Stands where the client stands: trains until it is cancelled, keeps what was asked."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, dict]] = []
        self.steps = 10_000

    def run(self, python, job, fields, on_event, cancelled, *, save_s=0.0):
        self.jobs.append((job, fields))
        if job == "chips":
            return Result({"chips": fields["output"]}, {"train": 1})
        if fields["finish"]:
            return Result({"model": fields["output"]}, details={"model_id": "roofs"})
        for step in range(1, self.steps + 1):
            on_event(Progress("train", step, self.steps, "steps"))
            on_event(Metrics("train", step, step / 100, {"loss": 1.0}))
            if cancelled():
                return Cancelled()
            time.sleep(0.01)
        return Result({"model": fields["output"]}, details={"model_id": "roofs"})

    def close(self) -> None:
        pass


@pytest.fixture
def trainer():
    client = Trainer()
    provider = RsSegmentProvider(client, EngineEnvironment(client))
    QgsApplication.processingRegistry().addProvider(provider)
    yield client
    QgsApplication.processingRegistry().removeProvider(provider)


def training(tmp_path):
    """Return a started training with what it says."""
    run, seen = TrainRun(), {"states": [], "ends": [], "metrics": []}
    run.state_changed.connect(seen["states"].append)
    run.finished.connect(seen["ends"].append)
    run.metrics.connect(seen["metrics"].append)
    run.metrics.connect(lambda _event: run.note_step())
    raster = add_raster(write_photo(tmp_path / "town.tif"))
    labels = saved(label_layer(), tmp_path / "labels.gpkg")
    QgsProject.instance().addMapLayer(labels)
    chips = {"RASTER": [raster.id()], "LABELS": labels.id(), "OUTPUT": str(tmp_path / "chips")}
    train = {"NETWORK": "unet", "CHIPS": "later", "OUTPUT": str(tmp_path / "zoo" / "roofs")}
    assert run.start(chips, train) == ""
    assert wait_for(lambda: seen["metrics"] or seen["ends"], 30), seen
    return run, seen


def test_pause_resume_and_keep_are_runs_of_the_same_training(trainer, tmp_path):
    run, seen = training(tmp_path)
    assert run.state() == TRAINING and run.can_keep()
    run.pause()
    assert wait_for(lambda: run.state() == PAUSED, 10) and not seen["ends"]
    run.resume()
    count = len(seen["metrics"])
    assert wait_for(lambda: len(seen["metrics"]) > count, 20)
    run.keep()
    assert wait_for(lambda: seen["ends"], 20)
    assert seen["ends"][0].kind == "done" and run.state() == IDLE
    assert [job for job, _ in trainer.jobs] == ["chips", "train", "train", "train"]
    flags = [(fields["resume"], fields["finish"]) for _, fields in trainer.jobs[1:]]
    assert flags == [(False, False), (True, False), (True, True)]
    assert {fields["chips"] for _, fields in trainer.jobs[1:]} == {str(tmp_path / "chips")}
    assert seen["ends"][0].outputs["MODEL_ID"] == "roofs"


def test_a_training_whose_input_went_while_it_was_paused_ends(trainer, tmp_path, monkeypatch):
    run, seen = training(tmp_path)
    run.pause()
    assert wait_for(lambda: run.state() == PAUSED, 10)
    monkeypatch.setattr(
        run._train, "start", lambda _parameters: "The layer is gone\nChoose another."
    )
    run.resume()
    (end,) = seen["ends"]
    assert (end.kind, end.message, end.hint) == ("failed", "The layer is gone", "Choose another.")
    assert run.state() == IDLE and not run.active()


def test_cancel_ends_a_training_also_while_it_is_paused(trainer, tmp_path):
    run, seen = training(tmp_path)
    run.pause()
    assert wait_for(lambda: run.state() == PAUSED, 10)
    run.cancel()
    assert [end.kind for end in seen["ends"]] == ["cancelled"] and run.state() == IDLE
    QgsProject.instance().clear()
    run, seen = training(tmp_path)
    run.cancel()
    assert wait_for(lambda: seen["ends"], 10) and seen["ends"][0].kind == "cancelled"


def result_layer(tmp_path, zoo):
    """Return a layer as a run of the model ``roofs`` makes it."""
    write_card(zoo / "roofs")
    uri = "MultiPolygon?crs=EPSG:32633&field=class_id:integer&field=class_name:string"
    layer = label_layer((), uri=f"{uri}&field=model_id:string")
    from qgis.core import QgsFeature, QgsGeometry, QgsRectangle

    for number in range(3):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([1, "roof <flat>", "roofs"])
        box = QgsRectangle(WEST + 5 * number, NORTH - 4, WEST + 5 * number + 4, NORTH)
        feature.setGeometry(QgsGeometry.fromRect(box))
        layer.dataProvider().addFeature(feature)
    return layer


def test_a_copy_of_a_result_is_editable_and_lists_the_classes(tmp_path, zoo):
    layer = result_layer(tmp_path, zoo)
    QgsProject.instance().addMapLayer(layer)
    assert is_result(layer) and not is_result(label_layer()) and model_of(layer).id == "roofs"
    copy = editable_copy(layer, QgsProject.instance())
    assert copy.isEditable() and not layer.isEditable()
    assert (copy.featureCount(), layer.featureCount()) == (3, 3)
    assert [field.name() for field in copy.fields()][1:] == ["class_name"]
    assert copy.source().startswith(str(zoo.parent / "labels"))
    index = copy.fields().lookupField("class_name")
    assert copy.editorWidgetSetup(index).config()["map"] == [{"roof <flat>": "roof <flat>"}]
    colors = {item.value(): item.symbol().color().name() for item in copy.renderer().categories()}
    assert colors["roof <flat>"] == "#e6550d"
    again = editable_copy(layer, QgsProject.instance())
    assert again.source() != copy.source()
    for made in (copy, again):
        made.rollBack()


def test_the_area_that_was_looked_at_becomes_a_layer():
    layer = label_layer()
    box = QgsReferencedRectangle(layer.extent(), layer.crs())
    area = area_layer(box, "ground", QgsProject.instance())
    assert isinstance(area, QgsVectorLayer) and area.featureCount() == 1
    assert area.extent() == layer.extent() and area.crs() == layer.crs()
    spin(10)

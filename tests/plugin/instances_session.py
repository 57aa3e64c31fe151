"""Runs inside the real QGIS program: a model of single objects, its styles and the score slider.

The model is the folder in ``RS_SEGMENT_INSTANCE_MODEL``, copied into the user's zoo before. See
``session_parts.py`` for the other settings and the report.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from qgis.core import QgsProject, QgsRasterLayer, QgsRectangle
from qgis.PyQt.QtXml import QDomDocument
from qgis.utils import iface

sys.path.insert(0, os.environ["RS_SEGMENT_SESSION_FOLDER"])
from session_parts import (
    SETTINGS,
    WORK,
    begin,
    layer_facts,
    shot,
    spin,
    wait_for,
)

RUN_LIMIT_S = 300.0
WIDTH_PX = 380
MODEL = Path(os.environ["RS_SEGMENT_INSTANCE_MODEL"]).name
LEAST_SCORE, MIDDLE_SCORE, HIGH_SCORE = 0.3, 0.5, 0.7


def choose(dock: Any) -> dict[str, Any]:
    """The raster is loaded and the model of objects chosen."""
    raster = QgsRasterLayer(SETTINGS["raster"], Path(SETTINGS["raster"]).stem)
    QgsProject.instance().addMapLayer(raster)
    iface.setActiveLayer(raster)
    iface.mapCanvas().setExtent(raster.extent())
    page, panel = dock.segment.page, dock.segment.panel
    wait_for(lambda: page.model.combo.count() > 1, 60, "the list of models")
    names = [page.model.combo.itemText(i) for i in range(page.model.combo.count())]
    chosen = next(i for i, name in enumerate(names) if MODEL in _id_of(page, i) or MODEL in name)
    page.model.combo.setCurrentIndex(chosen)
    page.output.setFilePath(str(WORK / "objects.gpkg"))
    page.options.score.setValue(LEAST_SCORE)
    wait_for(panel.run_button.isEnabled, 30, "the check before the run")
    return {"models": names, "card": page.model.card_view.text(), "notes": panel.notes_label.text()}


def _id_of(page: Any, index: int) -> str:
    return str(page.model.combo.itemData(index))


def run(dock: Any) -> dict[str, Any]:
    """The run gives a layer of objects with the slider below it."""
    outcomes: list[Any] = []
    dock.segment.run_finished.connect(outcomes.append)
    dock.segment.panel.run_button.click()
    wait_for(lambda: outcomes, RUN_LIMIT_S, "the run")
    outcome = outcomes[0]
    spin(1500)
    return {
        "kind": outcome.kind,
        "message": f"{outcome.message} {outcome.hint}",
        "layers": [layer_facts(layer) for layer in QgsProject.instance().mapLayers().values()],
        "slider": not dock.segment.result_box.score.isHidden(),
    }


def styles(dock: Any) -> dict[str, Any]:
    """Objects by class, then one by one; the slider hides those that are not sure."""
    layer = _instances()
    closer = QgsRectangle(iface.mapCanvas().extent())
    closer.scale(0.6)
    iface.mapCanvas().setExtent(closer)
    score = dock.segment.result_box.score
    by_class, every = layer.renderer().type(), layer.featureCount()
    _filter(score, MIDDLE_SCORE)
    shot("instances", iface.mainWindow())
    _, ids, names, _, _ = layer.listStylesInDatabase()
    text, _ = layer.getStyleFromDatabase(ids[names.index("one by one")])
    document = QDomDocument()
    document.setContent(text)
    layer.importNamedStyle(document)
    layer.triggerRepaint()
    _filter(score, HIGH_SCORE)
    shot("instances_score", iface.mainWindow())
    return {
        "by_class": by_class,
        "one_by_one": layer.renderer().type(),
        "names": list(names),
        "every": every,
        "sure": layer.featureCount(),
        "label": score.label.text(),
        "filter": layer.subsetString(),
    }


def _filter(score: Any, least: float) -> None:
    score.slider.setValue(round(100 * least))
    score.apply()
    iface.messageBar().clearWidgets()
    spin(2500)


def _instances() -> Any:
    layers = QgsProject.instance().mapLayers().values()
    return next(layer for layer in layers if "layername=instances" in layer.source())


STEPS = (choose, run, styles)

begin(STEPS, WIDTH_PX)

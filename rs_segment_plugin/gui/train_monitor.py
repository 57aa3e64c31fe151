"""Curves and numbers of a running or finished training."""

from __future__ import annotations

from html import escape
from typing import Dict, List, Optional

from qgis.PyQt.QtCore import Qt, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..engine_api import Metrics
from ..messages import tr
from .curve_data import Curve
from .curve_plot import CurvePlot

BACK, SEGMENT = "rs:back", "rs:segment"
LOSS, TRAIN, VAL = "loss", "train", "val"
MAX_METRIC_CURVES = 4
# The mean over the classes that are looked for, and the mean with the background.
_MEANS = ("iou_mean", "miou", "iou_background")
_OBJECTS = ("mask_AP", "mask_AP50", "box_AP")


class TrainMonitor(QWidget):
    """Shows the metrics of one training.

    Signals:
        back_requested: The user wants to see the inputs again.
        segment_requested: The user wants to segment with the new model.
        first_step: The network made its first step.
    """

    back_requested = pyqtSignal()
    segment_requested = pyqtSignal()
    first_step = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._losses: Dict[str, Curve] = {}
        self._metrics: Dict[str, Curve] = {}
        self._best: Dict[str, tuple] = {}
        self.head = _label("rsTrainHead")
        self.loss_plot = CurvePlot(tr("Loss"), parent=self)
        self.metric_plot = CurvePlot(tr("Quality"), unit=True, parent=self)
        self.numbers = _label("rsTrainNumbers")
        self.links = _label("rsTrainLinks")
        self.links.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.links.linkActivated.connect(self._follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 4)
        layout.setSpacing(6)
        layout.addWidget(self.head)
        layout.addWidget(self.loss_plot, 1)
        layout.addWidget(self.metric_plot, 1)
        layout.addWidget(self.numbers)
        layout.addWidget(self.links)

    def restart(self, title: str, text: str) -> None:
        """Begin a new training: forget the curves."""
        self._losses, self._metrics, self._best = {}, {}, {}
        grey = f"<span style='color:gray'>{escape(text)}</span>"
        self.head.setText(f"<b>{escape(title)}</b><br/>{grey}")
        self.numbers.setText("")
        self.links.setText("")
        self.links.setVisible(False)
        self._show()

    def take(self, event: Metrics) -> None:
        """Add the numbers of one event to the curves."""
        first = not self._losses and event.series == TRAIN
        if LOSS in event.values:
            name = tr("training") if event.series == TRAIN else tr("validation")
            self._curve(self._losses, event.series, name, event.series).add(
                event.step, event.values[LOSS]
            )
        if event.series == VAL:
            for key in _metric_keys(event.values, list(self._metrics)):
                self._curve(self._metrics, key, metric_name(key), VAL).add(
                    event.step, event.values[key]
                )
                best = self._best.get(key, (-1.0, 0))
                self._best[key] = max(best, (event.values[key], event.step), key=lambda x: x[0])
        self._show()
        self._show_numbers(event)
        if first:
            self.first_step.emit()

    def show_end(self, *, report: str, model: bool) -> None:
        """Show where to go from here."""
        links = []
        if model:
            links.append((SEGMENT, tr("Segment with this model")))
        if report:
            links.append((QUrl.fromLocalFile(report).toString(), tr("Open the report")))
        links.append((BACK, tr("Back to the inputs")))
        parts = [f"<a href='{escape(link)}'>{escape(word)}</a>" for link, word in links]
        self.links.setText(" &nbsp;·&nbsp; ".join(parts))
        self.links.setVisible(True)

    def _curve(self, group: Dict[str, Curve], key: str, name: str, role: str) -> Curve:
        if key not in group:
            group[key] = Curve(name, role)
        return group[key]

    def _show(self) -> None:
        groups = (self._losses, self._metrics)
        every = [curve for group in groups for curve in group.values() if curve.points]
        steps = max((curve.points[-1][0] for curve in every), default=1.0)
        self.loss_plot.show_curves(list(self._losses.values()), steps)
        self.metric_plot.show_curves(list(self._metrics.values()), steps)

    def _show_numbers(self, event: Metrics) -> None:
        parts = [tr("Epoch {epoch}").format(epoch=f"{event.epoch:.1f}")]
        parts.append(tr("step {step}").format(step=f"{event.step:,}"))
        for key, (value, step) in list(self._best.items())[:1]:
            text = tr("best {name} {value} at step {step}")
            parts.append(text.format(name=metric_name(key), value=f"{value:.3f}", step=f"{step:,}"))
        self.numbers.setText(f"<span style='color:gray'>{escape(' · '.join(parts))}</span>")

    def _follow(self, link: str) -> None:
        if link == BACK:
            self.back_requested.emit()
        elif link == SEGMENT:
            self.segment_requested.emit()
        else:
            QDesktopServices.openUrl(QUrl(link))


def _metric_keys(values: Dict[str, float], known: List[str]) -> List[str]:
    """Return which values of a validation are drawn: the main one first, then by class."""
    classes = [key for key in values if key.startswith("iou_") and key not in _MEANS]
    keys = [key for key in _MEANS[:2] if key in values]
    if len(classes) == 1:  # its mean is the class itself
        keys = [*classes, *(key for key in keys if key != "iou_mean")]
    else:
        keys += classes
    keys += [key for key in _OBJECTS if key in values]
    shown = known + [key for key in keys if key not in known]
    return [key for key in shown[:MAX_METRIC_CURVES] if key in values]


def metric_name(key: str) -> str:
    """Return the name of a metric for people, for example ``mIoU`` or a class."""
    names = {
        "iou_mean": tr("mean IoU"),
        "miou": tr("with background"),
        "mask_AP": "AP",
        "mask_AP50": "AP50",
        "box_AP": tr("box AP"),
    }
    return names.get(key, key[4:] if key.startswith("iou_") else key)


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label

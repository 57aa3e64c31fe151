"""Engine events to Processing's feedback: percent, text and lines for people."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Optional, Tuple

from qgis.core import QgsProcessingFeedback

from .. import engine_api
from ..messages import tr

Span = Tuple[float, float]
VALIDATION = "val"


class FeedbackListener:
    """Turns the events of one run into calls of a feedback; progress never goes back.

    Args:
        feedback: The feedback of the algorithm. If it has a method ``engine_event``, that
            is called with every event as well.
        spans: For each stage the percent at its start and at its end.
        stage_texts: For each stage its name for people.
    """

    def __init__(
        self,
        feedback: QgsProcessingFeedback,
        spans: Mapping[str, Span],
        stage_texts: Optional[Mapping[str, str]] = None,
    ) -> None:
        self._feedback = feedback
        self._spans = spans
        self._texts: Dict[str, str] = dict(stage_texts or {})
        self._hook: Optional[Callable[[engine_api.Event], None]] = getattr(
            feedback, "engine_event", None
        )
        self._stage = ""
        self._percent = 0.0

    def __call__(self, event: engine_api.Event) -> None:
        """Pass an event on; called in the thread of the algorithm."""
        if isinstance(event, engine_api.Progress):
            self._progress(event)
        elif isinstance(event, engine_api.Metrics) and event.series == VALIDATION:
            self._feedback.pushInfo(metrics_text(event))
        elif isinstance(event, engine_api.Log) and event.level == "warning":
            self._feedback.pushWarning(event.message)
        elif isinstance(event, engine_api.Log):
            self._feedback.pushInfo(event.message)
        if self._hook is not None:
            self._hook(event)

    def _progress(self, event: engine_api.Progress) -> None:
        if event.stage != self._stage:
            self._stage = event.stage
            self._feedback.setProgressText(self._texts.get(event.stage, event.stage))
        if event.stage not in self._spans or event.total <= 0:
            return
        start, end = self._spans[event.stage]
        share = min(1.0, max(0.0, event.done / event.total))
        self._percent = max(self._percent, start + (end - start) * share)
        self._feedback.setProgress(self._percent)


def metrics_text(event: engine_api.Metrics) -> str:
    """Return one line such as ``Epoch 3, step 120: loss 0.412, miou 0.731``."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in event.values.items())
    text = tr("Epoch {epoch}, step {step}: {values}")
    return text.format(epoch=f"{event.epoch:.3g}", step=event.step, values=values)


def stage_texts() -> Dict[str, str]:
    """Return the names of the engine's stages for people."""
    return {
        "export": tr("Saving the web layer"),
        "chips": tr("Cutting chips"),
        "statistics": tr("Looking at the chips"),
        "train": tr("Training"),
        "validate": tr("Measuring"),
        "evaluate": tr("Measuring"),
        "compare": tr("Comparing"),
        "publish": tr("Writing the model"),
        "predict": tr("Segmenting"),
        "raster": tr("Writing rasters"),
        "vectorize": tr("Drawing polygons"),
    }

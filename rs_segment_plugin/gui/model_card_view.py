"""Shows a model card: classes with colours, bands, resolution, test result, data, licences."""

from __future__ import annotations

from html import escape
from typing import Any, Dict, List, Mapping, Optional, Sequence

from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QFrame, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..engine_api import ModelCard, ModelEntry
from ..messages import tr
from .raster_facts import length_text

MORE = "rs:more"
LESS = "rs:less"
_SHORT_NAMES = {"iou": "IoU", "miou": "mIoU", "f1": "F1", "ap": "AP"}


class ModelCardView(QFrame):
    """A frame with the card of one model; a link unfolds the details."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("rsModelCard")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._entry: Optional[ModelEntry] = None
        self._unfolded = False
        self._label = QLabel(self)
        self._label.setObjectName("rsModelCardText")
        self._label.setTextFormat(Qt.TextFormat.RichText)
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._label.linkActivated.connect(self._follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self._label)

    def show_entry(self, entry: Optional[ModelEntry]) -> None:
        """Show a model, or an invitation when there is none."""
        self._entry = entry
        self._refresh()

    def text(self) -> str:
        """Return the shown HTML."""
        return str(self._label.text())

    def _follow(self, link: str) -> None:
        if link in (MORE, LESS):
            self._unfolded = link == MORE
            self._refresh()
            return

        QDesktopServices.openUrl(QUrl(link))

    def _refresh(self) -> None:
        self._label.setText(entry_html(self._entry, self._unfolded))


def entry_html(entry: Optional[ModelEntry], unfolded: bool) -> str:
    """Return the HTML of a model entry, of its problem, or of the empty state."""
    if entry is None:
        return escape(tr("There is no model yet. Put a model folder into the model directory."))
    if entry.card is None:
        head = f"<b>{escape(entry.id)}</b> &nbsp;<i>{escape(_origin(entry))}</i>"
        problem = tr("This model cannot be used: {problem}").format(problem=entry.problem)
        return f"{head}<br/><span style='color:#c62828'>{escape(problem)}</span>"
    return _card_html(entry, entry.card, unfolded)


def _origin(entry: ModelEntry) -> str:
    return tr("shipped") if entry.origin == "shipped" else tr("user")


def _card_html(entry: ModelEntry, card: ModelCard, unfolded: bool) -> str:
    task = tr("classes per pixel") if card.task == "semantic" else tr("single objects")
    origin = escape(_origin(entry))
    rows = [
        f"<b>{escape(card.title)}</b> <i>({origin}, {escape(task)})</i>",
        _classes_html(card),
        _row(tr("Pixel size"), _resolution(card)),
        _row(tr("Bands"), ", ".join(band.name for band in card.bands)),
    ]
    scores = _score_texts(card.metrics)
    if scores:
        rows.append(_row(tr("Tested"), scores[0]))
    if unfolded:
        rows += _detail_rows(entry, card, scores[1:])
    link, word = (LESS, tr("less")) if unfolded else (MORE, tr("more"))
    rows.append(f"<a href='{link}'>{escape(word)}</a>")
    return "<br/>".join(row for row in rows if row)


def _detail_rows(entry: ModelEntry, card: ModelCard, scores: List[str]) -> List[str]:
    rows = [escape(card.description)] if card.description else []
    rows += [_row(tr("Also tested"), text) for text in scores]
    if card.dtypes:
        rows.append(_row(tr("Pixel type"), ", ".join(card.dtypes)))
    rows.append(_row(tr("Tile"), _tile(card)))
    rows.append(_row(tr("Network"), _network(card)))
    for key in ("data", "split"):
        if card.training.get(key):
            name = tr("Training data") if key == "data" else tr("Split")
            rows.append(_row(name, _plain(card.training[key])))
    rows += [_row(_license_name(key), str(value)) for key, value in card.licenses.items()]
    rows.append(_row(tr("Folder"), str(entry.folder)))
    return rows


def _license_name(part: str) -> str:
    names = {"code": tr("Licence of the code"), "weights": tr("Licence of the weights")}
    names["data"] = tr("Licence of the data")
    return names.get(part, tr("Licence ({part})").format(part=part))


def _tile(card: ModelCard) -> str:
    text = tr("{tile} px, overlap {overlap} px")
    return text.format(tile=card.tile_px, overlap=card.overlap_px)


def _network(card: ModelCard) -> str:
    encoder = card.builder_args.get("encoder")
    return f"{card.builder} ({encoder})" if encoder else card.builder


def _row(name: str, value: str) -> str:
    return f"<span style='color:gray'>{escape(name)}:</span> {escape(value)}"


def _classes_html(card: ModelCard) -> str:
    shown = [c for c in card.classes if not c.background] or list(card.classes)
    return " &nbsp;".join(
        f"<span style='color:{c.color}; font-size:large'>&#9632;</span>&nbsp;{escape(c.name)}"
        for c in shown
    )


def _resolution(card: ModelCard) -> str:
    r = card.resolution_m
    text = tr("{low} to {high}, best {best}")
    return text.format(low=length_text(r.min), high=length_text(r.max), best=length_text(r.nominal))


def _score_texts(metrics: Sequence[Mapping[str, Any]]) -> List[str]:
    """Return one text per data set, for example ``building IoU 0.81, ... (test block)``."""
    by_data: Dict[str, List[str]] = {}
    for metric in metrics:
        value = metric.get("value")
        if not isinstance(value, (int, float)):
            continue
        words = [_SHORT_NAMES.get(w.lower(), w) for w in str(metric.get("name", "")).split()]
        score = f"{' '.join(words)} {value:.2f}".strip().replace(" ", "\u00a0")
        by_data.setdefault(str(metric.get("data", "")), []).append(score)
    return [", ".join(scores) + (f" ({data})" if data else "") for data, scores in by_data.items()]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return str(value)

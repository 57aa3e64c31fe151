"""Where a training starts: a new network, or a model to fine-tune."""

from __future__ import annotations

from html import escape
from typing import Optional

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QStandardItem
from qgis.PyQt.QtWidgets import QComboBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..engine_api import ModelEntry, NetworkInfo, list_models, list_networks, network_info
from ..messages import tr
from ..network_texts import cost_text, good_at_text, weight_text
from .icons import own_icon
from .network_page import NetworkPage, page_file

NEW = ""
PAGE = "rs:page"


class StartPicker(QWidget):
    """A combo of "new network" and the models, and below it the networks by their task."""

    changed = pyqtSignal()

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.start = _combo("rsStartFrom", tr("Learn from nothing, or go on from a model"), self)
        self.network = _combo("rsNetwork", tr("The network that learns"), self)
        self.about = QLabel(self)
        self.about.setWordWrap(True)
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.about.setTextFormat(Qt.TextFormat.RichText)
        self.about.linkActivated.connect(lambda _link: self.open_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for widget in (self.start, self.network, self.about):
            layout.addWidget(widget)
        self.setFocusProxy(self.start)
        self._fill_networks()
        self.reload()
        self.start.currentIndexChanged.connect(self._changed)
        self.network.currentIndexChanged.connect(self._changed)
        self._changed()

    def _fill_networks(self) -> None:
        titles = {"semantic": tr("Classes per pixel"), "instance": tr("Single objects")}
        for task, title in titles.items():
            self.network.addItem(title)
            header = self.network.model().item(self.network.count() - 1)
            if isinstance(header, QStandardItem):
                header.setEnabled(False)
                font = header.font()
                font.setBold(True)
                header.setFont(font)
            networks = [info for info in list_networks(task) if _shown(info)]
            for info in sorted(networks, key=lambda info: (info.name != "unet", not info.paper)):
                self.network.addItem(f"   {info.title}", info.name)
                tip = f"{info.name}: {good_at_text(info)} {weight_text(info)}"
                row = self.network.count() - 1
                self.network.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.network.setCurrentIndex(1)

    def reload(self) -> None:
        """Read the zoo again; keeps the choice."""
        chosen = self.init()
        self.start.blockSignals(True)
        self.start.clear()
        self.start.addItem(own_icon("train"), tr("A new network"), NEW)
        for entry in list_models():
            if entry.card is not None and entry.card.weights is not None:
                text = tr("Fine-tune: {title}").format(title=entry.card.title)
                self.start.addItem(own_icon("model"), text, str(entry.folder.absolute()))
        self.start.setCurrentIndex(max(0, self.start.findData(chosen)))
        self.start.blockSignals(False)
        self._changed()

    def init(self) -> str:
        """Return the folder of the model to fine-tune, an empty text for a new network."""
        return str(self.start.currentData() or NEW)

    def set_init(self, folder: str) -> bool:
        """Choose the model in a folder to be fine-tuned; False if it is not in the list."""
        index = self.start.findData(folder)
        if index >= 0:
            self.start.setCurrentIndex(index)
        return bool(index >= 0)

    def network_name(self) -> str:
        """Return the chosen network, an empty text when a model is fine-tuned."""
        return "" if self.init() else str(self.network.currentData() or "")

    def set_network(self, name: str) -> None:
        """Choose a network; an unknown one is ignored."""
        index = self.network.findData(name)
        if index >= 0:
            self.network.setCurrentIndex(index)

    def entry(self) -> Optional[ModelEntry]:
        """Return the model that is fine-tuned, None for a new network."""
        folder = self.init()
        found = [entry for entry in list_models() if str(entry.folder.absolute()) == folder]
        return found[0] if found else None

    def _changed(self, *_ignored: object) -> None:
        self.network.setVisible(not self.init())
        info = network_info(self.network_name())
        if info is not None:
            text = _network_html(info)
        else:
            text = tr("Goes on learning from your labels; classes may be others.")
        self.about.setText(f"<span style='color:gray'>{text}</span>")
        self.changed.emit()

    def open_page(self) -> Optional[NetworkPage]:
        """Show the page of the chosen network; None where there is none."""
        info = network_info(self.network_name())
        if info is None or not page_file(info.page).is_file():
            return None
        page = NetworkPage(info.page, self.window())
        page.show()
        return page


def _shown(info: NetworkInfo) -> bool:
    """Return whether people see a network: the one to start with, variants, and lone families."""
    variant = f"{info.title} ("
    lone = not any(other.title.startswith(variant) for other in list_networks(info.task))
    return not info.tunable or info.name == "unet" or lone


def _network_html(info: NetworkInfo) -> str:
    """Return what a network is good at and what it costs, with a link to its page."""
    texts = [escape(text) for text in (good_at_text(info), weight_text(info), cost_text(info))]
    if page_file(info.page).is_file():
        texts.append(f"<a href='{PAGE}'>{escape(tr('Paper, options, picture'))}</a>")
    return " ".join(text for text in texts if text)


def _combo(name: str, tip: str, parent: QWidget) -> QComboBox:
    combo = QComboBox(parent)
    combo.setObjectName(name)
    combo.setToolTip(tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    return combo

"""Shows the page of a network from the documentation: paper, cost, options, picture; offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from ..engine_api import documentation
from ..messages import tr

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def page_file(page: str) -> Path:
    """Return the file of a page, in the packaged plugin or in a checkout; it need not exist."""
    return documentation("networks", f"{page}.md")


class NetworkPage(QDialog):
    """A window with a page; links to other pages open in it, all others in the browser."""

    def __init__(self, page: str, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.browser = QTextBrowser(self)
        self.browser.setObjectName("rsNetworkPage")
        self.browser.setOpenLinks(False)
        self.browser.anchorClicked.connect(self._follow)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.browser)
        layout.addWidget(buttons)
        self.resize(1100, 800)
        self.show_file(page_file(page))

    def show_file(self, path: Path) -> None:
        """Show a page with its pictures.

        Raises:
            OSError: If it cannot be read.
        """
        text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        self._folder = path.parent
        self.browser.setSearchPaths([str(path.parent)])
        self.browser.setMarkdown(text)
        title = text.lstrip("# ").split("\n", 1)[0]
        self.setWindowTitle(tr("Network: {title}").format(title=title))

    def _follow(self, link: QUrl) -> None:
        if link.scheme() in ("http", "https"):
            QDesktopServices.openUrl(link)
            return
        target = (self._folder / link.path()).resolve()
        if target.suffix == ".md" and target.is_file():
            self.show_file(target)

"""A small chart of training curves, painted in the colours of the theme."""

from __future__ import annotations

from typing import List, Optional, Sequence

from qgis.PyQt.QtCore import QPointF, QRectF, QSize, Qt
from qgis.PyQt.QtGui import (
    QColor,
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from qgis.PyQt.QtWidgets import QSizePolicy, QToolTip, QWidget

from .curve_data import Curve, Point, tick_text, ticks, value_range

COLORS = ("#2f7ed8", "#e6711b", "#2e9e5b", "#8e5bd0", "#c2416b", "#7a8794")
_TRAIN_COLOR = COLORS[0]
_HEIGHT_PX = 132
_FAINT = 80
_GAP_PX = 4.0


class CurvePlot(QWidget):
    """Draws curves over the steps of a training; knows nothing about training.

    Args:
        title: Heading of the chart.
        unit: Whether the values are shares from 0 to 1.
        parent: Parent widget.
    """

    def __init__(self, title: str, *, unit: bool = False, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._title = title
        self._unit = unit
        self._curves: List[Curve] = []
        self._steps = 1.0
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(_HEIGHT_PX)

    def sizeHint(self) -> QSize:
        """Return the wanted size; the width is that of the dock."""
        return QSize(280, _HEIGHT_PX)

    def curves(self) -> List[Curve]:
        """Return the curves that are shown."""
        return self._curves

    def show_curves(self, curves: Sequence[Curve], steps: float = 1.0) -> None:
        """Show these curves from now on, over at least so many steps, and paint again."""
        self._curves = list(curves)
        self._steps = max([steps, 1.0, *(c.points[-1][0] for c in self._drawn())])
        self.update()

    def set_title(self, title: str) -> None:
        """Set the heading."""
        self._title = title
        self.update()

    def _drawn(self) -> List[Curve]:
        return [curve for curve in self._curves if curve.points]

    def _color(self, curve: Curve) -> QColor:
        if curve.role == "train":
            return QColor(_TRAIN_COLOR)
        others = [other for other in self._curves if other.role != "train"]
        return QColor(COLORS[1 + others.index(curve) % (len(COLORS) - 1)])

    def _area(self) -> QRectF:
        metrics = QFontMetricsF(self.font())
        left = metrics.horizontalAdvance("0.000") + _GAP_PX
        top = metrics.height() + _GAP_PX
        right, bottom = self.width() - 8.0, self.height() - metrics.height() - _GAP_PX
        return QRectF(left, top, max(1.0, right - left), max(1.0, bottom - top))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint title, legend, axes and curves."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area, text = self._area(), self.palette().text().color()
        painter.setPen(text)
        painter.drawText(QPointF(2, QFontMetricsF(self.font()).ascent() + 1), self._title)
        painter.fillRect(area, self.palette().base())
        drawn = self._drawn()
        if not drawn:
            painter.setPen(_faint(text))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "…")
            painter.end()
            return
        x_range = self._steps
        low, high = value_range(drawn, unit=self._unit)
        self._paint_axes(painter, area, x_range, (low, high))
        painter.setClipRect(area)
        for curve in drawn:
            self._paint_curve(painter, area, curve, x_range, (low, high))
        painter.setClipping(False)
        self._paint_legend(painter, area, drawn)
        painter.end()

    def _paint_axes(
        self, painter: QPainter, area: QRectF, x_range: float, y_range: Sequence[float]
    ) -> None:
        metrics = QFontMetricsF(self.font())
        text, grid = QColor(self.palette().text().color()), _faint(self.palette().text().color())
        grid.setAlpha(40)
        text.setAlpha(170)
        rows = max(1, int(area.height() / (1.6 * metrics.height())))
        for value in ticks(y_range[0], y_range[1], min(4, rows)):
            y = self._point(area, (0.0, value), x_range, y_range).y()
            painter.setPen(QPen(grid, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            word = tick_text(value)
            x = area.left() - metrics.horizontalAdvance(word) - _GAP_PX
            painter.drawText(QPointF(x, y + metrics.ascent() / 2 - 1), word)
        for value in ticks(0.0, x_range, 4):
            x = self._point(area, (value, y_range[0]), x_range, y_range).x()
            word = tick_text(value)
            start = min(
                x - metrics.horizontalAdvance(word) / 2,
                self.width() - 1.0 - metrics.horizontalAdvance(word),
            )
            painter.setPen(text)
            painter.drawText(QPointF(start, area.bottom() + metrics.ascent() + 2), word)
        painter.setPen(QPen(grid, 1))
        painter.drawRect(area)

    def _paint_curve(
        self,
        painter: QPainter,
        area: QRectF,
        curve: Curve,
        x_range: float,
        y_range: Sequence[float],
    ) -> None:
        color = self._color(curve)
        places = [self._point(area, point, x_range, y_range) for point in curve.points]
        if curve.role == "train" and len(places) > 8:
            pale = QColor(color)
            pale.setAlpha(_FAINT)
            _paint_line(painter, places, QPen(pale, 1.0))
            places = [self._point(area, point, x_range, y_range) for point in curve.smoothed()]
        _paint_line(painter, places, QPen(color, 1.8))
        if curve.role != "train" and len(places) <= 60:
            painter.setBrush(color)
            painter.setPen(Qt.PenStyle.NoPen)
            for place in places:
                painter.drawEllipse(place, 2.4, 2.4)
            painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_legend(self, painter: QPainter, area: QRectF, drawn: Sequence[Curve]) -> None:
        metrics = QFontMetricsF(self.font())
        words = [_legend_word(curve) for curve in drawn]
        widths = [metrics.horizontalAdvance(word) + 22 for word in words]
        room = area.right() - metrics.horizontalAdvance(self._title) - 16
        # The first curves matter most: those that find no room at the end are left out.
        while widths and sum(widths) > room:
            widths.pop()
        left, middle = area.right() - sum(widths) + 8, metrics.height() / 2 + 1
        for curve, word, width in zip(drawn, words, widths):
            painter.setPen(QPen(self._color(curve), 2.4))
            painter.drawLine(QPointF(left, middle), QPointF(left + 8, middle))
            painter.setPen(self.palette().text().color())
            painter.drawText(QPointF(left + 12, metrics.ascent() + 1), word)
            left += width

    def _point(
        self, area: QRectF, point: Point, x_range: float, y_range: Sequence[float]
    ) -> QPointF:
        low, high = y_range
        x = area.left() + point[0] / x_range * area.width()
        y = area.bottom() - (point[1] - low) / (high - low or 1.0) * area.height()
        return QPointF(x, y)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the values below the pointer."""
        position = event.position() if hasattr(event, "position") else event.pos()
        drawn, area = self._drawn(), self._area()
        if not drawn:
            return
        x_range = self._steps
        x = (position.x() - area.left()) / area.width() * x_range
        lines = []
        for curve in drawn:
            near = min(curve.points, key=lambda point: abs(point[0] - x))
            lines.append(f"{curve.name}: {near[1]:.4g}  ({tick_text(round(near[0]))})")
        where = (
            event.globalPosition().toPoint()
            if hasattr(event, "globalPosition")
            else (event.globalPos())
        )
        QToolTip.showText(where, "\n".join(lines), self)


def _legend_word(curve: Curve) -> str:
    last = curve.last()
    return curve.name if last is None else f"{curve.name} {last:.3g}"


def _faint(color: QColor) -> QColor:
    pale = QColor(color)
    pale.setAlpha(_FAINT)
    return pale


def _paint_line(painter: QPainter, places: Sequence[QPointF], pen: QPen) -> None:
    path = QPainterPath(places[0])
    for place in places[1:]:
        path.lineTo(place)
    painter.setPen(pen)
    painter.drawPath(path)

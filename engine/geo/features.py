"""Features on their way from the polygoniser to a file: batches of rows and their layer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .gpkg_tables import GEOMETRY_COLUMN

SCHEMA = pa.schema(
    [
        (GEOMETRY_COLUMN, pa.binary()),
        ("class_id", pa.int32()),
        ("class_name", pa.string()),
        ("score", pa.float64()),
        ("area_m2", pa.float64()),
        ("perimeter_m", pa.float64()),
        ("model_id", pa.string()),
        ("run_id", pa.string()),
    ]
)
_POOL = pa.system_memory_pool()
"""Gives batches back to the system at once; Arrow's own pool kept 25 MiB of a million polygons."""


@dataclass(frozen=True)
class FeatureBatch:
    """Polygons with their attributes, one row each.

    Attributes:
        wkb: Polygons in map coordinates, object ``[n]`` of bytes.
        class_id: int32 ``[n]``.
        score: Mean score in [0, 1], float32 ``[n]``.
        area_m2: Ellipsoidal area in square metres, float64 ``[n]``.
        perimeter_m: Ellipsoidal length of all rings in metres, float64 ``[n]``.
    """

    wkb: NDArray[np.object_]
    class_id: NDArray[np.int32]
    score: NDArray[np.float32]
    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.wkb)


@dataclass(frozen=True)
class LayerSpec:
    """What is the same for all features of a layer.

    Attributes:
        name: Name of the layer: ``classes`` or ``instances``.
        crs_wkt: CRS as WKT2; empty means none.
        class_names: Name of each class id.
        model_id: Id of the model.
        run_id: Id of the run.
        geometry_type: ``Polygon`` or ``MultiPolygon``.
    """

    name: str
    crs_wkt: str
    class_names: Mapping[int, str]
    model_id: str
    run_id: str
    geometry_type: str = "Polygon"


def record_batch(batch: FeatureBatch, spec: LayerSpec) -> pa.RecordBatch:
    """Return the batch as Arrow records of :data:`SCHEMA`, numbers rounded sensibly."""
    count = len(batch)
    names = {i: spec.class_names.get(i, str(i)) for i in np.unique(batch.class_id).tolist()}
    array = functools.partial(pa.array, memory_pool=_POOL)
    return pa.record_batch(
        [
            array(batch.wkb, pa.binary()),
            array(batch.class_id, pa.int32()),
            array([names[i] for i in batch.class_id.tolist()], pa.string()),
            array(np.round(batch.score.astype(np.float64), 4), pa.float64()),
            array(_rounded(batch.area_m2), pa.float64()),
            array(_rounded(batch.perimeter_m), pa.float64()),
            array([spec.model_id] * count, pa.string()),
            array([spec.run_id] * count, pa.string()),
        ],
        schema=SCHEMA,
    )


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values with three decimals, or six significant digits where that is finer."""
    size = np.floor(np.log10(np.where(values > 0, values, 1.0)))
    factor = 10.0 ** np.maximum(3.0, 5.0 - size)
    return np.asarray(np.round(values * factor) / factor)

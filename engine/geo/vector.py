"""Vector files: the only place of the engine that opens them."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from ..errors import LabelError
from .features import SCHEMA, FeatureBatch, LayerSpec, record_batch
from .gpkg_tables import (
    GEOMETRY_COLUMN,
    disk_error,
    file_date,
    read_runs,
    write_run,
    write_style,
)

__all__ = [
    "FeatureBatch",
    "LayerInfo",
    "LayerSpec",
    "layer_info",
    "read_fields",
    "read_labels",
    "read_polygons",
    "read_runs",
    "write_features",
    "write_run",
    "write_style",
]

logger = logging.getLogger(__name__)

# GDAL would print each failed statement of a full disk; what matters of it becomes an exception.
pyogrio.set_gdal_config_options({"CPL_LOG": os.environ.get("CPL_LOG", os.devnull)})

_POLYGON_LAYER_WORDS = ("Polygon", "Surface", "TIN", "Collection", "Unknown")
_GPKG_VERSION = "1.2"  # read without a warning by the GDAL of QGIS 3.22
_POLYGON_TYPES = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def read_polygons(path: str, *, layer: str = "", crs_wkt: str = "") -> NDArray[Any]:
    """Return the polygons of a vector layer in a wanted CRS.

    Curves become line segments, Z and M are dropped, invalid polygons are made valid and
    empty ones left out.

    Args:
        path: Any source that OGR reads.
        layer: Name of the layer; empty means the first one with polygons.
        crs_wkt: CRS of the result as WKT; empty means the layer's own. A layer without a CRS
            is taken to be in this one already (a warning is logged).

    Returns:
        Shapely Polygons and MultiPolygons, object ``[n]`` with n > 0, x before y.

    Raises:
        LabelError: If the file cannot be read, or has no such layer, or other geometries
            than polygons, or no polygon at all, or coordinates that the CRS cannot hold.
    """
    polygons, _ = _read(path, layer, crs_wkt, ())
    return polygons


def read_labels(
    path: str, *, layer: str = "", crs_wkt: str = "", field: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the polygons of a layer with the values of one field.

    Args:
        path: Any source that OGR reads.
        layer: As for :func:`read_polygons`.
        crs_wkt: As for :func:`read_polygons`.
        field: Name of the field; missing values are None or NaN by the type of the field.

    Returns:
        Polygons as of :func:`read_polygons`, and their values ``[n]``.

    Raises:
        LabelError: As for :func:`read_polygons`, and if there is no such field.
    """
    if not field:
        raise LabelError("no class field is given", "name the field that holds the class")
    polygons, (values,) = _read(path, layer, crs_wkt, (field,))
    return polygons, values


def read_fields(
    path: str, fields: Sequence[str], *, layer: str = "", crs_wkt: str = ""
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Return the polygons of a layer with the values of several fields.

    Args:
        path: As for :func:`read_polygons`, like ``layer`` and ``crs_wkt``.
        fields: Names of fields; missing values are None or NaN by the type of the field.
        layer: Name of the layer.
        crs_wkt: CRS of the result.

    Returns:
        Polygons as of :func:`read_polygons`, and the values ``[n]`` of each field.

    Raises:
        LabelError: As for :func:`read_polygons`, and if there is no such field.
    """
    polygons, values = _read(path, layer, crs_wkt, tuple(fields))
    return polygons, dict(zip(fields, values, strict=True))


@dataclass(frozen=True)
class LayerInfo:
    """A layer of polygons: its name, CRS as WKT (empty for none), fields and feature count."""

    name: str
    crs_wkt: str
    fields: tuple[str, ...]
    features: int


def layer_info(path: str, layer: str = "") -> LayerInfo:
    """Return what a layer is, without its geometries.

    Raises:
        LabelError: If the file cannot be read, or has no such layer, or none with polygons.
    """
    name = _choose_layer(path, layer)
    try:
        with _gdal_warnings_logged():
            info = pyogrio.read_info(path, layer=name)
    except (DataSourceError, DataLayerError) as error:
        raise LabelError(
            f"layer {name!r} of {path} cannot be read: {error}", "repair or export the layer again"
        ) from None
    wkt = CRS.from_user_input(info["crs"]).to_wkt() if info["crs"] else ""
    return LayerInfo(name, wkt, tuple(map(str, info["fields"])), int(info["features"]))


@contextmanager
def _gdal_warnings_logged(ignore: str = "") -> Iterator[None]:
    """Send what GDAL warns about to the log; a warning that starts with ``ignore`` is dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if not ignore or not str(warning.message).startswith(ignore):
            logger.warning("%s", warning.message)


def _read(
    path: str, layer: str, crs_wkt: str, fields: tuple[str, ...]
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Read, filter, repair and reproject one layer with the values of some fields."""
    name = _choose_layer(path, layer)
    where = f"layer {name!r} of {path}"
    meta, geometries, values = _read_layer(path, name, fields)
    polygons, source_rows = _only_polygons(geometries, where)
    polygons = _reproject(polygons, meta["crs"] or "", crs_wkt, where)
    polygons, kept = _make_valid(polygons)
    source_rows = source_rows[kept]
    if not len(polygons):
        raise LabelError(f"{where} has no polygon with an area", "choose a layer with polygons")
    return polygons, [column[source_rows] for column in values]


def _choose_layer(path: str, layer: str) -> str:
    """Return the name of the layer to read.

    Raises:
        LabelError: If there is no file, no such layer, or no layer with polygons.
    """
    try:
        with _gdal_warnings_logged():
            found = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
    except (DataSourceError, DataLayerError) as error:
        raise LabelError(
            f"{path} cannot be opened as a vector file: {error}",
            "choose an existing vector file with polygons, such as a GeoPackage",
        ) from None
    names = ", ".join(name for name, _ in found) or "none"
    if layer:
        if layer not in [name for name, _ in found]:
            raise LabelError(f"{path} has no layer {layer!r}", f"its layers are: {names}")
        return layer
    for name, kind in found:
        if kind is not None and any(word in kind for word in _POLYGON_LAYER_WORDS):
            return name
    kinds = ", ".join(f"{name} ({kind or 'no geometry'})" for name, kind in found) or "none"
    raise LabelError(f"{path} has no layer with polygons; its layers: {kinds}", "choose polygons")


def _read_layer(
    path: str, layer: str, fields: tuple[str, ...]
) -> tuple[dict[str, Any], NDArray[Any], list[NDArray[Any]]]:
    """Return the layer's description, its geometries in 2D and the values of some fields."""
    wanted = list(dict.fromkeys(fields))
    try:
        with _gdal_warnings_logged():
            known = [str(name) for name in pyogrio.read_info(path, layer=layer)["fields"]]
            for field in wanted:
                if field not in known:
                    raise LabelError(
                        f"layer {layer!r} of {path} has no field {field!r}",
                        f"its fields are: {', '.join(known) or 'none'}",
                    )
            meta, _, wkb, data = pyogrio.raw.read(path, layer=layer, columns=wanted, force_2d=True)
    except (DataSourceError, DataLayerError, FieldError) as error:
        raise LabelError(
            f"layer {layer!r} of {path} cannot be read: {error}", "repair or export the layer again"
        ) from None
    if wkb is None:
        raise LabelError(f"layer {layer!r} of {path} has no geometry", "choose a polygon layer")
    geometries = np.asarray(shapely.from_wkb(wkb, on_invalid="fix"), dtype=object)
    columns = dict(zip(map(str, meta["fields"]), data, strict=True))  # in the file's order
    return meta, geometries, [columns[field] for field in fields]


def _only_polygons(geometries: NDArray[Any], where: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the polygons and the rows they come from; collections are taken apart.

    Raises:
        LabelError: If there are points or lines.
    """
    rows = np.flatnonzero(~(shapely.is_missing(geometries) | shapely.is_empty(geometries)))
    kept = geometries[rows]
    while (nested := _is_collection(kept)).any():
        parts, parents = shapely.get_parts(kept[nested], return_index=True)
        rows = np.concatenate([rows[~nested], rows[nested][parents]])
        kept = np.concatenate([kept[~nested], parts])
        order = np.argsort(rows, kind="stable")
        kept, rows = kept[order], rows[order]
    other = ~np.isin(shapely.get_type_id(kept), _POLYGON_TYPES)
    if other.any():
        kinds = ", ".join(sorted({geometry.geom_type for geometry in kept[other]}))
        raise LabelError(
            f"{where} has {int(other.sum())} geometries that are not polygons: {kinds}",
            "choose a polygon layer, or buffer points and lines first",
        )
    return kept, rows


def _is_collection(geometries: NDArray[Any]) -> NDArray[np.bool_]:
    types = shapely.get_type_id(geometries)
    return np.asarray(types == shapely.GeometryType.GEOMETRYCOLLECTION)


def _make_valid(polygons: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return valid polygons with an area and the mask of those that were kept."""
    wrong = ~shapely.is_valid(polygons)
    if wrong.any():
        logger.warning("%d invalid polygons were repaired", int(wrong.sum()))
        polygons = polygons.copy()
        polygons[wrong] = shapely.make_valid(
            polygons[wrong], method="structure", keep_collapsed=False
        )
    kept = shapely.area(polygons) > 0
    return polygons[kept], kept


def _reproject(
    polygons: NDArray[Any], source_crs: str, target_crs: str, where: str
) -> NDArray[Any]:
    """Return the polygons in the target CRS.

    Raises:
        LabelError: If there is no way from one CRS to the other, or for some coordinates.
    """
    if not target_crs:
        return polygons
    if not source_crs:
        logger.warning("%s has no CRS; it is taken to be in the CRS of the raster", where)
        return polygons
    hint = "check the CRS of the layer, or save it in the CRS of the raster"
    try:
        source, target = CRS.from_user_input(source_crs), CRS.from_user_input(target_crs)
        if source.equals(target, ignore_axis_order=True):
            return polygons
        transformer = Transformer.from_crs(source, target, always_xy=True)
        moved: NDArray[Any] = shapely.transform(
            polygons, lambda x, y: transformer.transform(x, y), interleaved=False
        )
    except (CRSError, ProjError) as error:
        raise LabelError(
            f"{where} cannot be brought into the raster's CRS: {error}", hint
        ) from None
    if not np.isfinite(shapely.bounds(moved)).all():
        raise LabelError(f"{where} has coordinates that the raster's CRS cannot hold", hint)
    return moved


def write_features(path: Path, batches: Iterable[FeatureBatch], spec: LayerSpec) -> int:
    """Write batches of polygons into a new GeoPackage with a spatial index.

    The batches are written as they come, and equal batches give equal bytes.

    Args:
        path: File to write; a file of this name is replaced.
        batches: Features; none at all gives an empty layer with all fields.
        spec: The layer.

    Returns:
        The number of features.

    Raises:
        DiskError: If the file cannot be written.
    """
    failures: list[BaseException] = []
    count = 0

    def records() -> Iterator[pa.RecordBatch]:
        nonlocal count
        try:
            for batch in batches:
                if len(batch):
                    count += len(batch)
                    yield record_batch(batch, spec)
        except BaseException as error:  # GDAL swallows it: kept, and raised again below
            failures.append(error)
            raise

    try:
        path.unlink(missing_ok=True)
        with _gdal_warnings_logged(ignore="'crs' was not provided"), _fixed_date():
            pyogrio.raw.write_arrow(
                pa.RecordBatchReader.from_batches(SCHEMA, records()),
                path,
                layer=spec.name,
                driver="GPKG",
                geometry_name=GEOMETRY_COLUMN,
                geometry_type=spec.geometry_type,
                crs=spec.crs_wkt or None,
                dataset_options={"VERSION": _GPKG_VERSION},
            )
        _check_count(path, spec.name, count)
    except (OSError, RuntimeError, sqlite3.Error) as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if failures:
            raise failures[0] from None
        raise disk_error(path, error) from None
    return count


@contextmanager
def _fixed_date() -> Iterator[None]:
    """Let GDAL write the same date in every file."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": file_date()})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _check_count(path: Path, layer: str, count: int) -> None:
    """Raise OSError if the file does not hold all features: GDAL may only warn about it."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        query = "SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = ?"
        row = database.execute(query, (layer,)).fetchone()
    if row is None or row[0] != count:
        raise OSError(f"{count} features were sent, {row[0] if row else 0} arrived")

"""``rs-segment segment``: rasters through a model into GeoPackages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import DiskError, EngineError, JobError
from ..protocol import Cancelled, Failure, Result
from ..runner import FinalEvent
from .console import Console, exit_code
from .progress import duration_text

NAME_FIELD = "{name}"


NumberReader = Callable[[click.Context, click.Parameter, str | None], tuple[float, ...] | None]


def number_list(kind: type[int] | type[float], count: int = 0) -> NumberReader:
    """Return a callback that reads numbers with commas between them, such as ``3,2,1``.

    Args:
        kind: Kind of the numbers.
        count: How many there must be, 0 for any.
    """

    def read(
        ctx: click.Context, param: click.Parameter, value: str | None
    ) -> tuple[float, ...] | None:
        if value is None:
            return None
        try:
            numbers = tuple(kind(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a list of numbers: 1,2,3") from None
        if count and len(numbers) != count:
            raise click.BadParameter(f"{value!r} has {len(numbers)} numbers, not {count}")
        return numbers

    return read


@click.command(short_help="Segment rasters with a model.")
@click.argument("rasters", nargs=-1, required=True, metavar="RASTER...")
@click.option("--model", required=True, metavar="ID|FOLDER", help="Model of the zoo, or folder.")
@click.option(
    "--output",
    required=True,
    metavar="OUT",
    help="GeoPackage; for several rasters a folder, or a path with {name}.",
)
@click.option("--crs", help="CRS of rasters that have none, such as EPSG:32645.")
@click.option(
    "--extent", callback=number_list(float, 4), metavar="X0,Y0,X1,Y1", help="Part to segment."
)
@click.option("--extent-crs", help="CRS of --extent; the raster's if not given.")
@click.option("--aoi", metavar="FILE", help="Polygons outside of which nothing is segmented.")
@click.option("--aoi-layer", metavar="NAME", help="Layer of --aoi.")
@click.option(
    "--bands", callback=number_list(int), metavar="3,2,1", help="Raster bands for the model."
)
@click.option("--tile", "tile_px", type=int, metavar="N", help="Tile side in pixels.")
@click.option("--overlap", "overlap_px", type=int, metavar="N", help="Overlap of tiles in pixels.")
@click.option("--batch", type=int, metavar="N", help="Tiles per batch; automatic if not given.")
@click.option("--device", metavar="auto|cpu|cuda[:i]", help="Where the model runs.")
@click.option("--precision", metavar="auto|fp32|mixed|bf16", help="Precision of the model.")
@click.option(
    "--backend", metavar="auto|torch|openvino|onnxruntime", help="What runs a semantic model."
)
@click.option("--score", type=float, metavar="T", help="Minimum score, 0 to 1; the card's.")
@click.option("--min-area", "min_area_m2", type=float, metavar="M2", help="Smallest polygon, m².")
@click.option("--simplify", "simplify_m", type=float, metavar="M", help="Simplification, metres.")
@click.option("--square", is_flag=True, default=None, help="Square the corners of polygons.")
@click.option("--tta", is_flag=True, default=None, help="Average over flipped tiles (slower).")
@click.option("--class-raster", metavar="OUT.tif", help="Also write class ids as a GeoTIFF.")
@click.option("--score-raster", metavar="OUT.tif", help="Also write scores as a GeoTIFF.")
@click.option("--max-memory", "max_memory_mib", type=int, metavar="MiB", help="Buffer limit.")
@click.option("--resume", is_flag=True, default=None, help="Continue an interrupted run.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace existing outputs.")
@click.option("--json", "as_json", is_flag=True, help="Write results as JSON lines to stdout.")
def segment(rasters: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Segment rasters with a model into GeoPackages.

    RASTER is a file, or a name that GDAL understands. With several rasters, --output (and
    --class-raster, --score-raster) is a folder, or a path in which {name} stands for each
    raster's name; a raster that fails does not stop the others.
    """
    console = Console(as_json=as_json)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        records = job_records(rasters, given)
        make_folders(given, records)
    except EngineError as error:
        failure = Failure(error.code, error.message, error.hint)
        console.show(failure, summary)
        return exit_code(failure)
    finals: list[FinalEvent] = []
    for number, record in enumerate(records, 1):
        if len(records) > 1:
            console.note(f"[{number}/{len(records)}] {record['raster']}")
        finals.append(console.run("segment", record, summary, job_id=record["raster"]))
        if isinstance(finals[-1], Cancelled):
            console.note(_resume_text(record["output"]))
            break
        if console.interrupted and number < len(records):
            console.note(f"Cancelled. {len(records) - number} rasters were not begun.")
            finals.append(Cancelled())
            break
    failed = [r["raster"] for r, f in zip(records, finals, strict=False) if isinstance(f, Failure)]
    if failed and len(records) > 1:
        console.note(f"{len(failed)} of {len(records)} rasters failed: {', '.join(failed)}")
    return exit_code(*finals)


def job_records(rasters: Sequence[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of one job for each raster, local paths made absolute.

    Raises:
        JobError: If two rasters would get the same output.
    """
    records = []
    for raster in rasters:
        record = {**options, "raster": _absolute_if_there(raster)}
        record["model"] = _absolute_if_there(options["model"])
        if options.get("aoi"):
            record["aoi"] = _absolute_if_there(options["aoi"])
        for field, ending in (
            ("output", ".gpkg"),
            ("class_raster", "_classes.tif"),
            ("score_raster", "_scores.tif"),
        ):
            if options.get(field):
                record[field] = output_path(options[field], raster, ending)
        records.append(record)
    counted = Counter(record["output"] for record in records)
    path, count = counted.most_common(1)[0]
    if count > 1:
        raise JobError(
            f"{count} rasters would be written to {path}",
            f"give a folder or a path with {NAME_FIELD}, and rasters with different names",
        )
    return records


def output_path(pattern: str, raster: str, ending: str) -> str:
    """Return the absolute output path of a raster.

    Args:
        pattern: A file, a path with ``{name}``, or a folder (existing, ending in a slash, or
            without a file ending).
        raster: The raster; its file name without ending is the ``{name}``.
        ending: Ending of the file's name inside a folder.
    """
    name = Path(raster).stem or "raster"
    path = Path(pattern.replace(NAME_FIELD, name)).expanduser()
    if names_folder(pattern):
        path = path / f"{name}{ending}"
    return str(path.absolute())


def names_folder(pattern: str) -> bool:
    """Return whether an output means a folder: it is one, or has no file ending."""
    path = Path(pattern).expanduser()
    return path.is_dir() or pattern.endswith(("/", "\\")) or not path.suffix


def make_folders(options: dict[str, Any], records: Sequence[dict[str, Any]]) -> None:
    """Create the folders that outputs name as folders.

    Raises:
        DiskError: If that is not possible.
    """
    fields = [f for f in ("output", "class_raster", "score_raster") if options.get(f)]
    for field in fields:
        for record in records if names_folder(options[field]) else ():
            folder = Path(record[field]).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DiskError(
                    f"cannot create folder {folder}: {error.strerror}", "choose another output"
                ) from None


def _absolute_if_there(source: str) -> str:
    """Return the absolute path of a file or folder that exists, anything else as it is."""
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def summary(result: Result) -> str:
    """Return a result of segmentation for people."""
    lines = [result.outputs.get("output", "")]
    for name, found in result.details.get("classes", {}).items():
        lines.append(f"  {name}: {found['count']} features, {found['area_m2']:,.1f} m²")
    if result.details.get("finished_before"):
        lines.append(f"  {result.counts.get('features', 0)} features, finished by an earlier run")
        return "\n".join(lines)
    tiles, skipped = result.counts.get("tiles", 0), result.counts.get("tiles_skipped", 0)
    where = ", ".join(str(result.details.get(k, "")) for k in ("device", "precision", "backend"))
    text = f"  {tiles} tiles in {duration_text(result.seconds)} ({where})"
    lines.append(text + (f", {skipped} tiles without data skipped" if skipped else ""))
    lines += [f"  {n}: {p}" for n, p in sorted(result.outputs.items()) if n != "output"]
    return "\n".join(lines)


def _resume_text(output: str) -> str:
    from ..pipelines.run_folder import run_folder_for

    folder = run_folder_for(Path(output))
    if not folder.exists():
        return "Cancelled. Nothing was written."
    return f"Cancelled. What is finished lies in {folder}; add --resume to continue from there."

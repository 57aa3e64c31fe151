"""``rs-segment chips``: labelled rasters or a data set into a folder of chips for training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..protocol import Cancelled, Result
from .console import Console, exit_code
from .progress import duration_text
from .segment import number_list

SPLITS = ("train", "val", "test")
_SOURCES = ("labels", "ignore", "aoi", "root")


def name_list(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Return names with commas or semicolons between them."""
    if value is None:
        return None
    return tuple(part.strip() for part in re.split(r"[,;]", value) if part.strip())


@click.command(short_help="Cut labelled rasters or a data set into chips for training.")
@click.option("--raster", "rasters", multiple=True, metavar="R", help="Raster; may be repeated.")
@click.option("--labels", metavar="FILE", help="Vector file of label polygons, any CRS.")
@click.option("--label-layer", metavar="NAME", help="Layer of --labels.")
@click.option("--class-field", metavar="F", help="Field with the class; none for one class.")
@click.option(
    "--classes", callback=name_list, metavar="A,B", help="Classes to keep, in order of their ids."
)
@click.option("--class-name", metavar="NAME", help="Name of the class without --class-field.")
@click.option("--color", "colors", multiple=True, metavar="NAME=#rrggbb", help="Colour of a class.")
@click.option(
    "--background/--sparse",
    "background",
    default=None,
    help="Whether ground outside all polygons is background (default), or unknown.",
)
@click.option("--ignore", metavar="FILE", help="Polygons of ground to leave out.")
@click.option("--ignore-layer", metavar="NAME", help="Layer of --ignore.")
@click.option("--aoi", metavar="FILE", help="Polygons of the labelled area.")
@click.option("--aoi-layer", metavar="NAME", help="Layer of --aoi.")
@click.option("--crs", help="CRS of rasters that have none, such as EPSG:32645.")
@click.option("--bands", callback=number_list(int), metavar="3,2,1", help="Bands of the chips.")
@click.option("--gsd", "gsd_m", type=float, metavar="M", help="Pixel size of the chips in metres.")
@click.option("--dataset", metavar="NAME", help="Data set instead of rasters, see --list.")
@click.option("--root", metavar="DIR", help="Folder of the data set.")
@click.option("--output", metavar="CHIPS", help="Folder to make.")
@click.option("--tile", "tile_px", type=int, metavar="N", help="Side of a chip in pixels.")
@click.option("--overlap", "overlap_px", type=int, metavar="N", help="Overlap of chips in pixels.")
@click.option(
    "--split",
    callback=number_list(float, 3),
    metavar="70,15,15",
    help="Shares of train, val and test in percent.",
)
@click.option("--split-by", metavar="block|raster", help="What goes to one part as a whole.")
@click.option("--block", "block_m", type=float, metavar="M", help="Side of a ground block, metres.")
@click.option("--buffer", "buffer_m", type=float, metavar="M", help="Ground between parts, metres.")
@click.option("--empty-ratio", type=float, metavar="R", help="Most training chips without object.")
@click.option("--seed", type=int, metavar="N", help="Seed of the split.")
@click.option("--resume", is_flag=True, default=None, help="Continue an interrupted run.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing folder.")
@click.option("--list", "list_only", is_flag=True, help="List the readers of data sets.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as a JSON line to stdout.")
def chips(as_json: bool, list_only: bool, **options: Any) -> int:
    """Cut labelled rasters or a data set into a folder of chips for training.

    Give --raster and --labels, or --dataset and --root. The ground is split into training,
    validation and test so that no pixel is shared; the folder holds images, masks, objects in
    COCO's form (annotations.json) and statistics.
    """
    console = Console(as_json=as_json)
    if list_only:
        return _show_readers(console)
    final = console.run("chips", job_record(options), summary)
    if isinstance(final, Cancelled):
        console.note("Cancelled. Add --resume to continue.")
    return exit_code(final)


def job_record(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the job, local paths made absolute."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if "output" in given:
        given["output"] = str(Path(given["output"]).expanduser().absolute())
    for name in _SOURCES:
        if name in given:
            given[name] = _absolute_if_there(given[name])
    if "rasters" in given:
        given["rasters"] = tuple(_absolute_if_there(source) for source in given["rasters"])
    return given


def _absolute_if_there(source: str) -> str:
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def _show_readers(console: Console) -> int:
    from ..pipelines.dataset_chips import reader_table

    for name, about in reader_table().items():
        console.write(f"{name:12} {about}")
    return 0


def summary(result: Result) -> str:
    """Return a result for people: chips, pixels and objects per class and part."""
    details = result.details
    splits = details["splits"]
    lines = [
        result.outputs["chips"],
        "  " + ", ".join(f"{splits[split]} {split}" for split in SPLITS)
        + f" chips in {duration_text(result.seconds)}",
    ]  # fmt: skip
    if details.get("finished_before"):
        lines.append("  finished by an earlier run")
    lines += _table(details)
    leak = details["leak_check"]
    text = f"  leak check: {leak['shared_pixels']} pixels shared between the parts"
    distance = leak.get("smallest_distance_m")
    lines.append(text + ("" if distance is None else f", {distance:g} m apart"))
    return "\n".join(lines)


def _table(details: Mapping[str, Any]) -> list[str]:
    """Return lines with pixels and objects of each class in each part."""
    objects = details["task"] == "both"
    header = ["class", *(f"{split} px" for split in SPLITS)]
    header += [f"{split} objects" for split in SPLITS] if objects else []
    rows = [header]
    for item in details["classes"]:
        key = str(item["id"])
        row = [item["name"], *(f"{details['class_pixels'][s].get(key, 0):,}" for s in SPLITS)]
        if objects:
            row += [f"{details['class_instances'][s].get(key, 0):,}" for s in SPLITS]
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return [
        "  " + row[0].ljust(widths[0]) + "".join(
            cell.rjust(width + 2) for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        for row in rows
    ]  # fmt: skip

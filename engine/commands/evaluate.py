"""``rs-segment evaluate``: a model on chips, on a data set, or on a raster with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .console import Console, exit_code
from .metrics_table import metrics_text
from .segment import number_list

OUTPUTS = ("output", "figures")
PATHS = ("model", "chips", "root", "raster", "labels", "aoi", *OUTPUTS)


@click.command(short_help="Measure a model on chips, a data set, or a raster with labels.")
@click.option("--model", required=True, metavar="ID|FOLDER", help="Model of the zoo, or folder.")
@click.option("--output", required=True, metavar="METRICS.json", help="File for all figures.")
@click.option("--chips", metavar="FOLDER", help="Folder of chips.")
@click.option("--split", metavar="train|val|test|all", help="Part of chips or data set; test.")
@click.option("--dataset", metavar="NAME", help="Published data set, with --root.")
@click.option("--root", metavar="FOLDER", help="Folder of the data set.")
@click.option("--raster", metavar="RASTER", help="Raster to segment, with --labels.")
@click.option("--labels", metavar="FILE", help="True polygons on the raster, in any CRS.")
@click.option("--crs", help="CRS of a raster that has none, such as EPSG:32645.")
@click.option("--label-layer", metavar="NAME", help="Layer of --labels.")
@click.option("--class-field", metavar="NAME", help="Class in --labels; one class if not set.")
@click.option("--aoi", metavar="FILE", help="Labelled area; the whole raster if not set.")
@click.option("--aoi-layer", metavar="NAME", help="Layer of --aoi.")
@click.option(
    "--bands", callback=number_list(int), metavar="3,2,1", help="Raster bands for the model."
)
@click.option("--figures", metavar="FOLDER", help="Also write pictures there.")
@click.option("--batch", type=int, metavar="N", help="Images per batch; automatic if not given.")
@click.option("--device", metavar="auto|cpu|cuda[:i]", help="Where the model runs.")
@click.option("--score", type=float, metavar="T", help="Minimum score, 0 to 1; the card's.")
@click.option("--boundary-px", type=float, metavar="N", help="Tolerance of boundary F1; 3.")
@click.option("--boundary-m", type=float, metavar="M", help="The same in metres.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing output.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as a JSON line to stdout.")
def evaluate(as_json: bool, **options: Any) -> int:
    """Measure a model on chips, on a published data set, or on a raster with labels.

    Semantic models: IoU, precision, recall and F1 per class, pixel accuracy, confusion matrix,
    boundary F1. Instance models: average precision and recall of masks and boxes as COCO.
    """
    console = Console(as_json=as_json)
    return exit_code(console.run("evaluate", absolute_paths(options, PATHS), metrics_text))


def absolute_paths(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the given options; paths of files that exist, and of outputs, made absolute."""
    record = {name: value for name, value in options.items() if value is not None}
    for name in names:
        path = Path(record.get(name) or "").expanduser()
        if record.get(name) and (name in OUTPUTS or path.exists()):
            record[name] = str(path.absolute())
    return record

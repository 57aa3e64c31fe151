"""``rs-segment compare``: a polygon layer against a true one."""

from __future__ import annotations

from typing import Any

import click

from .console import Console, exit_code
from .evaluate import absolute_paths
from .metrics_table import metrics_text

PATHS = ("predicted", "truth", "aoi", "output", "figures")


@click.command(short_help="Compare a polygon layer with a true one.")
@click.option("--predicted", required=True, metavar="FILE", help="Found polygons.")
@click.option("--truth", required=True, metavar="FILE", help="True polygons, in any CRS.")
@click.option("--output", metavar="METRICS.json", help="File for all figures and curves.")
@click.option("--predicted-layer", metavar="NAME", help="Layer of --predicted.")
@click.option("--truth-layer", metavar="NAME", help="Layer of --truth.")
@click.option("--class-field", metavar="NAME", help="Class in --predicted; class_name if there.")
@click.option("--truth-class-field", metavar="NAME", help="Class in --truth; one class if not set.")
@click.option("--score-field", metavar="NAME", help="Score in --predicted, for AP; score.")
@click.option("--aoi", metavar="FILE", help="Polygons outside of which nothing counts.")
@click.option("--aoi-layer", metavar="NAME", help="Layer of --aoi.")
@click.option("--min-iou", type=float, metavar="X", help="IoU of the same object; 0.5.")
@click.option("--figures", metavar="FOLDER", help="Also write pictures there.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing output.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as a JSON line to stdout.")
def compare(as_json: bool, **options: Any) -> int:
    """Compare a polygon layer with a true one.

    Prints precision, recall and F1 of objects, average precision at IoU 0.5 to 0.95, and the
    IoU of the ground that both cover, per class; areas are in square metres for any CRS.
    """
    console = Console(as_json=as_json)
    return exit_code(console.run("compare", absolute_paths(options, PATHS), metrics_text))

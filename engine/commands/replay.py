"""``rs-segment replay``: run the job of an earlier result again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import Console, exit_code
from .segment import summary


@click.command(short_help="Run the job of an earlier result again.")
@click.argument("run", metavar="RUN")
@click.option("--run-id", help="Which run of a GeoPackage; the latest if not given.")
@click.option("--output", metavar="OUT.gpkg", help="Where to write; the earlier path if not given.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace existing outputs.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def replay(run: str, as_json: bool, **options: Any) -> int:
    """Run the job of an earlier result again and say whether the inputs are the same.

    RUN is a manifest (run.json), a GeoPackage that RS Segment wrote, or the folder of an
    interrupted run.
    """
    record = {name: value for name, value in options.items() if value is not None}
    if "output" in record:
        record["output"] = str(Path(record["output"]).expanduser().absolute())
    return exit_code(Console(as_json=as_json).run("replay", {"run": run, **record}, summary))

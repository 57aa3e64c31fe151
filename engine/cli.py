"""The command line ``rs-segment``, the same as ``python -m engine``.

Exit codes: 0 done, 2 the user can mend it, 3 a bug of ours, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
import traceback

import click

from . import __version__
from .commands.chips import chips
from .commands.compare import compare
from .commands.console import INTERRUPTED, OUR_BUG, USER_CAN_MEND
from .commands.doctor import doctor
from .commands.evaluate import evaluate
from .commands.models import models
from .commands.replay import replay
from .commands.segment import segment
from .commands.train import pretrain, train
from .runner import BUG_HINT
from .worker import IDLE_S, serve


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="rs-segment")
@click.option("-v", "--verbose", is_flag=True, help="Show the log of the engine on stderr.")
def rs_segment(verbose: bool) -> None:
    """Segment rasters of remote sensing into vector layers.

    Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 2 you can mend
    it, 3 a bug of ours, 130 interrupted.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


@rs_segment.command(short_help="Serve jobs over stdin and stdout.")
@click.option(
    "--idle-seconds", default=IDLE_S, show_default=True, help="End when idle for so long."
)
@click.option(
    "--kill-with-parent",
    is_flag=True,
    help="Linux: let the kernel kill the worker when the thread that started it ends.",
)
def worker(idle_seconds: float, kill_with_parent: bool) -> int:
    """Serve jobs over stdin and stdout, one JSON object per line; see docs/protocol.md."""
    return serve(idle_s=idle_seconds, kill=kill_with_parent)


for _command in (segment, chips, evaluate, compare, models, doctor, replay, train, pretrain):
    rs_segment.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; never raises."""
    try:
        code = rs_segment.main(arguments, prog_name="rs-segment", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return USER_CAN_MEND
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        click.echo(f"Hint: {BUG_HINT}", err=True)
        return OUR_BUG
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())

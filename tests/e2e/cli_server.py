"""Runs the command line in forked children, so that heavy imports are paid once.

Lines on stdin: a JSON list of arguments, files for stdout and stderr, limit of file size in bytes
or null. Lines on stdout: the exit code.
"""

from __future__ import annotations

import json
import os
import resource
import sys

import engine.pipelines.segment  # noqa: F401
from engine.cli import main


def child(arguments: list[str], out: str, err: str, limit: int | None) -> None:
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
    os.dup2(os.open(out, flags, 0o600), 1)
    os.dup2(os.open(err, flags, 0o600), 2)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    code = main(arguments)
    sys.stderr.flush()
    os._exit(code)


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        child(*json.loads(line))
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)

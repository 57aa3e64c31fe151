"""Processes of one training: started here on one machine, or by torchrun on several.

Process 0 is the one that the user talks to. The others are new Python processes that train the
same job and end with it; the environment tells each one its number.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from ..errors import DeviceError, JobError
from ..jobs import TrainJob
from ..predict.backend import set_cpu_threads
from ..protocol import Result
from ..train.fit import Hardware

logger = logging.getLogger(__name__)

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
END_GRACE_S, FAILED_GRACE_S = 20.0, 3.0


@dataclass(frozen=True)
class Ranks:
    """The processes of a training.

    Attributes:
        rank: Number of this process.
        world: Processes in all.
        nodes: Machines.
        needs_start: Whether this process has to start the others.
    """

    rank: int = 0
    world: int = 1
    nodes: int = 1
    needs_start: bool = False

    @classmethod
    def from_environment(cls, job: TrainJob) -> Ranks:
        """Return the processes as torchrun or this module has laid them out.

        Raises:
            JobError: If the job wants several machines, but torchrun did not start it, or
                started another number of processes.
        """
        wanted = job.devices * job.nodes
        if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
            world = int(os.environ["WORLD_SIZE"])
            if world != wanted:
                raise JobError(
                    f"torchrun started {world} processes, the job asks for {wanted}",
                    "give --devices and --nodes the numbers of --nproc-per-node and --nnodes",
                )
            return cls(int(os.environ["RANK"]), world, job.nodes)
        if job.nodes > 1:
            raise JobError(
                f"{job.nodes} machines are asked for, but torchrun did not start this process",
                "on each machine: torchrun --nnodes N --nproc-per-node D ... -m engine train ...",
            )
        return cls(0, wanted, 1, needs_start=wanted > 1)

    def hardware(self, device: str, precision: str) -> Hardware:
        """Return device and processes; the threads of the CPU are shared out.

        Raises:
            DeviceError: If there are fewer GPUs than processes on this machine.
        """
        local = self.world // self.nodes
        if device == "cuda" and torch.cuda.device_count() < local:
            raise DeviceError(
                f"{local} GPUs are asked for, this machine has {torch.cuda.device_count()}",
                "ask for fewer devices, or set device to cpu",
            )
        threads = set_cpu_threads()
        if local > 1:
            torch.set_num_threads(max(1, threads // local))
        return Hardware(device, precision, self.rank, self.world, self.nodes)

    def resumes(self, job: TrainJob, checkpoint: Path) -> bool:
        """Return on every process whether the training goes on from a checkpoint."""
        return job.resume and checkpoint.is_file()


def train_in_ranks(job: TrainJob, ranks: Ranks, train: Callable[[], Result]) -> Result:
    """Start the other processes, train as process 0, and see the others end.

    Raises:
        DeviceError: If another process ended before the training did.
    """
    with _environment(ranks.world):
        others = [_start(job, rank, ranks.world) for rank in range(1, ranks.world)]
        grace_s = FAILED_GRACE_S
        try:
            result = train()
            grace_s = END_GRACE_S
            return result
        except RuntimeError as error:
            codes = [process.exitcode for process in others]
            if all(code is None for code in codes):
                raise
            raise DeviceError(
                f"another process of the training ended, exit codes {codes}: {error}",
                "look at its messages above; ask for fewer devices if memory was short",
            ) from error
        finally:
            _end(others, grace_s)


@contextmanager
def _environment(world: int) -> Iterator[None]:
    """Set the variables of process 0 and take them away again."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    own = {**address, **_numbers(0, world)}
    earlier = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        leave_processes()


def leave_processes() -> None:
    """Leave the group of processes, so that each one can end by itself."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _numbers(rank: int, world: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
    }


def _start(job: TrainJob, rank: int, world: int) -> SpawnProcess:
    """Start a process of its own; it inherits the environment with its number in it."""
    process = multiprocessing.get_context("spawn").Process(target=_train_as_rank, args=(job,))
    os.environ.update(_numbers(rank, world))
    try:
        process.start()
    finally:
        os.environ.update(_numbers(0, world))
    return process


def _train_as_rank(job: TrainJob) -> None:
    """Train in a process that was started for it; it ends with the process that started it."""
    from .train import run_train

    os.dup2(2, 1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    run_train(job, lambda event: None, lambda: False)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _end(others: list[SpawnProcess], grace_s: float) -> None:
    """Wait a little for the other processes, then end those that hang."""
    deadline = time.monotonic() + grace_s
    for process in others:
        process.join(max(0.1, deadline - time.monotonic()))
        if process.is_alive():
            logger.warning("process %s of the training did not end, it is ended now", process.pid)
            process.kill()
            process.join()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])

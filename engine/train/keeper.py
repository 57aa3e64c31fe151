"""The callback that keeps a training: counts, curves, checkpoints, best weights, the end."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from ..errors import JobCancelled
from ..protocol import IsCancelled, Metrics, Progress, Report
from .checkpoint import (
    BEST_NAME,
    LAST_NAME,
    CurvePoint,
    load_optimizer,
    save_checkpoint,
    write_weights,
)
from .module import TrainModule, all_sum, in_processes

logger = logging.getLogger(__name__)

CSV_NAME = "metrics.csv"
NEVER = 1 << 40
FINISHED, PATIENCE, TIME_UP = "all epochs done", "no progress", "time is up"


class Keeper(Callback):
    """Moves the state on after each step and writes what must outlive the process.

    Args:
        module: The module that trains.
        folder: Work folder.
        report: Takes progress and metrics.
        cancelled: Whether the user wants to stop.
        max_minutes: Minutes after which training ends, over all runs; 0 means no limit.
    """

    def __init__(
        self,
        module: TrainModule,
        folder: Path,
        report: Report,
        cancelled: IsCancelled,
        max_minutes: float = 0.0,
    ) -> None:
        self.module = module
        self.state = module.state
        self.folder = folder
        self.report = report
        self.cancelled = cancelled
        self.max_minutes = max_minutes
        self.restore: Path | None = None
        self.log_scalars: Callable[[dict[str, float], int], None] = lambda values, step: None
        self._since = time.monotonic()
        self._validated = 0
        self._saved_step = self.state.step

    @property
    def _first(self) -> bool:
        return self.module.rank == 0

    def total_steps(self) -> int:
        """Return the optimiser steps of all stages."""
        return self.module.plan.stage_steps * max(1, len(self.module.recipe.stages))

    def epochs_done(self) -> float:
        """Return the epochs done over all stages, with the fraction of the current one."""
        plan, state = self.module.plan, self.state
        return state.stage * plan.epochs + state.epoch + state.batch / plan.epoch_batches

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Restore the optimiser of a resumed training and start the clock."""
        if self.restore is not None:
            load_optimizer(self.restore, self.state, trainer.optimizers[0])
            self.restore = None
        self._since = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Validate after this epoch if it is due: every few epochs, and after the last one."""
        trainer.check_val_every_n_epoch = 1 if self.validation_is_due() else NEVER

    def validation_is_due(self) -> bool:
        """Return whether the current epoch ends with a validation."""
        done = self.state.epoch + 1
        return done % self.module.recipe.validate_epochs == 0 or done >= self.module.plan.epochs

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, average the weights, report, save, stop."""
        state, recipe = self.state, self.module.recipe
        state.batch += 1
        state.loss_sum += float(outputs["loss"].detach())
        state.loss_count += 1
        last = state.batch == self.module.plan.epoch_batches
        stepped = last or state.batch % recipe.accumulate == 0
        if stepped:
            self._after_step()
        if self._told_to_stop():
            if stepped or not state.stage_step:
                self.save()
            raise JobCancelled
        if stepped and not last:
            if recipe.checkpoint_steps and self._save_is_due():
                self.save()
            self._stop_when_time_is_up(trainer)

    def _after_step(self) -> None:
        rate = self.module.rate()
        if self.module.average is not None:
            self.module.average.update(self.module.network, self.state.stage_step)
        self.state.step += 1
        self.state.stage_step += 1
        if self.state.step % self.module.recipe.log_steps == 0:
            self.add_train_point(rate)
        if self._first:
            self.report(Progress("train", self.state.step, self.total_steps(), "steps"))

    def add_train_point(self, rate: float | None) -> None:
        """Add the mean loss since the last point to the curve, with the rate if it is known."""
        state = self.state
        sums = torch.tensor([state.loss_sum, float(state.loss_count)], dtype=torch.float64)
        total, count = all_sum(sums, self.module.device).tolist()
        state.loss_sum, state.loss_count = 0.0, 0
        if count:
            values = {"loss": total / count}
            self._add_point("train", values if rate is None else {**values, "lr": rate})

    def _add_point(self, series: str, values: dict[str, float]) -> None:
        state = self.state
        point = CurvePoint(series, state.step, round(self.epochs_done(), 4), values)
        state.curve.append(point)
        if self._first:
            self.report(Metrics(series, point.step, point.epoch, values))
            self.log_scalars({f"{series}/{k}": v for k, v in values.items()}, point.step)

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start counting the chips of a validation."""
        self._validated = 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Report, and stop if told so; of several processes, each has its own number of batches.

        Those stop together at the next step of the training.
        """
        self._validated += 1
        total = sum(n for n in trainer.num_val_batches if n != float("inf"))
        if self._first:
            self.report(Progress("validate", self._validated, int(total), "batches"))
        if not in_processes() and self.cancelled():
            self.module.on_validation_end()
            self.save()
            raise JobCancelled

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Note the values; keep the weights if they are the best so far."""
        found = self.module.found
        if not found:
            return
        self._add_point("val", found)
        state, value = self.state, found[self.module.metric()]
        if state.best is None or value > state.best + self.module.recipe.min_delta:
            state.best, state.best_step = value, state.step
            state.best_epoch, state.waits = self.epochs_done(), 0
            if self._first:
                tensors = self.module.published_tensors()
                write_weights(self.folder / BEST_NAME, tensors, {"network": state.network})
        else:
            state.waits += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """End the epoch; see :meth:`end_epoch`."""
        if self.state.batch >= self.module.plan.epoch_batches:
            self.end_epoch()
        if self.state.finished:
            trainer.should_stop = True

    def end_epoch(self) -> None:
        """Move on to the next epoch, find out whether training is done, and save."""
        state, recipe = self.state, self.module.recipe
        state.epoch, state.batch = state.epoch + 1, 0
        if state.epoch >= self.module.plan.epochs:
            state.finished, state.reason = True, FINISHED
        elif recipe.patience and state.waits >= recipe.patience:
            state.finished, state.reason = True, PATIENCE
        elif self._time_is_up():
            state.finished, state.reason = True, TIME_UP
        if state.finished:
            self.add_train_point(None)  # of the steps since the last point
        if state.finished or self._save_is_due():
            self.save()

    def _save_is_due(self) -> bool:
        return self.state.step - self._saved_step >= self.module.recipe.checkpoint_steps

    def _stop_when_time_is_up(self, trainer: Trainer) -> None:
        if self._time_is_up():
            self.state.finished, self.state.reason = True, TIME_UP
            trainer.should_stop = True
            trainer.check_val_every_n_epoch = 1

    def _time_is_up(self) -> bool:
        self._count_time()
        up = self.max_minutes > 0 and self.state.seconds >= 60 * self.max_minutes
        return self._agreed(up)

    def _told_to_stop(self) -> bool:
        return self._agreed(self._first and self.cancelled())

    def _agreed(self, flag: bool) -> bool:
        """Return whether any process says so, so that all of them do the same."""
        if not in_processes():
            return flag
        return bool(all_sum(torch.tensor(float(flag)), self.module.device))

    def _count_time(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._since
        self._since = now

    def save(self) -> None:
        """Write checkpoint and curves.

        Raises:
            DiskError: If the disk does not take them; the earlier checkpoint stays.
        """
        self._count_time()
        self._saved_step = self.state.step
        if not self._first:
            return
        if not self.module.trainer.optimizers:  # the end of an epoch was repeated after a stop
            return
        average = self.module.average.tensors if self.module.average is not None else None
        save_checkpoint(
            self.folder / LAST_NAME,
            self.state,
            self.module.network,
            self.module.trainer.optimizers[0],
            average,
        )
        write_curves(self.folder / CSV_NAME, self.state.curve)
        logger.info("checkpoint at step %d", self.state.step)


def write_curves(path: Path, curve: list[CurvePoint]) -> None:
    """Write the curves as CSV, one row per point, whole or not at all."""
    names = sorted({name for point in curve for name in point.values})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["series", "step", "epoch", *names])
    for point in curve:
        cells = [point.values.get(name) for name in names]
        row = ["" if v is None else repr(v) for v in cells]
        writer.writerow([point.series, point.step, f"{point.epoch:g}", *row])
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)

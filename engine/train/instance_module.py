"""Lightning module of networks with torchvision's detection contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import ChipDataset
from ..evaluate.coco_eval import evaluate_coco, report_of
from .checkpoint import TrainingState
from .measure import coco_truth, detections_of, image_ids
from .module import TrainModule, TrainPlan, in_processes
from .recipe import Recipe


class InstanceModule(TrainModule):
    """Training of an instance network: the sum of its losses; validation by COCO's AP.

    Args:
        network: Network with torchvision's detection contract.
        recipe: Its recipe.
        plan: Numbers that follow from the data.
        state: Where the training stands.
        val: The validation chips.
        val_split: The part that they are, for the COCO record.
        rank: Number of the process.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        recipe: Recipe,
        plan: TrainPlan,
        state: TrainingState,
        val: ChipDataset,
        val_split: str,
        rank: int = 0,
    ) -> None:
        super().__init__(network, recipe, plan, state, rank)
        self._val = val
        self._truth = coco_truth(val, val_split)
        self._ids = image_ids(self._truth)
        self._found: list[dict[str, Any]] = []

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Return the sum of the losses of a batch."""
        losses: dict[str, Tensor] = self.network(batch["image"], batch["target"])
        return torch.stack([value for value in losses.values()]).sum()

    def on_validation_epoch_start(self) -> None:
        """Start collecting."""
        self._found = []

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Collect the instances of a batch."""
        for output, index in zip(self.network(batch["image"]), batch["index"], strict=True):
            image_id = self._ids[self._val.chips[index].image_file]
            self._found += detections_of(output, image_id, self._val.classes.ids)

    def on_validation_epoch_end(self) -> None:
        """Gather the instances of all processes; the values are in ``found``."""
        report = report_of(
            {kind: evaluate_coco(self._truth, self._gathered(), kind) for kind in ("mask", "box")}
        )
        self.found = {
            f"{kind}_{name}": report[kind][name]
            for kind in ("mask", "box")
            for name in ("AP", "AP50", "AP75")
            if report[kind][name] is not None
        }
        self.found.setdefault("mask_AP", 0.0)

    def _gathered(self) -> list[dict[str, Any]]:
        if not in_processes():
            return self._found
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, self._found)
        return [detection for part in parts for detection in part]

    def metric(self) -> str:
        """Return COCO's mask AP."""
        return "mask_AP"

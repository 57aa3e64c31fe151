"""A train job made concrete."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..jobs import TrainJob
from ..models.load import load_weights
from ..models.registry import create_model
from ..train.checkpoint import TrainingState
from ..train.fit import Hardware
from ..train.recipe import Recipe
from ..train.setup import Material
from ..train.start import Start
from ..zoo.registry import ModelEntry


@dataclass
class Training:
    """A train job made concrete.

    Attributes:
        job: The job.
        folder: Work folder.
        output: Model folder to make.
        recipe: All numbers.
        material: Chips, classes, bands.
        hardware: Device and processes.
        state: Where the training stands.
        resumes: Whether there is a checkpoint to go on from.
        entry: Model to start from.
        start: What the network started from, None until it is known.
    """

    job: TrainJob
    folder: Path
    output: Path
    recipe: Recipe
    material: Material
    hardware: Hardware
    state: TrainingState
    resumes: bool
    entry: ModelEntry | None
    start: Start | None = None

    def builder_args(self) -> dict[str, object]:
        """Return the arguments of the network's builder as the card states them.

        A training that ended before its last stage (C2FNet's ``coarse``), or before the first
        validation of a stage, publishes the stage that has weights.
        """
        found = {k: v for k, v in self.recipe.options.items() if k != "pretrained"}
        stage = self.state.stage
        if stage and self.state.best is None:
            stage -= 1
        if stage < len(self.recipe.stages) - 1:
            found["stage"] = self.recipe.stages[stage]
        return found

    def fresh_network(self) -> nn.Module:
        """Return the network with random weights, as its card describes it."""
        return create_model(
            self.recipe.network,
            num_classes=len(self.material.classes),
            in_channels=len(self.material.bands),
            **self.builder_args(),
        )

    def network_of_tensors(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Return the network with these weights, in evaluation mode and float32."""
        network = self.fresh_network()
        plain = {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}
        load_weights(network, plain, self.output.name)
        return network.eval()

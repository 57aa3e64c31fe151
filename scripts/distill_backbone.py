"""Teaches a large backbone what a small pretrained one sees, on images without labels.

    python scripts/distill_backbone.py --teacher MOBILENETV2.safetensors --chips CHIPS
        --backbone resnet50 --output RESNET50.safetensors
    rs-segment train --chips CHIPS --network facenet_r50 --init RESNET50.safetensors --output MODEL

For a machine on which no weights of the large backbone are at hand, but those of MobileNetV2 are
(``scripts/make_mobilenetv2_backbone.py``). Convolutions of one pixel on the large backbone's maps
are to give the small one's maps at strides 4 to 32 (feature regression, after Romero et al.,
"FitNets", ICLR 2015). Every pixel of a map is a target, so thousands of crops are enough to begin
with, where classes of images need millions. Crops come from the training chips only. What is
printed is the share of the teacher's variance that is left. A run that is stopped continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.data.chip_folder import ChipFolder
from engine.models.blocks.backbones import call_pyramid, pyramid_channels, timm_pyramid
from engine.protocol import Event, Progress
from engine.train.fit import Hardware
from engine.train.recipe import OptimizerRecipe, Recipe
from engine.train.schedule import ScheduleRecipe
from engine.train.setup import Material, read_material
from engine.train.step_training import StepTraining
from engine.train.tensor_file import write_tensors

TEACHER = "mobilenetv2_100"
ZOOM = (0.5, 1.25)
GAIN, OFFSET = 0.2, 0.2
"""Largest change of contrast and brightness, in standard deviations of a band."""


class Distiller(nn.Module):
    """A large backbone, a small one that knows, and the projections between their maps.

    Args:
        student: Backbone that learns.
        teacher: Backbone that stays as it is.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher.eval().requires_grad_(False)
        widths = zip(pyramid_channels(student), pyramid_channels(teacher), strict=True)
        self.projections = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in widths)

    def train(self, mode: bool = True) -> Distiller:
        """Switch the mode of all but the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return what is guessed and what is known, ``[N, c, h, w]`` at strides 4 to 32."""
        with torch.no_grad():
            known = call_pyramid(self.teacher, images)
        maps = call_pyramid(self.student, images)
        guessed = [layer(x) for layer, x in zip(self.projections, maps, strict=True)]
        return list(zip(guessed, known, strict=True))

    def loss(self, outputs: Sequence[tuple[Tensor, Tensor]], target: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error over maps whose channels have a variance of one."""
        terms = [
            functional.mse_loss(guessed.float(), standardised(known)) for guessed, known in outputs
        ]
        return {"loss": torch.stack(terms).mean()}


def standardised(maps: Tensor) -> Tensor:
    """Return maps ``[N, c, h, w]`` with mean 0 and variance 1 of each channel in the batch."""
    return functional.batch_norm(maps.float(), None, None, training=True)


class Crops:
    """Batches of turned, zoomed and brightened crops as a function of the step.

    Args:
        material: Chips and their bands.
        crop_px: Side of a crop.
        batch: Crops per step.
        seed: Seed of the draws.
    """

    def __init__(self, material: Material, crop_px: int, batch: int, seed: int) -> None:
        data = material.dataset("train")
        self.images = [data.whole(index)["image"].half() for index in range(len(data))]
        self.crop_px, self.batch, self.seed = crop_px, batch, seed

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images float ``[N, C, S, S]`` and targets nobody looks at."""
        rng = np.random.default_rng((self.seed, step))
        return torch.stack([self._crop(rng) for _ in range(self.batch)]), torch.zeros(1)

    def _crop(self, rng: np.random.Generator) -> Tensor:
        image = self.images[rng.integers(len(self.images))]
        side_px = min(round(self.crop_px / rng.uniform(*ZOOM)), *image.shape[1:])
        top, left = (int(rng.integers(size - side_px + 1)) for size in image.shape[1:])
        part = image[:, top : top + side_px, left : left + side_px].float()
        size = (self.crop_px, self.crop_px)
        part = functional.interpolate(part[None], size, mode="bilinear", antialias=True)[0]
        part = torch.rot90(part, int(rng.integers(4)), (1, 2))
        if rng.random() < 0.5:
            part = part.flip(2)
        return part * (1 + rng.uniform(-GAIN, GAIN)) + rng.uniform(-OFFSET, OFFSET)


def say(event: Event) -> None:
    """Print the points of the loss."""
    if not isinstance(event, Progress):
        print(event, flush=True)


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """Return the numbers of the training."""
    return Recipe(
        network=arguments.backbone,
        epochs=1,
        steps=arguments.steps,
        batch=arguments.batch,
        clip_norm=5.0,
        checkpoint_steps=25,
        optimizer=OptimizerRecipe(name="adamw", lr=arguments.lr, weight_decay=0.05),
        schedule=ScheduleRecipe(name="cosine", warmup_steps=min(50, arguments.steps // 10)),
    )


def main() -> int:
    """Write the backbone's weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, required=True, help="weights of MobileNetV2")
    parser.add_argument("--chips", type=Path, required=True, help="folder of chips, three bands")
    parser.add_argument("--backbone", required=True, help="timm's name: resnet50, hrnet_w18, …")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    material = read_material(ChipFolder.open(arguments.chips), "instance")
    torch.manual_seed(arguments.seed)
    teacher = timm_pyramid(TEACHER, pretrained=str(arguments.teacher))
    network = Distiller(timm_pyramid(arguments.backbone), teacher)
    training = StepTraining(
        network,
        Crops(material, arguments.crop_px, arguments.batch, arguments.seed),
        recipe_of(arguments),
        arguments.output.with_suffix(".training"),
        hardware=Hardware(arguments.device, arguments.precision),
        seed=arguments.seed,
    )
    found = training.run(say)
    prefix = "student."
    weights = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    write_tensors(arguments.output, weights, {"backbone": arguments.backbone})
    print(f"{arguments.output}: {arguments.backbone} after {arguments.steps} steps")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

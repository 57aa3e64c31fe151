"""Ten real images of NWPU VHR-10 learnt by heart: a check that an instance network can learn.

One crop of 256 pixels around an object of each class, drawn with a seed, at the resolution of the
data set. The network starts from random weights and is measured on the same crops with COCO's mask
AP; the check holds if it reaches ``--target-ap``. Nothing is said about unseen images. Rests of
objects smaller than 16 × 16 pixels at the border of a crop are not labelled.

    python benchmarks/overfit_nwpu.py --data NWPU_FOLDER --network hq_isnet_w18
        --output FOLDER [--steps 600] [--options '{"rois_per_image": 32}']

Without ``--data`` the folder ``nwpu_vhr10`` is looked for in ``RS_SEGMENT_DATA``.

A run that was stopped goes on where its last checkpoint stands. In the last part of the training
batch normalisations keep their statistics, so that training and evaluation see the same network.
Ends with 1 if the target is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _instance_picture import draw_outlines

from engine.models import create_model
from engine.models.blocks.solo_targets import quarter_masks

CLASS_NAMES = (
    "airplane",
    "ship",
    "storage_tank",
    "baseball_diamond",
    "tennis_court",
    "basketball_court",
    "ground_track_field",
    "harbor",
    "bridge",
    "vehicle",
)
CLASSES = len(CLASS_NAMES)
SIDE_PX = 256
LEAST_AREA_PX = 16 * 16
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
WARM_UP_STEPS = 30
LAST_LR_RATIO = 0.02
GRADIENT_NORM = 35.0
OPTIONS: dict[str, dict[str, Any]] = {
    # Half the cells and half the scales of the paper's 800 pixels and more, for 256 pixels.
    "solo": {
        "grids": [20, 18, 12, 8, 6],
        "scale_ranges_px": [[1, 32], [16, 64], [32, 128], [64, 256], [128, 2048]],
        "tower_width": 128,
    },
    "rcnn": {"rois_per_image": 48, "proposals": [1000, 1000]},
}


@dataclass(frozen=True)
class Sample:
    """One crop: image float ``[3, H, W]`` and torchvision's target."""

    image: Tensor
    target: dict[str, Tensor]


def draw_samples(data: Path, count: int, seed: int) -> list[Sample]:
    """Return a crop around a random object of each class in turn, each from another image."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(data / "annotations.json"))
    random = np.random.default_rng(seed)
    used: set[int] = set()
    samples = []
    for number in range(count):
        ids = coco.getAnnIds(catIds=[1 + number % CLASSES])
        known = [x for x in coco.loadAnns(ids) if x["image_id"] not in used]
        chosen = known[int(random.integers(len(known)))]
        used.add(chosen["image_id"])
        samples.append(crop(coco, data, chosen))
    return samples


def crop(coco: COCO, data: Path, chosen: dict[str, Any]) -> Sample:
    """Return the crop around an annotation, moved inwards at the image's borders."""
    info = coco.imgs[chosen["image_id"]]
    x, y, width, height = chosen["bbox"]
    left = int(min(max(0, x + width / 2 - SIDE_PX / 2), max(0, info["width"] - SIDE_PX)))
    top = int(min(max(0, y + height / 2 - SIDE_PX / 2), max(0, info["height"] - SIDE_PX)))
    window = (slice(top, top + SIDE_PX), slice(left, left + SIDE_PX))
    with Image.open(data / "images" / info["file_name"]) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float32)[window]
    image = torch.from_numpy((pixels - MEAN) / STD).float().permute(2, 0, 1).contiguous()
    masks, labels = [], []
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[info["id"]])):
        mask = coco.annToMask(annotation)[window]
        if mask.sum() >= LEAST_AREA_PX:
            masks.append(mask)
            labels.append(annotation["category_id"])
    stacked = torch.from_numpy(np.stack(masks))
    return Sample(
        image, {"boxes": boxes_of(stacked), "labels": torch.tensor(labels), "masks": stacked}
    )


def boxes_of(masks: Tensor) -> Tensor:
    """Return the boxes of masks, x1 and y1 exclusive."""
    boxes = []
    for mask in masks:
        rows, cols = torch.nonzero(mask, as_tuple=True)
        boxes.append([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
    return torch.tensor(boxes, dtype=torch.float32)


def predict(network: nn.Module, samples: list[Sample], *, bf16: bool) -> list[dict[str, Tensor]]:
    """Return the instances of each sample: labels, scores and bool masks ``[N, H, W]``."""
    network.eval()
    results = []
    for sample in samples:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            (result,) = network([sample.image])
        results.append({**result, "masks": result["masks"][:, 0] > 0.5})
    return results


def perfect_quarters(samples: list[Sample], *, soft: bool) -> list[dict[str, Tensor]]:
    """Return the truth as a perfect one-stage network would draw it, at stride 4.

    Args:
        samples: The crops.
        soft: Whether the network learns covered shares (``soft_masks``) instead of yes or no.
    """
    results = []
    for sample in samples:
        masks = sample.target["masks"]
        side_px = (masks.shape[1], masks.shape[2])
        quarter = quarter_masks(masks, side_px, soft=soft)
        drawn = functional.interpolate(quarter[:, None], size=side_px, mode="bilinear")[:, 0]
        scores = torch.ones(len(masks))
        results.append({"labels": sample.target["labels"], "scores": scores, "masks": drawn > 0.5})
    return results


def mask_ap(samples: list[Sample], results: list[dict[str, Tensor]]) -> dict[str, float]:
    """Return COCO's mask AP, AP50 and AP75 on the samples."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, (sample, result) in enumerate(zip(samples, results, strict=True), 1):
        for mask, label in zip(sample.target["masks"], sample.target["labels"], strict=True):
            truth.append(
                {**_annotation(number, int(label), mask), "id": len(truth) + 1, "iscrowd": 0}
            )
        for mask, label, score in zip(
            result["masks"], result["labels"], result["scores"], strict=True
        ):
            found.append({**_annotation(number, int(label), mask), "score": float(score)})
    if not found:
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": number, "height": SIDE_PX, "width": SIDE_PX}
                for number in range(1, len(samples) + 1)
            ],
            "categories": [{"id": label} for label in range(1, CLASSES + 1)],
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        name: float(value)
        for name, value in zip(("AP", "AP50", "AP75"), evaluation.stats[:3], strict=True)
    }


def _annotation(image: int, label: int, mask: Tensor) -> dict[str, Any]:
    code = rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
    return {
        "image_id": image,
        "category_id": label,
        "segmentation": code,
        "area": int(mask.sum()),
        "bbox": rle.toBbox(code).tolist(),
    }


class Run:
    """A training that can be stopped and taken up again."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.manual_seed(arguments.seed)
        self.arguments = arguments
        one_stage = arguments.network.startswith(("solo", "facenet"))
        options = {**OPTIONS["solo" if one_stage else "rcnn"], **json.loads(arguments.options)}
        self.network = create_model(arguments.network, num_classes=CLASSES, **options)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=arguments.lr, fused=True)
        self.step, self.seconds = 0, 0.0
        self.folder: Path = arguments.output
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()

    def train(self, samples: list[Sample]) -> dict[str, float]:
        """Train to the end and return the last measurement."""
        metrics: dict[str, float] = {}
        while self.step < self.arguments.steps:
            begin = time.perf_counter()
            losses = self.one_step(samples)
            self.seconds += time.perf_counter() - begin
            self.step += 1
            if self.step % 10 == 0:
                terms = " ".join(f"{key} {value:.3f}" for key, value in losses.items())
                print(f"step {self.step} {self.seconds:.0f} s {terms}", flush=True)
            if self.step % self.arguments.every == 0 or self.step == self.arguments.steps:
                self.save()
                metrics = self.measure(samples)
                print(f"step {self.step} {self.seconds:.0f} s {metrics}", flush=True)
        return metrics or self.measure(samples)

    def measure(self, samples: list[Sample]) -> dict[str, float]:
        """Return the AP on the samples; draws the outlines if asked for."""
        results = predict(self.network, samples, bf16=self.arguments.bf16)
        if self.arguments.picture:
            truth = [sample.target for sample in samples]
            draw_outlines(self.arguments.picture, truth, results, CLASS_NAMES)
        return mask_ap(samples, results)

    def one_step(self, samples: list[Sample]) -> dict[str, float]:
        """Learn from one batch; batches run through all samples in an order drawn per epoch."""
        self.network.train()
        if self.step >= self.arguments.fixed_from * self.arguments.steps:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        for group in self.optimiser.param_groups:
            group["lr"] = self.arguments.lr * self.lr_ratio()
        per_epoch = max(1, len(samples) // self.arguments.batch)
        epoch, part = divmod(self.step, per_epoch)
        order = np.random.default_rng((self.arguments.seed, epoch)).permutation(len(samples))
        torch.manual_seed(self.arguments.seed + self.step)
        batch = [samples[i] for i in order[part * self.arguments.batch :][: self.arguments.batch]]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bf16):
            losses = self.network([x.image for x in batch], [x.target for x in batch])
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        return {key: float(value.detach()) for key, value in losses.items()}

    def lr_ratio(self) -> float:
        """Linear warm-up, then half a cosine."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / self.arguments.steps)
        return warm * max(LAST_LR_RATIO, cosine)

    def save(self) -> None:
        """Write network, optimiser and progress; the last file in place makes them valid."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors.update({f"optimiser.{index}.{k}": v for k, v in state.items()})
        meta = {"step": str(self.step), "seconds": str(self.seconds)}
        partial = self.folder / "partial.safetensors"
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, partial, meta)
        partial.replace(self.folder / "checkpoint.safetensors")
        (self.folder / "progress.json").write_text(json.dumps(meta), encoding="utf-8")

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        tensors = load_file(path)
        self.network.load_state_dict(_below(tensors, "network."))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, "optimiser.").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        meta = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))
        self.step, self.seconds = int(meta["step"]), float(meta["seconds"])
        print(f"resumed at step {self.step}", flush=True)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", default="hq_isnet_w18")
    parser.add_argument("--data", type=Path, help="folder nwpu_vhr10; else from RS_SEGMENT_DATA")
    parser.add_argument("--output", type=Path, help="folder of the checkpoint")
    parser.add_argument("--perfect", action="store_true", help="AP of perfect masks at stride 4")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--fixed-from", type=float, default=0.6, help="share of free statistics")
    parser.add_argument("--every", type=int, default=50, help="steps between measurements")
    parser.add_argument("--options", default="{}", help="options of the network as JSON")
    parser.add_argument("--target-ap", type=float, default=0.7)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--picture", type=Path, help="PNG of outlines to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Run the check; 0 if the target is reached."""
    arguments = parse_arguments()
    root = os.environ.get("RS_SEGMENT_DATA", "")
    data = arguments.data or (Path(root) / "nwpu_vhr10" if root else None)
    if data is None or not (data / "annotations.json").is_file():
        print("name the folder of NWPU VHR-10 with --data or RS_SEGMENT_DATA", file=sys.stderr)
        return 2
    torch.set_num_threads(arguments.threads)
    samples = draw_samples(data, arguments.images, arguments.seed)
    objects = sum(sample.target["labels"].numel() for sample in samples)
    print(f"{arguments.network}: {len(samples)} crops, {objects} objects", flush=True)
    if arguments.perfect:
        for soft in (False, True):
            found = mask_ap(samples, perfect_quarters(samples, soft=soft))
            print(json.dumps({"perfect masks at stride 4": found, "soft_masks": soft}))
        return 0
    if arguments.output is None:
        print("name the folder of the checkpoint with --output", file=sys.stderr)
        return 2
    metrics = Run(arguments).train(samples)
    print(json.dumps({"network": arguments.network, **metrics}))
    return 0 if metrics["AP"] >= arguments.target_ap else 1


if __name__ == "__main__":
    raise SystemExit(main())

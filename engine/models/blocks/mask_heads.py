"""Mask heads of a cascade: ISNetV1 (independent) and ISNetV2 (each sees the ones before).

Su, Wei, Liu, Liang, Wang, Shi, Zhang, "HQ-ISNet: high-quality instance segmentation for remote
sensing imagery", Remote Sensing 12 (2020), 989, section 3.3; information flow between mask heads
after Chen et al., "Hybrid task cascade for instance segmentation", CVPR 2019, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from .detection_necks import WIDTH

Flow = Literal["v1", "v2"]
DEPTH = 4


class MaskHead(nn.Module):
    """Mask head of one stage: four convolutions, an upsampling, one map per class.

    Args:
        num_classes: Foreground classes.
        bridge: Whether it owns a bridge from the stage before (eq. 3): 1×1 and ReLU.
        width: Width of the region features.
    """

    def __init__(self, num_classes: int, *, bridge: bool, width: int = WIDTH) -> None:
        super().__init__()
        self.bridge = (
            nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(inplace=True)) if bridge else None
        )
        self.convs = MaskRCNNHeads(width, (width,) * DEPTH, 1)
        self.predictor = MaskRCNNPredictor(width, width, num_classes)

    def features(self, x: Tensor, before: Tensor | None) -> Tensor:
        """Return the features before the upsampling, of the shape of ``x``.

        Args:
            x: Region features float ``[R, width, 14, 14]``.
            before: Features of the stage before on the same regions.
        """
        if self.bridge is not None and before is not None:
            x = x + self.bridge(before)
        result: Tensor = self.convs(x)
        return result


class MaskCascade(nn.Module):
    """The mask heads of all stages.

    Args:
        num_classes: Foreground classes.
        stages: Number of stages.
        flow: ``v1``: independent heads; ``v2``: bridges from each stage to the next.
        idle_first_bridge: Whether the first head owns a bridge too, which is never used; so the
            paper counts.
        width: Width of the region features.

    Raises:
        ValueError: If ``flow`` is unknown.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        stages: int = 3,
        flow: Flow = "v2",
        idle_first_bridge: bool = False,
        width: int = WIDTH,
    ) -> None:
        super().__init__()
        if flow not in ("v1", "v2"):
            raise ValueError(f"mask flow {flow!r} is not v1 or v2")
        self.flow = flow
        self.heads = nn.ModuleList(
            MaskHead(
                num_classes,
                bridge=flow == "v2" and (stage > 0 or idle_first_bridge),
                width=width,
            )
            for stage in range(stages)
        )

    def forward(self, x: Tensor, stage: int) -> Tensor:
        """Return the mask logits of one stage, float ``[R, classes, 28, 28]``.

        In ``v2`` all earlier heads run on the same regions first.

        Args:
            x: Region features float ``[R, width, 14, 14]``.
            stage: Stage from 0.
        """
        return self._run(x, range(stage + 1))[-1]

    def all_stages(self, x: Tensor) -> list[Tensor]:
        """Return the mask logits of all stages on the same regions."""
        return self._run(x, range(len(self.heads)), every=True)

    def _run(self, x: Tensor, stages: Sequence[int], *, every: bool = False) -> list[Tensor]:
        before: Tensor | None = None
        logits = []
        for stage in stages:
            head = cast(MaskHead, self.heads[stage])
            wanted = every or stage == stages[-1]
            if self.flow == "v1" and not wanted:
                continue
            before = head.features(x, before)
            if wanted:
                logits.append(head.predictor(before))
        return logits

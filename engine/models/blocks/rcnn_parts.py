"""What the two-stage networks share: options, proposals, heads from torchvision.

Ren, He, Girshick, Sun, "Faster R-CNN", NeurIPS 2015; He, Gkioxari, Dollár, Girshick,
"Mask R-CNN", ICCV 2017.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from ..contracts import check_instance_targets
from .detection_backbone import DetectionBackbone
from .detection_necks import WIDTH

ANCHOR_SIZES_PX = ((32,), (64,), (128,), (256,), (512,))
ASPECT_RATIOS = ((0.5, 1.0, 2.0),) * len(ANCHOR_SIZES_PX)
ROI_LEVELS = ["0", "1", "2", "3"]
ROI_STRIDES_LOG2 = (2, 3, 4, 5)
HIDDEN = 1024
BOX_SIDE = 7
MASK_SIDE = 14


@dataclass(frozen=True)
class RcnnOptions:
    """Sampling and inference of two-stage networks; the defaults are the paper's.

    Attributes:
        resize_px: Length of the short side and most of the long side to which images are
            resized, as in the paper (600, 1000); empty: pixels stay as they are.
        proposals: Proposals per image after suppression, and per level before it, in training and
            in inference. Every object has dozens of anchors: with fewer than about a hundred per
            object, those of one object can crowd out another.
        rois_per_image: Regions per image that the heads learn from.
        positive_ratio: Most share of them that are objects.
        score_threshold: Least score of an instance, in [0, 1).
        nms_iou: Overlap of boxes of one class from which the worse one goes.
        max_instances: Instances per image.
        width: Width of pyramid and mask heads.
        hidden: Width of the box heads.
    """

    resize_px: Sequence[int] = ()
    proposals: tuple[int, int] = (2000, 1000)
    rois_per_image: int = 512
    positive_ratio: float = 0.25
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    max_instances: int = 100
    width: int = WIDTH
    hidden: int = HIDDEN

    def __post_init__(self) -> None:
        if len(self.resize_px) not in (0, 2):
            raise ValueError(f"resize_px {list(self.resize_px)} is not (short, long) or empty")


class RcnnBackbone(nn.Module):
    """Backbone and neck as torchvision's detectors want them.

    Args:
        backbone: Maps at strides 4 to 32.
        neck: From these maps to five maps at strides 4 to 64.
    """

    def __init__(self, backbone: DetectionBackbone, neck: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.out_channels = int(cast(Any, neck).width)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return the five maps by name, ``0`` to ``3`` and ``pool``."""
        names = (*ROI_LEVELS, "pool")
        return OrderedDict(zip(names, self.neck(self.backbone(images)), strict=True))


def roi_align(side: int) -> MultiScaleRoIAlign:
    """Return the pooling of regions to ``side × side`` from the four finest maps."""
    pool = MultiScaleRoIAlign(ROI_LEVELS, side, sampling_ratio=2)
    # Left alone, it guesses the strides from the first image, wrongly if that is mostly padding.
    pool.scales = [2.0**-level for level in ROI_STRIDES_LOG2]
    pool.map_levels = LevelMapper(ROI_STRIDES_LOG2[0], ROI_STRIDES_LOG2[-1])
    return pool


class ImageTransform(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Batches images, which come in normalised, and resizes them if asked for.

    Args:
        in_channels: Number of input bands.
        resize_px: See :class:`RcnnOptions`.
    """

    def __init__(self, in_channels: int, resize_px: Sequence[int]) -> None:
        short, long = resize_px or (1, 1)
        super().__init__(short, long, [0.0] * in_channels, [1.0] * in_channels)
        self.resizes = bool(resize_px)

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Return image and target in the size that the network works with."""
        if not self.resizes:
            return image, target
        resized: tuple[Tensor, dict[str, Tensor] | None] = super().resize(image, target)
        return resized


class ExactRpnHead(RPNHead):  # type: ignore[misc]
    """torchvision's head with results in float32.

    Anchors are decoded in the type of these results; in bfloat16 a proposal at 800 px would be
    rounded to steps of four pixels.
    """

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and encoded boxes of each level, float32."""
        logits, encoded = super().forward(x)
        return [y.float() for y in logits], [y.float() for y in encoded]


class ExactBoxPredictor(FastRCNNPredictor):  # type: ignore[misc]
    """torchvision's predictor of classes and class-specific boxes with results in float32."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``[R, 1 + classes]`` and encoded boxes ``[R, 4 (1 + classes)]``."""
        logits, encoded = super().forward(x)
        return logits.float(), encoded.float()


class ExactMaskPredictor(MaskRCNNPredictor):  # type: ignore[misc]
    """torchvision's predictor of masks with results in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Return mask logits ``[R, 1 + classes, 28, 28]``."""
        logits: Tensor = super().forward(x)
        return logits.float()


def proposal_network(options: RcnnOptions) -> RegionProposalNetwork:
    """Return the region proposal network: three shapes of anchors on five levels."""
    count = {"training": options.proposals[0], "testing": options.proposals[1]}
    return RegionProposalNetwork(
        AnchorGenerator(ANCHOR_SIZES_PX, ASPECT_RATIOS),
        ExactRpnHead(options.width, len(ASPECT_RATIOS[0])),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=count,
        post_nms_top_n=count,
        nms_thresh=0.7,
    )


class InstanceRcnn(GeneralizedRCNN):  # type: ignore[misc]
    """A two-stage instance network from its parts.

    Args:
        backbone: Backbone with neck.
        roi_heads: torchvision's heads or those of
            :class:`engine.models.blocks.cascade_roi_heads.CascadeRoiHeads`.
        num_classes: Foreground classes.
        in_channels: Number of input bands.
        options: Sampling and inference.
    """

    def __init__(
        self,
        backbone: RcnnBackbone,
        roi_heads: nn.Module,
        *,
        num_classes: int,
        in_channels: int,
        options: RcnnOptions,
    ) -> None:
        super().__init__(
            backbone,
            proposal_network(options),
            roi_heads,
            ImageTransform(in_channels, options.resize_px),
        )
        self.num_classes = num_classes

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, else the instances of each image.

        Args:
            images: Float ``[C, H, W]`` each, normalised, of any size.
            targets: Per image ``boxes`` float ``[N, 4]`` (x0, y0, x1, y1), ``labels`` int64
                ``[N]`` from 1 and ``masks`` uint8 ``[N, H, W]``; training only.

        Returns:
            Losses whose sum is to be minimised; or per image ``boxes``, ``labels``, ``scores``
            (descending) and ``masks`` (probabilities ``[N, 1, H, W]``, an object where above
            0.5).

        Raises:
            ValueError: If targets are missing in training or do not fit the images.
        """
        if self.training:
            targets = check_instance_targets(images, targets, self.num_classes)
        outputs: dict[str, Tensor] | list[dict[str, Tensor]]
        outputs = super().forward(list(images), None if targets is None else list(targets))
        return outputs

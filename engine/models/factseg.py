"""FactSeg: foreground activation-driven small object semantic segmentation.

Ma, Wang, Zhong, Zheng, "FactSeg: Foreground activation-driven small object semantic segmentation
in large-scale remote sensing imagery", IEEE TGRS 2022, DOI 10.1109/TGRS.2021.3097148.

Implemented: one backbone with two pyramids and decoders (foreground activation and semantic
refinement), collaborative probability, small-object-mining loss.

Differences from the paper:
    * the logarithm of the collaborative probability is computed from log-sigmoid and
      log-softmax, so it is finite for any logits;
    * hard pixels are chosen among the labelled ones;
    * random weights unless ``pretrained`` is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks.backbones import call_pyramid, pyramid_channels, timm_pyramid
from .blocks.fpn import FeaturePyramid, PyramidDecoder
from .blocks.segmenter import Outputs, Segmenter, as_tuple
from .registry import register

STRIDE_PX = 32
HARD_RATIO = 0.1


class FactSeg(Segmenter):
    """Two branches on one backbone; class 0 is the background.

    The foreground branch says whether a pixel is an object, the semantic branch which one; the
    result is the normalised product of both.

    Args:
        num_classes: All classes; class 0 is the background.
        in_channels: Number of input bands.
        backbone: timm name of the backbone.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        hard_ratio: Share of the pixels, the hardest ones, that the loss averages over, in
            (0, 1].

    Raises:
        ValueError: If ``hard_ratio`` is out of its range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "resnet50",
        pretrained: str = "",
        hard_ratio: float = HARD_RATIO,
    ) -> None:
        super().__init__(num_classes=num_classes, stride_px=STRIDE_PX, align_corners=True)
        if not 0 < hard_ratio <= 1:
            raise ValueError(f"hard_ratio {hard_ratio} is not in (0, 1]")
        self.hard_ratio = hard_ratio
        self.backbone = timm_pyramid(backbone, in_channels=in_channels, pretrained=pretrained)
        self.foreground = _branch(pyramid_channels(self.backbone), 1)
        self.semantic = _branch(pyramid_channels(self.backbone), num_classes)

    def heads(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the foreground logit (one channel) and the class logits at stride 4."""
        maps = call_pyramid(self.backbone, images)
        return self.foreground(maps), self.semantic(maps)

    def combine(self, outputs: tuple[Tensor, ...]) -> Tensor:
        """Return the logarithm of the collaborative probability, normalised."""
        return collaborate(*outputs)

    def loss(self, outputs: Outputs, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        """Return the mean over the hardest labelled pixels of the joint cross-entropy.

        Args:
            outputs: What the network returned in training.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.
        """
        foreground, classes = as_tuple(outputs)
        losses = functional.nll_loss(
            collaborate(foreground.float(), classes.float()),
            target,
            ignore_index=ignore_index,
            reduction="none",
        )
        labelled = losses[target != ignore_index]
        if labelled.numel() == 0:
            return {"loss": losses.sum()}
        kept = max(1, int(self.hard_ratio * labelled.numel()))
        return {"loss": labelled.topk(kept).values.mean()}


def collaborate(foreground: Tensor, classes: Tensor) -> Tensor:
    """Return the logarithm of the collaborative probability.

    Args:
        foreground: Logit of "is an object", float ``[N, 1, H, W]``.
        classes: Logits float ``[N, K, H, W]``; class 0 is the background.

    Returns:
        Log-probabilities float ``[N, K, H, W]``: class 0 weighted by the probability of
        background, the others by that of an object, normalised.
    """
    background = functional.logsigmoid(-foreground)
    objects = functional.logsigmoid(foreground)
    weights = torch.cat((background, objects.expand(-1, classes.shape[1] - 1, -1, -1)), dim=1)
    return (classes.log_softmax(dim=1) + weights).log_softmax(dim=1)


class _Branch(nn.Module):
    def __init__(self, neck: FeaturePyramid, decoder: PyramidDecoder, head: nn.Conv2d) -> None:
        super().__init__()
        self.neck = neck
        self.decoder = decoder
        self.head = head

    def forward(self, maps: list[Tensor]) -> Tensor:
        logits: Tensor = self.head(self.decoder(self.neck(maps)))
        return logits


def _branch(widths: list[int], channels: int) -> _Branch:
    return _Branch(FeaturePyramid(widths), PyramidDecoder(), nn.Conv2d(128, channels, 1))


@register("factseg_r50", task="semantic")
def factseg_r50(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    hard_ratio: float = HARD_RATIO,
) -> FactSeg:
    """Build FactSeg on ResNet-50 (33.44 M parameters for 16 classes)."""
    return FactSeg(
        num_classes=num_classes,
        in_channels=in_channels,
        pretrained=pretrained,
        hard_ratio=hard_ratio,
    )

"""SOLOv2: instances by location, without boxes.

Wang, Zhang, Kong, Li, Shen, "SOLOv2: dynamic and fast instance segmentation", NeurIPS 2020,
arXiv:2003.10152.

Implemented: ResNet with feature pyramid, category and kernel towers, unified mask feature,
focal and dice loss, dynamic 1×1 convolution, Matrix NMS with gaussian and linear decay. It is
the baseline of FACENet, which replaces pyramid and convolutions.

Differences from the paper:
    * a cell that two instances claim belongs to the smaller one; ``collision="reference"`` gives
      what the authors' code does;
    * images come in normalised and are neither resized nor augmented here;
    * random weights unless ``pretrained`` is given; only then stem and first stage are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .blocks.detection_backbone import DetectionBackbone
from .blocks.solo_builder import solo_builder
from .blocks.solo_head import MaskFeatures, SoloHead
from .blocks.solo_losses import (
    MASK_STRIDE_PX,
    SoloOptions,
    assign_levels,
    category_loss,
    dice_loss,
    find_candidates,
    select_instances,
)
from .blocks.solo_targets import CellTargets, batch_images, quarter_masks
from .contracts import check_instance_targets
from .registry import INSTANCE, register, register_backbones

STRIDE_PX = 32

Target = dict[str, Tensor]


class SoloV2(nn.Module):
    """SOLOv2 on any backbone and neck; torchvision's detection contract.

    Args:
        num_classes: Foreground classes.
        backbone: Maps at strides 4 to 32.
        neck: From these maps to five maps of ``neck.width`` channels at strides 4 to 64.
        options: Head, targets and inference.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: DetectionBackbone,
        neck: nn.Module,
        options: SoloOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or SoloOptions()
        self.num_classes = num_classes
        self.backbone = backbone
        self.neck = neck
        width = int(cast(Any, neck).width)
        self.mask_features = MaskFeatures(
            width,
            self.options.feature_width,
            self.options.kernel_width,
            deformable="mask" in self.options.dcn_in,
        )
        self.head = SoloHead(
            num_classes,
            in_channels=width,
            tower_width=self.options.tower_width,
            tower_depth=self.options.tower_depth,
            kernel_width=self.options.kernel_width,
            grids=self.options.grids,
            dcn_in=self.options.dcn_in,
        )

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
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
        batch = batch_images(images, STRIDE_PX)
        pyramid = self.neck(self.backbone(batch))
        features = self.mask_features(pyramid)
        categories, kernels = self.head(pyramid)
        if self.training and targets is not None:
            size_px = (int(batch.shape[2]), int(batch.shape[3]))
            assigned = [assign_levels(target, size_px, self.options) for target in targets]
            return {
                "loss_category": category_loss(categories, assigned),
                "loss_mask": self.options.mask_weight
                * self.mask_loss(features, kernels, assigned, targets),
            }
        flat = [torch.cat([x[i].flatten(1) for x in kernels], dim=1).T for i in range(len(images))]
        return [
            self.instances([x[i] for x in categories], flat[i], features[i], image.shape[-2:])
            for i, image in enumerate(images)
        ]

    def mask_loss(
        self,
        features: Tensor,
        kernels: Sequence[Tensor],
        assigned: Sequence[Sequence[CellTargets]],
        targets: Sequence[Target],
    ) -> Tensor:
        """Return the mean dice loss of all positive cells; 0 if there are none."""
        size_px = tuple(MASK_STRIDE_PX * int(side) for side in features.shape[2:])
        terms = []
        for i, (levels, target) in enumerate(zip(assigned, targets, strict=True)):
            masks = quarter_masks(
                target["masks"], (size_px[0], size_px[1]), soft=self.options.soft_masks
            )
            chosen = torch.cat(
                [x[i].flatten(1)[:, level.cells] for x, level in zip(kernels, levels, strict=True)],
                dim=1,
            )
            logits = torch.einsum("dp,dhw->phw", chosen, features[i])
            owners = torch.cat([level.instances for level in levels])
            terms.append(dice_loss(logits.float().sigmoid(), masks[owners]))
        losses = torch.cat(terms)
        if losses.numel() == 0:
            return features.sum() * 0 + sum(x.sum() * 0 for x in kernels)
        return losses.mean()

    @torch.no_grad()
    def instances(
        self,
        categories: Sequence[Tensor],
        kernels: Tensor,
        features: Tensor,
        size_px: Sequence[int],
    ) -> Target:
        """Return the instances of one image.

        Args:
            categories: Logits ``[K, S, S]`` of each level.
            kernels: Float ``[cells of all levels, D]``.
            features: Mask feature ``[D, h, w]`` at stride 4 of the padded image.
            size_px: Height and width of the image.
        """
        found = find_candidates(categories, self.options)
        logits = torch.einsum("pd,dhw->phw", kernels[found.cells], features.to(kernels))
        return select_instances(found, logits.float().sigmoid(), size_px, self.options)


solov2 = register("solov2", task=INSTANCE)(solo_builder("solov2", SoloV2, SoloOptions()))
register_backbones(
    solov2,
    task=INSTANCE,
    backbones={"solov2_r50": "resnet50", "solov2_r101": "resnet101"},
)

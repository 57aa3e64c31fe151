"""C2FNet: look twice and closer, a coarse-to-fine network for small objects.

Chen, Wang, Di, Xiong, Zou, "Look twice and closer: a coarse-to-fine segmentation network for
small objects in remote sensing images", IEEE Signal Processing Letters 2025,
DOI 10.1109/LSP.2025.3540374.

Implemented: any semantic network as coarse and as fine one, localisation (section II-A), fine
training on the windows of the frozen coarse network (II-B), zoom 1 to 4, aggregation (eq. 1) as
printed, as meant and as published (``blocks/second_look.py``).

Differences from the paper:
    * a rejected small object raises the best other class; as eq. 1 is printed, the fine network's
      "background" could never change a label (``mode="literal"``);
    * values are divided by their sum (``normalisation="sum"``) instead of a softmax over
      probabilities, which would push every score in a window towards 1 / K; labels are the same;
    * unlabelled pixels stay unlabelled in the fine network's labels; windows are chosen per
      image and only if they hold a small object; the last window is moved to the border;
    * in inference all windows with a small object are looked at, side by side (the published
      code), not the best ``top_n`` of a dense grid;
    * stage ``joint`` trains both networks at once; ``coarse`` and ``fine`` are the paper's
      two stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks.second_look import (
    Look,
    aggregate,
    class_mask,
    cut_patches,
    locate,
    paste,
    paste_mean,
    window_starts,
)
from .blocks.segmenter import Outputs, as_tuple
from .contracts import SemanticNetwork
from .registry import create_model, register, register_variants

Stage = Literal["coarse", "fine", "joint"]
STAGES = ("coarse", "fine", "joint")
MIN_PROBABILITY = 1e-7


@dataclass(frozen=True)
class LookOutputs:
    """What the loss needs.

    Attributes:
        coarse: Training outputs of the coarse network, ``None`` if it is frozen.
        fine: Training outputs of the fine network on the windows, ``None`` without windows.
        windows: Int64 ``[M, 3]``, image, row and column.
    """

    coarse: Outputs | None
    fine: Outputs | None
    windows: Tensor


class C2FNet(SemanticNetwork):
    """Two networks: the fine one looks again where the coarse one sees small objects.

    Args:
        coarse: Semantic network with all classes.
        fine: Semantic network with two classes: other and small object.
        num_classes: Classes of the coarse network.
        small_classes: Ids of the classes of small objects.
        look: Windows and merging.
        stage: Which networks train.

    Raises:
        ValueError: If the small classes are none, all or unknown ones, or the stage is unknown.
    """

    small: Tensor

    def __init__(
        self,
        coarse: nn.Module,
        fine: nn.Module,
        *,
        num_classes: int,
        small_classes: Sequence[int],
        look: Look | None = None,
        stage: Stage = "joint",
    ) -> None:
        super().__init__()
        if not 0 < len(set(small_classes)) < num_classes or not set(small_classes) <= set(
            range(num_classes)
        ):
            raise ValueError(
                f"small_classes {list(small_classes)} is not a part of the classes "
                f"0..{num_classes - 1}"
            )
        self.coarse = coarse
        self.fine = fine
        self.look = look or Look()
        mask = class_mask(num_classes, small_classes, torch.device("cpu"))
        self.register_buffer("small", mask, persistent=False)
        self.set_stage(stage)

    def set_stage(self, stage: Stage) -> None:
        """Choose which networks train; the other one is frozen, statistics included.

        Raises:
            ValueError: If the stage is unknown.
        """
        if stage not in STAGES:
            raise ValueError(f"stage {stage!r} is not one of {', '.join(STAGES)}")
        self.stage = stage
        self.coarse.requires_grad_(stage != "fine")
        self.fine.requires_grad_(stage != "coarse")
        self.train(self.training)

    def train(self, mode: bool = True) -> C2FNet:
        """Set the mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.stage == "fine":
            self.coarse.eval()
        if self.stage == "coarse":
            self.fine.eval()
        return self

    def forward(self, images: Tensor) -> Tensor | LookOutputs:
        """Segment images of any size.

        Args:
            images: Float32 ``[N, C, H, W]``, normalised.

        Returns:
            Logits float ``[N, K, H, W]`` in evaluation, :class:`LookOutputs` in training. In
            stage ``coarse`` there is no second look.
        """
        if self.training:
            return self._training_outputs(images)
        coarse = self.first_look(images)
        return coarse if self.stage == "coarse" else self.second_look(images, coarse)

    def first_look(self, images: Tensor) -> Tensor:
        """Return the coarse logits, float32 ``[N, K, H, W]``; only in evaluation mode."""
        logits: Tensor = self.coarse(images)
        return logits.float()

    def second_look(self, images: Tensor, coarse: Tensor) -> Tensor:
        """Return the coarse logits, changed where the fine network says otherwise.

        Args:
            images: Float32 ``[N, C, H, W]``.
            coarse: Logits float ``[N, K, H, W]`` of these images, of any origin.
        """
        look = self.look
        windows = self.windows(
            coarse, look.infer_stride_px or look.patch_px, look.infer_top_n or None
        )
        if len(windows) == 0:
            return coarse
        padded = self._pad(images)
        parts = torch.split(windows, look.top_n)
        patches = [self._small_probability(cut_patches(padded, p, look.patch_px)) for p in parts]
        shape = torch.Size((images.shape[0], *padded.shape[-2:]))
        small = paste_mean(torch.cat(patches), windows, shape)
        first = self._pad(coarse)
        merged = first.clone()
        for part in parts:
            patch = aggregate(
                cut_patches(first, part, look.patch_px),
                cut_patches(small, part, look.patch_px),
                self.small,
                mode=look.mode,
                normalisation=look.normalisation,
            )
            paste(merged, patch, part)
        return merged[..., : images.shape[-2], : images.shape[-1]]

    def dense_look(self, images: Tensor, coarse: Tensor) -> Tensor:
        """Return what :meth:`second_look` returns, with the fine network on every window.

        Which windows hold small objects is asked afterwards, so that the computation is the
        same for all images and can be exported.

        Args:
            images: Float32 ``[N, C, H, W]``.
            coarse: Logits float ``[N, K, H, W]`` of these images.

        Raises:
            ModelError: If only some windows are wanted (``infer_top_n``).
        """
        self.look.check_whole()
        look, height, width = self.look, int(images.shape[-2]), int(images.shape[-1])
        padded, first = self._pad(images), self._pad(coarse)
        heat = self._pad(self.small[coarse.argmax(dim=1)])
        rows, cols = (
            window_starts(int(side), look.patch_px, look.infer_stride_px or look.patch_px)
            for side in padded.shape[-2:]
        )
        places = [
            (slice(r, r + look.patch_px), slice(c, c + look.patch_px)) for r in rows for c in cols
        ]
        patches = torch.cat([padded[:, :, y, x] for y, x in places])
        found = self._small_probability(patches)
        parts = found.reshape(len(places), -1, look.patch_px, look.patch_px)
        small = torch.zeros_like(first[:, 0])
        hits = torch.zeros_like(small)
        for (y, x), part in zip(places, parts, strict=True):
            seen = heat[:, y, x].any(dim=2).any(dim=1).to(part.dtype).view(-1, 1, 1)
            small[:, y, x] += part * seen
            hits[:, y, x] += seen
        merged = aggregate(
            first,
            small / hits.clamp(min=1),
            self.small,
            mode=look.mode,
            normalisation=look.normalisation,
        )
        merged = torch.where(hits.unsqueeze(1) > 0, merged, first)
        return merged[..., :height, :width]

    def fine_look(self, patches: Tensor) -> Tensor:
        """Return logits of "other" and "small object" for windows.

        Args:
            patches: Float32 ``[M, C, k, k]``, normalised.

        Returns:
            Float32 ``[M, 2, k, k]``, whatever the zoom.
        """
        small = self._small_probability(patches).clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        return torch.stack((torch.zeros_like(small), small.logit()), dim=1)

    def windows(self, coarse: Tensor, stride_px: int, top_n: int | None) -> Tensor:
        """Return the windows with small objects by coarse logits, int64 ``[M, 3]``."""
        heat = self._pad(self.small[coarse.argmax(dim=1)])
        return locate(heat, patch_px=self.look.patch_px, stride_px=stride_px, top_n=top_n)

    def loss(self, outputs: Any, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        """Return the losses of the networks that train, and their sum.

        Args:
            outputs: The :class:`LookOutputs` that :meth:`forward` returned in training.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.

        Returns:
            Scalars ``loss``, ``coarse``, ``fine`` and ``windows``, their number.
        """
        terms = {"windows": torch.tensor(float(len(outputs.windows)), device=target.device)}
        if outputs.coarse is not None:
            terms["coarse"] = _loss(self.coarse, outputs.coarse, target, ignore_index)
        if outputs.fine is not None:
            labels = self._fine_labels(outputs.windows, target, ignore_index)
            terms["fine"] = _loss(self.fine, outputs.fine, labels, ignore_index)
        elif self.stage != "coarse":
            terms["fine"] = torch.stack([p.sum() for p in self.fine.parameters()]).sum() * 0.0
        total = torch.stack([value for name, value in terms.items() if name != "windows"]).sum()
        return {"loss": total, **terms}

    def _training_outputs(self, images: Tensor) -> LookOutputs:
        none = torch.zeros((0, 3), dtype=torch.int64, device=images.device)
        if self.stage == "coarse":
            return LookOutputs(self.coarse(images), None, none)
        if self.stage == "joint":
            outputs: Outputs | None = self.coarse(images)
            logits = as_tuple(cast(Outputs, outputs))[-1].detach()
        else:
            outputs = None
            with torch.no_grad():
                logits = self.first_look(images)
        windows = self.windows(logits, self.look.stride_px, self.look.top_n)
        if len(windows) == 0:
            return LookOutputs(outputs, None, windows)
        patches = cut_patches(self._pad(images), windows, self.look.patch_px)
        return LookOutputs(outputs, self.fine(self._enlarge(patches)), windows)

    def _small_probability(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.fine(self._enlarge(patches))
        small = logits.float().softmax(dim=1)[:, 1]
        return small if self.look.zoom == 1 else functional.avg_pool2d(small, self.look.zoom)

    def _fine_labels(self, windows: Tensor, target: Tensor, ignore_index: int) -> Tensor:
        known = target != ignore_index
        binary = self.small[torch.where(known, target, 0)].to(torch.int64)
        labels = torch.where(known, binary, ignore_index)
        patches = cut_patches(self._pad(labels, ignore_index), windows, self.look.patch_px)
        zoom = self.look.zoom
        return patches.repeat_interleave(zoom, dim=-2).repeat_interleave(zoom, dim=-1)

    def _enlarge(self, patches: Tensor) -> Tensor:
        if self.look.zoom == 1:
            return patches
        return functional.interpolate(
            patches, scale_factor=self.look.zoom, mode="bilinear", align_corners=False
        )

    def _pad(self, x: Tensor, value: int = 0) -> Tensor:
        missing = [max(0, self.look.patch_px - int(side)) for side in x.shape[-2:]]
        return functional.pad(x, (0, missing[1], 0, missing[0]), value=value) if any(missing) else x


def _loss(network: nn.Module, outputs: Outputs, target: Tensor, ignore_index: int) -> Tensor:
    losses: dict[str, Tensor] = cast(SemanticNetwork, network).loss(
        cast(Tensor, outputs), target, ignore_index
    )
    return losses["loss"]


def _part(
    network: str | Mapping[str, Any], num_classes: int, in_channels: int, pretrained: str
) -> nn.Module:
    options = {"name": network} if isinstance(network, str) else dict(network)
    if pretrained:
        options.setdefault("pretrained", pretrained)
    name = options.pop("name")
    return create_model(name, num_classes=num_classes, in_channels=in_channels, **options)


@register("c2fnet", task="semantic")
def c2fnet(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    coarse: str | Mapping[str, Any] = "fcn_hrnet_w18",
    fine: str | Mapping[str, Any] = "fcn_hrnet_w18",
    small_classes: Sequence[int] | None = None,
    stage: Stage = "joint",
    look: Mapping[str, Any] | None = None,
) -> C2FNet:
    """Build C2FNet from any two semantic networks.

    For 16 classes ``c2fnet_w18`` has 19.28 M parameters, ``c2fnet_w48`` 75.49 M.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        pretrained: Passed on to both networks if not empty.
        coarse: Name of the coarse network, or its options with the name as ``name``.
        fine: The same for the fine network, which gets two classes.
        small_classes: Ids of the classes of small objects; all but class 0 if ``None``.
        stage: ``coarse``, then ``fine``, as in the paper; or ``joint``.
        look: Fields of :class:`Look` that differ from their defaults.
    """
    return C2FNet(
        _part(coarse, num_classes, in_channels, pretrained),
        _part(fine, 2, in_channels, pretrained),
        num_classes=num_classes,
        small_classes=range(1, num_classes) if small_classes is None else small_classes,
        look=Look(**(look or {})),
        stage=stage,
    )


register_variants(
    c2fnet,
    task="semantic",
    variants={
        "c2fnet_w18": {"coarse": "fcn_hrnet_w18", "fine": "fcn_hrnet_w18"},
        "c2fnet_w48": {"coarse": "fcn_hrnet_w48", "fine": "fcn_hrnet_w18"},
    },
)

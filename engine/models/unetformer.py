"""UNetFormer: a UNet-like transformer for efficient segmentation of urban scene imagery.

Wang, Li, Zhang, Fang, Duan, Meng, Atkinson, "UNetFormer: A UNet-like transformer for
efficient semantic segmentation of remote sensing urban scene imagery", ISPRS Journal 2022,
arXiv:2109.08937.

Implemented: ResNet-18 encoder, decoder of global-local transformer blocks with weighted skip
connections, feature refinement head, auxiliary head; loss = cross-entropy + Dice of the final
logits + 0.4 × cross-entropy of the auxiliary ones.

Differences from the paper:
    * maps are padded with zeros that are no keys of the attention, and by repetition in the
      cross-window means (instead of reflection, which needs larger maps);
    * the auxiliary head exists in evaluation, too (its output is not used), so that weights
      load in any mode;
    * random weights unless ``pretrained`` is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks.attention import from_windows, to_windows
from .blocks.backbones import call_pyramid, pyramid_channels, timm_pyramid
from .blocks.losses import cross_entropy
from .blocks.segmenter import Outputs, Segmenter, as_tuple
from .contracts import masked_dice_loss
from .registry import register

STRIDE_PX = 32
WIDTH = 64
HEADS = 8
WINDOW_PX = 8
AUXILIARY_WEIGHT = 0.4
SMOOTHING = 0.05


def _conv_norm(width: int, out: int, side: int = 3, *, act: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(width, out, side, padding=side // 2, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([nn.ReLU6()] if act else []))


def _separable(width: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, side, padding=(side - 1) // 2, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 1, bias=False),
    )


class GlobalLocalAttention(nn.Module):
    """Window attention with relative positions and cross-window means, beside convolutions.

    Args:
        width: Channels; a multiple of the heads, 8.
    """

    positions: Tensor

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.joined = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.local = nn.ModuleList((_conv_norm(width, width, 3), _conv_norm(width, width, 1)))
        self.projection = _separable(width, WINDOW_PX)
        offsets = 2 * WINDOW_PX - 1
        self.position_bias = nn.Parameter(torch.empty(offsets * offsets, HEADS))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        axis = torch.arange(WINDOW_PX)
        rows, cols = (x.flatten() for x in torch.meshgrid(axis, axis, indexing="ij"))
        delta_rows = rows[:, None] - rows[None] + WINDOW_PX - 1
        delta_cols = cols[:, None] - cols[None] + WINDOW_PX - 1
        self.register_buffer("positions", delta_rows * offsets + delta_cols, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended map, same shape."""
        attended = self._across_windows(self._in_windows(x))
        mixed = attended + self.local[0](x) + self.local[1](x)
        out: Tensor = self.projection(functional.pad(mixed, (0, 1, 0, 1), mode="replicate"))
        return out

    def _in_windows(self, x: Tensor) -> Tensor:
        height, width = int(x.shape[-2]), int(x.shape[-1])
        padding = (0, -width % WINDOW_PX, 0, -height % WINDOW_PX)
        windows = to_windows(functional.pad(self.joined(x), padding), WINDOW_PX, "block")
        n, count, channels, pixels = windows.shape
        parts = windows.reshape(n * count, 3, HEADS, channels // (3 * HEADS), pixels)
        query, key, value = parts.transpose(-1, -2).unbind(dim=1)
        bias = self.position_bias[self.positions].permute(2, 0, 1).unsqueeze(0)
        if any(padding):
            real = functional.pad(x.new_zeros((1, 1, height, width)), padding, value=-1e4)
            keys = to_windows(real, WINDOW_PX, "block").expand(n, -1, -1, -1)
            bias = bias + keys.reshape(n * count, 1, 1, pixels)
        out = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype)
        )
        out = out.transpose(-1, -2).reshape(n, count, channels // 3, pixels)
        sides = (height + padding[3], width + padding[1])
        return from_windows(out, *sides, WINDOW_PX, "block")[..., :height, :width]

    @staticmethod
    def _across_windows(x: Tensor) -> Tensor:
        before, after = WINDOW_PX // 2 - 1, WINDOW_PX // 2
        down = functional.pad(x, (0, 0, before, after), mode="replicate")
        right = functional.pad(x, (before, after, 0, 0), mode="replicate")
        return functional.avg_pool2d(down, (WINDOW_PX, 1), stride=1) + functional.avg_pool2d(
            right, (1, WINDOW_PX), stride=1
        )


class TransformerBlock(nn.Module):
    """Normalisation and attention, normalisation and perceptron, both with a skip."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.BatchNorm2d(width), GlobalLocalAttention(width))
        self.perceptron = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 4 * width, 1),
            nn.ReLU6(),
            nn.Conv2d(4 * width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, same shape."""
        x = x + self.attention(x)
        out: Tensor = x + self.perceptron(x)
        return out


class WeightedSkip(nn.Module):
    """Twice the size, plus the encoder's map, with learnt non-negative weights.

    Args:
        skip_channels: Width of the encoder's map.
        width: Width of the decoder.
    """

    def __init__(self, skip_channels: int, width: int = WIDTH) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip_channels, width, 1, bias=False)
        self.weights = nn.Parameter(torch.ones(2))
        self.merge = _conv_norm(width, width, act=True)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return the merged map at the size of ``skip``."""
        large = functional.interpolate(
            x, size=skip.shape[-2:], mode="bilinear", align_corners=False
        )
        positive = self.weights.relu()
        shares = positive / (positive.sum() + 1e-8)
        out: Tensor = self.merge(shares[0] * self.skip(skip) + shares[1] * large)
        return out


class RefinementHead(nn.Module):
    """Spatial and channel gates on the finest map, added, with a projected shortcut."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Sigmoid()
        )
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // 16, 1, bias=False),
            nn.ReLU6(),
            nn.Conv2d(width // 16, width, 1, bias=False),
            nn.Sigmoid(),
        )
        self.shortcut = _conv_norm(width, width, 1)
        self.projection = _separable(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined map, same shape."""
        gated = self.spatial(x) * x + self.channel(x) * x
        return functional.relu6(self.projection(gated) + self.shortcut(x))


class UnetFormer(Segmenter):
    """ResNet encoder and transformer decoder.

    Args:
        num_classes: All classes, background included.
        in_channels: Number of input bands.
        backbone: timm name of the backbone.
        pretrained: See :func:`engine.models.blocks.backbones.timm_pyramid`.
        auxiliary_weight: Weight of the auxiliary cross-entropy.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        backbone: str = "resnet18",
        pretrained: str = "",
        auxiliary_weight: float = AUXILIARY_WEIGHT,
    ) -> None:
        super().__init__(num_classes=num_classes, stride_px=STRIDE_PX)
        self.auxiliary_weight = auxiliary_weight
        self.backbone = timm_pyramid(backbone, in_channels=in_channels, pretrained=pretrained)
        widths = pyramid_channels(self.backbone)
        self.entry = _conv_norm(widths[3], WIDTH, 1)
        self.blocks = nn.ModuleList(TransformerBlock() for _ in range(3))
        self.skips = nn.ModuleList(WeightedSkip(widths[level]) for level in (2, 1, 0))
        self.refinement = RefinementHead()
        self.classifier = nn.Sequential(
            _conv_norm(WIDTH, WIDTH, act=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(WIDTH, num_classes, 1, bias=False),
        )
        self.auxiliary = nn.Sequential(
            _conv_norm(WIDTH, WIDTH, act=True),
            nn.Dropout(0.1),
            nn.Conv2d(WIDTH, num_classes, 1, bias=False),
        )

    def heads(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return auxiliary (only in training) and final logits."""
        maps = call_pyramid(self.backbone, images)
        x = self.blocks[0](self.entry(maps[3]))
        decoded = [x]
        for block, skip, level in zip(self.blocks[1:], self.skips[:2], (2, 1), strict=True):
            x = block(skip(x, maps[level]))
            decoded.append(x)
        final = self.classifier(self.refinement(self.skips[2](x, maps[0])))
        if not self.training:
            return (final,)
        total = decoded[-1]
        for coarse in decoded[:-1]:
            total = total + functional.interpolate(
                coarse, size=total.shape[-2:], mode="bilinear", align_corners=True
            )
        return self.auxiliary(total), final

    def loss(self, outputs: Outputs, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        """Return the three terms and their weighted sum.

        Args:
            outputs: What the network returned in training.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.
        """
        auxiliary, final = as_tuple(outputs)
        terms = {
            "final": cross_entropy(final, target, ignore_index, smoothing=SMOOTHING),
            "dice": masked_dice_loss(final, target, ignore_index) * (target != ignore_index).any(),
            "auxiliary": cross_entropy(auxiliary, target, ignore_index, smoothing=SMOOTHING),
        }
        total = terms["final"] + terms["dice"] + self.auxiliary_weight * terms["auxiliary"]
        return {"loss": total, **terms}


@register("unetformer_r18", task="semantic")
def unetformer_r18(
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: str = "",
    auxiliary_weight: float = AUXILIARY_WEIGHT,
) -> UnetFormer:
    """Build UNetFormer on ResNet-18 (11.7 M parameters for 6 classes)."""
    return UnetFormer(
        num_classes=num_classes,
        in_channels=in_channels,
        pretrained=pretrained,
        auxiliary_weight=auxiliary_weight,
    )

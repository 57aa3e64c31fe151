"""Per-pixel linear classifier: softmax regression on the bands of one pixel.

The smallest network of the house: one 1 x 1 convolution. It is a real baseline for imagery
whose classes differ in their spectra, and its near-zero cost shows what the rest of a pipeline
costs.
"""

from __future__ import annotations

from torch import Tensor, nn

from .contracts import SemanticNetwork
from .registry import SEMANTIC, register


class PixelLinear(SemanticNetwork):
    """Logits are a linear function of the bands of the same pixel."""

    def __init__(self, *, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(in_channels, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K, H, W]`` for images ``[N, C, H, W]`` of any size."""
        logits: Tensor = self.classifier(images)
        return logits


@register("pixel_linear", task=SEMANTIC)
def pixel_linear(*, num_classes: int, in_channels: int = 3) -> PixelLinear:
    """Build a per-pixel linear classifier."""
    return PixelLinear(num_classes=num_classes, in_channels=in_channels)

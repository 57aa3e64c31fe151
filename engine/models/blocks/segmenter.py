"""Base of the semantic networks: any image size in, logits of that size out."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..contracts import SemanticNetwork, semantic_loss
from .padding import pad_to_multiple

Outputs = Tensor | tuple[Tensor, ...]


class Segmenter(SemanticNetwork):
    """A semantic network that pads its input, calls its heads and crops their logits.

    In evaluation the network returns one tensor of logits. In training it returns what its own
    :meth:`loss` takes: a tensor, or a tuple whose last item is the final logits.

    Args:
        num_classes: All classes, background included; at least 2.
        stride_px: The padded sides are multiples of this.
        align_corners: How logits are resized to the input's size.

    Raises:
        ValueError: If there are fewer than two classes.
    """

    def __init__(self, *, num_classes: int, stride_px: int, align_corners: bool = False) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"{num_classes} class is not enough, a softmax needs at least 2")
        self.num_classes = num_classes
        self.stride_px = stride_px
        self.align_corners = align_corners

    def heads(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of all heads, the final one last.

        Args:
            images: Float ``[N, C, H, W]``, H and W multiples of ``stride_px``.

        Returns:
            Float ``[N, K, h, w]`` each, at any scale.
        """
        raise NotImplementedError

    def combine(self, outputs: tuple[Tensor, ...]) -> Tensor:
        """Return the logits of inference from those of all heads; the last one by default."""
        return outputs[-1]

    def forward(self, images: Tensor) -> Outputs:
        """Segment images of any size.

        Args:
            images: Float32 ``[N, C, H, W]``, normalised.

        Returns:
            Logits float ``[N, K, H, W]`` in evaluation, the outputs of all heads in training.
        """
        # Batch normalisation of a single image needs more than one pixel at the coarsest scale.
        minimum_px = 2 * self.stride_px if self.training else 0
        padded = pad_to_multiple(images, self.stride_px, minimum_px=minimum_px)
        height, width = images.shape[-2:]
        outputs = tuple(
            self._resize(logits, padded)[..., :height, :width] for logits in self.heads(padded)
        )
        if not self.training:
            return self.combine(outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def loss(self, outputs: Outputs, target: Tensor, ignore_index: int = 255) -> dict[str, Tensor]:
        """Return the mean cross-entropy of the final logits.

        Args:
            outputs: What :meth:`forward` returned in training.
            target: Class ids int64 ``[N, H, W]``.
            ignore_index: Value of pixels without a label.

        Returns:
            Scalars; the key ``loss`` is the one to minimise.
        """
        return semantic_loss(as_tuple(outputs)[-1], target, ignore_index=ignore_index)

    def _resize(self, logits: Tensor, images: Tensor) -> Tensor:
        if logits.shape[-2:] == images.shape[-2:]:
            return logits
        return functional.interpolate(
            logits, size=images.shape[-2:], mode="bilinear", align_corners=self.align_corners
        )


def as_tuple(outputs: Outputs) -> tuple[Tensor, ...]:
    """Return the outputs of a network as a tuple, the final logits last."""
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)

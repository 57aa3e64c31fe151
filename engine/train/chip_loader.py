"""A loader that hands on what its reading processes cannot read as the engine's own error.

PyTorch raises an exception of a reading process again with the whole traceback as its message,
and without the hint. Here the error itself comes back in place of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from ..errors import EngineError

Collate = Callable[[Sequence[Any]], dict[str, Any]]


class ChipLoader(DataLoader[Any]):
    """Loader of batches of a data set of chips.

    Args:
        data: The chips, with a length.
        collate: Makes a batch of samples.
        options: Further arguments of PyTorch's loader.
    """

    def __init__(self, data: Dataset[Any], collate: Collate, **options: Any) -> None:
        super().__init__(_Careful(data), collate_fn=_CarefulCollate(collate), **options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches.

        Raises:
            EngineError: As the data set raises it.
        """
        for batch in super().__iter__():
            if isinstance(batch, EngineError):
                raise batch
            yield batch


class _Careful(Dataset[Any]):
    """A data set that returns its errors instead of raising them."""

    def __init__(self, data: Dataset[Any]) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._data[index]
        except EngineError as error:
            return error


class _CarefulCollate:
    """Makes a batch of samples, or hands on the first error among them."""

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[Any]) -> Any:
        errors = (sample for sample in samples if isinstance(sample, EngineError))
        error = next(errors, None)
        return self._collate(samples) if error is None else error

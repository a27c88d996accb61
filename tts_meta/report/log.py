"""The interface of logs (`Log`), the kinds of their entries, and a log that discards everything (`NullLog`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tts_meta.report.figures import Rgb

AUDIO, MEL, FIGURE, HISTOGRAM, TEXT = "audio", "mel", "figure", "histogram", "text"
SCALAR = "scalar"
KINDS = (AUDIO, MEL, FIGURE, HISTOGRAM, TEXT)
"""Kinds of entries. The tags of each kind begin with its name and a slash; the tags of scalars do not."""


class Log(Protocol):
    """Destination of the metrics, audio and images of a run.

    All entries of a tag are of one kind. TensorBoard groups tags by the part before the first slash, sorts them, and
    shows the entries of one tag at several steps under a slider. The (i) of an audio clip or image shows its `caption`.
    """

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        """Log one number."""
        ...

    def histogram(self, tag: str, values: NDArray[np.floating] | Tensor, step: int) -> None:
        """Log the distribution of values of any shape; values that are not finite are omitted."""
        ...

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int, caption: str = "") -> None:
        """Log a waveform `(S,)` in [-1, 1] at `rate` Hz."""
        ...

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int, caption: str = "") -> None:
        """Log a log-mel `(T, M)`, drawn with its axes."""
        ...

    def image(self, tag: str, image: Rgb, step: int, caption: str = "") -> None:
        """Log an image `(H, W, 3)`."""
        ...

    def text(self, tag: str, text: str, step: int) -> None:
        """Log Markdown text."""
        ...

    def hparams(self, values: Mapping[str, bool | float | str]) -> None:
        """Log the hyperparameters of the run by name: one row of the page HPARAMS."""
        ...

    def flush(self) -> None:
        """Write all entries so far to disk."""
        ...


class NullLog:
    """A `Log` that discards every entry; a context manager like `TensorBoardLog`."""

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        pass

    def histogram(self, tag: str, values: NDArray[np.floating] | Tensor, step: int) -> None:
        pass

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int, caption: str = "") -> None:
        pass

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int, caption: str = "") -> None:
        pass

    def image(self, tag: str, image: Rgb, step: int, caption: str = "") -> None:
        pass

    def text(self, tag: str, text: str, step: int) -> None:
        pass

    def hparams(self, values: Mapping[str, bool | float | str]) -> None:
        pass

    def flush(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

"""What a run writes for TensorBoard, or for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from tts_meta.config import MelConfig
from tts_meta.errors import TtsMetaError
from tts_meta.report.arrays import to_array
from tts_meta.report.pictures import mel_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tts_meta.report.pictures import Rgb


class Log(Protocol):
    """Where a run puts its figures, sounds and pictures; `tag` groups by its part before the slash."""

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        """One number."""
        ...

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int) -> None:
        """A waveform `(S,)` in [-1, 1] at `rate` samples a second."""
        ...

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int) -> None:
        """A log-mel `(T, M)`, drawn with its axes."""
        ...

    def picture(self, tag: str, picture: Rgb, step: int) -> None:
        """A picture `(H, W, 3)`."""
        ...

    def text(self, tag: str, text: str, step: int) -> None:
        """Markdown text."""
        ...

    def flush(self) -> None:
        """Put on disk what was logged so far."""
        ...


class NullLog:
    """A `Log` that keeps nothing, as a context manager like `RunLog`."""

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        pass

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int) -> None:
        pass

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int) -> None:
        pass

    def picture(self, tag: str, picture: Rgb, step: int) -> None:
        pass

    def text(self, tag: str, text: str, step: int) -> None:
        pass

    def flush(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class RunLog:
    """A `Log` of TensorBoard event files in `folder`; open it with `with`.

    `resume_step`: the step a resumed run starts from; what a killed run logged at it or later is hidden.
    Raises TtsMetaError where the folder cannot be written.
    """

    def __init__(self, folder: str | Path, mel_config: MelConfig | None = None, resume_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._mel_config = mel_config or MelConfig()
        self._folder = Path(folder)
        with self._faults_named():
            self._writer = SummaryWriter(str(folder), purge_step=resume_step)

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        with self._faults_named():
            self._writer.add_scalar(tag, float(value), step)

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int) -> None:
        wave = np.nan_to_num(to_array(samples).astype(np.float32).reshape(-1), posinf=1.0, neginf=-1.0)
        with self._faults_named():
            self._writer.add_audio(tag, np.clip(wave, -1.0, 1.0), step, sample_rate=rate)

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int) -> None:
        self.picture(tag, mel_picture(mel, self._mel_config), step)

    def picture(self, tag: str, picture: Rgb, step: int) -> None:
        with self._faults_named():
            self._writer.add_image(tag, picture, step, dataformats="HWC")

    def text(self, tag: str, text: str, step: int) -> None:
        with self._faults_named():
            self._writer.add_text(tag, text, step)

    def flush(self) -> None:
        with self._faults_named():
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._faults_named():
            self._writer.close()

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise TtsMetaError(
                f"cannot write logs to {self._folder}: {reason}; free space or choose another"
            ) from error

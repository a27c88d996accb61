"""What a run writes for TensorBoard, or for nobody.

TensorBoard shows a tag by one plugin alone: a sound and a picture under one tag are three dead players and no picture.
So each kind of entry has tags of its own: `audio/…`, `mel/…`, `figure/…`, `histogram/…`, `text/…`; the tags of scalars
begin with anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.report.arrays import default_mel_config, to_array
from tts_meta.report.figures import mel_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tts_meta.audio.mel import MelConfig
    from tts_meta.report.figures import Rgb

AUDIO, MEL, FIGURE, HISTOGRAM, TEXT = "audio", "mel", "figure", "histogram", "text"
SCALAR = "scalar"
KINDS = (AUDIO, MEL, FIGURE, HISTOGRAM, TEXT)
"""Kinds of entries; the tags of each begin with its name and a slash."""


class Log(Protocol):
    """Where a run puts its figures, sounds and pictures.

    A tag stands for entries of one kind: TensorBoard groups tags by the part before the first slash, sorts them, and
    shows entries of one tag at several steps under a slider. `caption` stands behind the (i) of a sound or picture.
    """

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        """One number."""
        ...

    def histogram(self, tag: str, values: NDArray[np.floating] | Tensor, step: int) -> None:
        """How numbers of any shape are distributed; those that are not finite are left out."""
        ...

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int, caption: str = "") -> None:
        """A waveform `(S,)` in [-1, 1] at `rate` samples a second."""
        ...

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int, caption: str = "") -> None:
        """A log-mel `(T, M)`, drawn with its axes."""
        ...

    def picture(self, tag: str, picture: Rgb, step: int, caption: str = "") -> None:
        """A picture `(H, W, 3)`."""
        ...

    def text(self, tag: str, text: str, step: int) -> None:
        """Markdown text."""
        ...

    def hparams(self, values: Mapping[str, bool | float | str]) -> None:
        """The hyperparameters of the run, by name: a row of the page HPARAMS."""
        ...

    def flush(self) -> None:
        """Put on disk what was logged so far."""
        ...


class NullLog:
    """A `Log` that keeps nothing, as a context manager like `RunLog`."""

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        pass

    def histogram(self, tag: str, values: NDArray[np.floating] | Tensor, step: int) -> None:
        pass

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int, caption: str = "") -> None:
        pass

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int, caption: str = "") -> None:
        pass

    def picture(self, tag: str, picture: Rgb, step: int, caption: str = "") -> None:
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


class RunLog:
    """A `Log` of TensorBoard event files in `folder`; open it with `with`.

    `resume_step`: the first step that a resumed run takes again; what a killed run logged at it or later is hidden.
    `replace`: event files that lie in the folder are removed first. Every method raises UsageError for a tag that
    another kind of entry has, or whose beginning belongs to another kind, and TtsMetaError where the folder cannot be
    written.
    """

    def __init__(
        self,
        folder: str | Path,
        mel_config: MelConfig | None = None,
        resume_step: int | None = None,
        replace: bool = False,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._mel_config = mel_config or default_mel_config()
        self._folder = Path(folder)
        self._kinds: dict[str, str] = {}
        with self._faults_named():
            for older in self._folder.glob("events.out.tfevents.*") if replace else ():
                older.unlink()
            self._writer = SummaryWriter(str(folder), purge_step=resume_step)
        # The thread that writes hands its error to the next call, which raises it here. Python would also print it.
        thread = self._writer._get_file_writer().event_writer._async_writer._worker
        setattr(thread, "_invoke_excepthook", lambda thread: None)  # noqa: B010

    def scalar(self, tag: str, value: float | Tensor, step: int) -> None:
        from torch.utils.tensorboard.summary import scalar

        self._add(SCALAR, tag, scalar, float(value), step=step)

    def histogram(self, tag: str, values: NDArray[np.floating] | Tensor, step: int) -> None:
        from torch.utils.tensorboard.summary import histogram

        numbers = to_array(values).astype(np.float64).ravel()
        if len(finite := numbers[np.isfinite(numbers)]):
            self._add(HISTOGRAM, tag, histogram, finite, 64, step=step)

    def audio(self, tag: str, samples: NDArray[np.floating] | Tensor, rate: int, step: int, caption: str = "") -> None:
        from torch.utils.tensorboard.summary import audio

        wave = np.nan_to_num(to_array(samples).astype(np.float32).ravel(), posinf=1.0, neginf=-1.0)
        if not len(wave):
            raise UsageError(f"'{tag}': a sound without samples cannot be logged")
        # A sound of one sample would lose its only axis there.
        wave = np.pad(wave, (0, 1)) if len(wave) == 1 else wave
        self._add(AUDIO, tag, audio, np.clip(wave, -1.0, 1.0), rate, step=step, caption=caption)

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int, caption: str = "") -> None:
        self._add_picture(MEL, tag, mel_picture(mel, self._mel_config), step, caption)

    def picture(self, tag: str, picture: Rgb, step: int, caption: str = "") -> None:
        self._add_picture(FIGURE, tag, picture, step, caption)

    def text(self, tag: str, text: str, step: int) -> None:
        from torch.utils.tensorboard.summary import text as summary_of

        self._add(TEXT, tag, summary_of, _encodable(text), step=step)

    def hparams(self, values: Mapping[str, bool | float | str]) -> None:
        from torch.utils.tensorboard.summary import hparams

        # The list of all parameters is left out: TensorBoard then gathers it from all runs that it compares.
        _, start, end = hparams({name: _encodable(v) if isinstance(v, str) else v for name, v in values.items()}, {})
        for summary in (start, end):
            self._write(summary, 0)

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

    def _add_picture(self, kind: str, tag: str, picture: Rgb, step: int, caption: str) -> None:
        from torch.utils.tensorboard.summary import image

        self._add(kind, tag, lambda name: image(name, picture, dataformats="HWC"), step=step, caption=caption)

    def _add(
        self, kind: str, tag: str, summary_of: Callable[..., Any], *args: Any, step: int, caption: str = ""
    ) -> None:
        """Write the summary of one entry under its tag, as the kind's plugin reads it."""
        tag = _encodable(tag)
        self._claim(kind, tag)
        summary = summary_of(tag, *args)
        for value in summary.value:
            value.tag = tag  # of texts and scalars, torch changes it
            if kind in (AUDIO, MEL, FIGURE):
                value.metadata.CopyFrom(_metadata(kind, tag, _encodable(caption)))
        self._write(summary, step)

    def _write(self, summary: Any, step: int) -> None:
        with self._faults_named():
            self._writer._get_file_writer().add_summary(summary, step)

    def _claim(self, kind: str, tag: str) -> None:
        """Take the tag for this kind."""
        begins = tag.partition("/")[0]
        if begins in KINDS and begins != kind and "/" in tag:
            raise UsageError(f"tag '{tag}' cannot be of kind {kind}: '{begins}/' begins the tags of kind {begins}")
        if (other := self._kinds.setdefault(tag, kind)) != kind:
            raise UsageError(
                f"tag '{tag}' has entries of kind {other} already, and TensorBoard shows a tag by one plugin; "
                f"give those of kind {kind} another tag, such as '{kind}/{tag.removeprefix(other + '/')}'"
            )

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise TtsMetaError(
                f"cannot write logs to {self._folder}: {reason}; free space or choose another"
            ) from error


def _metadata(kind: str, tag: str, caption: str) -> Any:
    """Name and caption of a sound or picture, with all that TensorBoard's fast loader needs to keep them."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.audio import metadata as audio
    from tensorboard.plugins.image import metadata as image

    if kind == AUDIO:
        metadata = audio.create_summary_metadata(tag, caption, audio.Encoding.Value("WAV"), converted_to_tensor=True)
    else:
        metadata = image.create_summary_metadata(tag, caption, converted_to_tensor=True)
    metadata.data_class = summary_pb2.DATA_CLASS_BLOB_SEQUENCE  # pyright: ignore[reportAttributeAccessIssue]
    return metadata


def _encodable(text: str) -> str:
    """The text without what UTF-8 cannot hold, such as bytes of file names in no encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")

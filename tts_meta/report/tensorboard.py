"""`TensorBoardLog`: a `Log` of TensorBoard event files.

TensorBoard shows a tag by one plugin only: if audio and an image share a tag, neither is shown correctly. So each kind
of entry has its own tags (`report/log.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.report.arrays import default_mel_config, to_array
from tts_meta.report.log import AUDIO, FIGURE, HISTOGRAM, KINDS, MEL, SCALAR, TEXT
from tts_meta.report.mel_figures import draw_mel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tts_meta.audio.mel import MelConfig
    from tts_meta.report.figures import Rgb


class TensorBoardLog:
    """A `Log` of TensorBoard event files in `folder`; open it with `with`.

    `resume_step`: the first step that a resumed run repeats; entries that a stopped run logged at it or later are
    hidden. `replace`: first remove the event files in the folder. Every method raises UsageError for a tag that has
    entries of another kind or begins like the tags of another kind, and TtsMetaError if the folder cannot be written.
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
        with self._write_errors():
            for old_file in self._folder.glob("events.out.tfevents.*") if replace else ():
                old_file.unlink()
            self._writer = SummaryWriter(str(folder), purge_step=resume_step)
        # An error in the writer's thread is raised by the next call here. Without this line Python also prints it.
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
            raise UsageError(f"'{tag}': audio without samples cannot be logged")
        # torch removes the only axis of a waveform of one sample.
        wave = np.pad(wave, (0, 1)) if len(wave) == 1 else wave
        self._add(AUDIO, tag, audio, np.clip(wave, -1.0, 1.0), rate, step=step, caption=caption)

    def mel(self, tag: str, mel: NDArray[np.floating] | Tensor, step: int, caption: str = "") -> None:
        self._add_image(MEL, tag, draw_mel(mel, self._mel_config), step, caption)

    def image(self, tag: str, image: Rgb, step: int, caption: str = "") -> None:
        self._add_image(FIGURE, tag, image, step, caption)

    def text(self, tag: str, text: str, step: int) -> None:
        from torch.utils.tensorboard.summary import text as text_summary

        self._add(TEXT, tag, text_summary, _encodable(text), step=step)

    def hparams(self, values: Mapping[str, bool | float | str]) -> None:
        from torch.utils.tensorboard.summary import hparams

        # Without the list of all hyperparameters, TensorBoard collects it from all runs that it compares.
        _, start, end = hparams({name: _encodable(v) if isinstance(v, str) else v for name, v in values.items()}, {})
        for summary in (start, end):
            self._write(summary, 0)

    def flush(self) -> None:
        with self._write_errors():
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._write_errors():
            self._writer.close()

    def _add_image(self, kind: str, tag: str, pixels: Rgb, step: int, caption: str) -> None:
        from torch.utils.tensorboard.summary import image

        self._add(kind, tag, lambda name: image(name, pixels, dataformats="HWC"), step=step, caption=caption)

    def _add(
        self, kind: str, tag: str, to_summary: Callable[..., Any], *args: Any, step: int, caption: str = ""
    ) -> None:
        """Write one entry under its tag, in the form that the plugin of its kind reads."""
        tag = _encodable(tag)
        self._check_tag(kind, tag)
        summary = to_summary(tag, *args)
        for value in summary.value:
            value.tag = tag  # torch changes the tags of texts and scalars
            if kind in (AUDIO, MEL, FIGURE):
                value.metadata.CopyFrom(_metadata(kind, tag, _encodable(caption)))
        self._write(summary, step)

    def _write(self, summary: Any, step: int) -> None:
        with self._write_errors():
            self._writer._get_file_writer().add_summary(summary, step)

    def _check_tag(self, kind: str, tag: str) -> None:
        """Reserve the tag for this kind. Raises UsageError if it belongs to another kind."""
        prefix = tag.partition("/")[0]
        if prefix in KINDS and prefix != kind and "/" in tag:
            raise UsageError(f"tag '{tag}' cannot be of kind {kind}: tags of kind {prefix} begin with '{prefix}/'")
        if (other := self._kinds.setdefault(tag, kind)) != kind:
            raise UsageError(
                f"tag '{tag}' already has entries of kind {other}, and TensorBoard shows a tag by one plugin; "
                f"use another tag for kind {kind}, such as '{kind}/{tag.removeprefix(other + '/')}'"
            )

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Raise TtsMetaError, with the folder's name, if writing fails in the block."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise TtsMetaError(
                f"cannot write logs to {self._folder}: {reason}; free space or choose another folder"
            ) from error


def _metadata(kind: str, tag: str, caption: str) -> Any:
    """Name and caption of audio or an image, with the fields that TensorBoard's fast loader needs to keep them."""
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
    """Replace what UTF-8 cannot encode, such as bytes of file names in an unknown encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")

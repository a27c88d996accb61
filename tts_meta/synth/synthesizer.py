"""`Synthesizer` and `speak`: load a base, a voice and a vocoder once and speak many texts."""

from __future__ import annotations

import difflib
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import TypeGuard, TypeVar, cast

import torch

from tts_meta.adapt.voice import Voice
from tts_meta.audio.mel import MelConfig
from tts_meta.audio.writing import Waveform
from tts_meta.devices import choose_device
from tts_meta.errors import UsageError
from tts_meta.files import check_path
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base, as_base, load_base, shipped_base
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions
from tts_meta.models.vocoders.hifigan_weights import find_universal
from tts_meta.models.vocoders.source_filter_weights import shipped_vocoder
from tts_meta.models.vocoders.vocoder import Vocoder, as_vocoder, load_vocoder
from tts_meta.synth.speak import Speech, speak_text, speaking, stream_text
from tts_meta.text import Lexicon

T = TypeVar("T")


class Synthesizer:
    """A synthesizer that speaks many texts in a voice, with models that are loaded once.

    voice: a voice, a voice file, or `"base"`, the mean voice of the base. base: a base voice or its folder; None is
    the shipped one. vocoder: a vocoder, or an argument of `load_vocoder`. device: a name as in `choose_device`; None is
    the device of the base, or `auto` if the base is loaded here. A base that was given does not change, and a vocoder
    that was given stays on its device. Several threads can use one object. The threads take turns, and a text is spoken
    in the voice that is set when its turn begins. Raises UsageError for a device that is not available. Raises
    TtsMetaError if a file cannot be used, the voice was made with another base, or the vocoder takes other mels than
    the base produces.
    """

    def __init__(
        self,
        voice: Voice | str | Path = "base",
        *,
        base: Base | str | Path | None = None,
        vocoder: Vocoder | str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.base = as_base(base, device)
        self._vocoder = as_vocoder(vocoder, self.base.config.audio.mel, self.base.device)
        self.voice = voice

    @property
    def voice(self) -> Voice | None:
        """The current voice; None is the mean voice of the base. Set it to a voice, a voice file, or `"base"`."""
        return self._voice

    @voice.setter
    def voice(self, voice: Voice | str | Path) -> None:
        chosen, name = _voice(voice), "the voice" if isinstance(voice, Voice) else str(voice)
        model, vocoder = self.base.acoustic, self._vocoder
        if chosen is not None:
            model, vocoder = chosen.apply(self.base, name), chosen.apply_vocoder(vocoder, name)
        with speaking:
            self._voice, self._model, self.vocoder = chosen, model, vocoder

    @property
    def rate(self) -> int:
        """Sample rate of the audio in Hz."""
        return self.vocoder.sample_rate

    def speak(
        self,
        text: str,
        options: SynthesisOptions = DEFAULT,
        *,
        phonemes: bool = False,
        speaker: str | None = None,
        lexicon: Lexicon | str | Path | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> Speech:
        """Speak a text of any length, as `speak_text` does.

        speaker: name of a training speaker of the base, instead of the voice. lexicon: a file of words and
        their pronunciations, or a loaded `Lexicon`. Raises UsageError for an unknown speaker. Raises
        TtsMetaError for the same reasons as `speak_text`.
        """
        with speaking:
            index, model = self._speaker_and_model(speaker)
            base = self.base.with_lexicon(lexicon)
            return speak_text(
                base, model, self.vocoder, text, phonemes=phonemes, speaker=index, options=options, report=report
            )

    def stream(
        self,
        text: str,
        options: SynthesisOptions = DEFAULT,
        *,
        phonemes: bool = False,
        speaker: str | None = None,
        lexicon: Lexicon | str | Path | None = None,
    ) -> Iterator[Waveform]:
        """Yield the samples of `speak` in parts, `(S,)` float32 at `rate` Hz; see `stream_text`."""
        with speaking:
            index, model = self._speaker_and_model(speaker)
            vocoder, base = self.vocoder, self.base.with_lexicon(lexicon)
        return stream_text(base, model, vocoder, text, phonemes=phonemes, speaker=index, options=options)

    def _speaker_and_model(self, speaker: str | None) -> tuple[int, AcousticModel]:
        if speaker is None:
            return -1, self._model
        return training_speaker(speaker, self.base), self.base.acoustic

    def __repr__(self) -> str:
        voice = "base" if self._voice is None else repr(self._voice)
        return f"Synthesizer(voice={voice}, base={self.base.hash[:12]}, vocoder={self.vocoder.name})"


def speak(
    voice: Voice | str | Path,
    text: str,
    *,
    base: Base | str | Path | None = None,
    vocoder: Vocoder | str | Path | None = None,
    phonemes: bool = False,
    lexicon: Lexicon | str | Path | None = None,
    options: SynthesisOptions = DEFAULT,
    device: str | torch.device | None = None,
) -> Speech:
    """Speak `text` in a voice, a voice file, or `"base"`, the mean voice of the base.

    base: a base voice or its folder; None is the shipped one. vocoder: a vocoder, or an argument of `load_vocoder`.
    lexicon: as in `Synthesizer.speak`. device: as in `Synthesizer`. The last few bases, voices and vocoders that were
    loaded from files stay in memory for the next calls until the files change. Other arguments and the errors are those
    of `speak_text`. `Speech.save` writes a file.
    """
    with speaking:
        loaded = as_base(base, device) if isinstance(base, Base) else _cached_base(base, device)
        mel = loaded.config.audio.mel
        if vocoder is None or _is_path(vocoder):
            loaded_vocoder = _cached_vocoder(vocoder, mel, loaded.device)
        else:
            loaded_vocoder = as_vocoder(vocoder, mel)
        if _is_path(voice) and voice != "base":
            path = Path(voice)
            # The cached synthesizer refers to the base and the vocoder, so their ids stay unique while it is cached.
            key = (*_content_key(path), id(loaded), id(loaded_vocoder))
            synthesizer = _synthesizers.get(key, lambda: Synthesizer(path, base=loaded, vocoder=loaded_vocoder))
        else:
            synthesizer = Synthesizer(voice, base=loaded, vocoder=loaded_vocoder)
        return synthesizer.speak(text, options, phonemes=phonemes, lexicon=lexicon)


def training_speaker(name: str, base: Base) -> int:
    """Return the index of a training speaker. Raises UsageError if the base has no speaker of this name."""
    if name not in base.speakers:
        close = difflib.get_close_matches(str(name), base.speakers, n=3) or base.speakers[:5]
        count = len(base.speakers)
        raise UsageError(f"the base has no speaker '{name}'; it has {count} speakers, such as {', '.join(close)}")
    return base.speakers.index(name)


class _Cache:
    """A cache of the most recently used objects."""

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self._objects: OrderedDict[Hashable, object] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the object of this key. `make` is called if there is no such object."""
        if key not in self._objects:
            self._objects[key] = make()
            while len(self._objects) > self.max_size:
                self._objects.popitem(last=False)
        self._objects.move_to_end(key)
        return cast(T, self._objects[key])


_bases, _vocoders, _synthesizers = _Cache(2), _Cache(2), _Cache(4)


def _cached_base(folder: str | Path | None, device: str | torch.device | None) -> Base:
    path = shipped_base() if folder is None else check_path("base", folder)
    chosen = choose_device("auto" if device is None else device)
    return _bases.get((*_content_key(path), chosen), lambda: load_base(path, chosen))


def _cached_vocoder(name: str | Path | None, mel: MelConfig, device: torch.device) -> Vocoder:
    paths = [path for path in (shipped_vocoder(), find_universal(), name) if path is not None]
    key = (str(name), mel, device, *(_content_key(Path(path)) for path in paths))
    return _vocoders.get(key, lambda: load_vocoder(name, device, mel=mel))


def _content_key(path: Path) -> tuple[Hashable, ...]:
    """Return a key that changes when a file, or a file in a folder, is replaced or changed."""
    try:
        key: list[Hashable] = [os.path.realpath(path)]
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file():
                state = file.stat()
                key.append((file.name, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    except (OSError, ValueError):
        return (str(path),)  # loading will fail and raise the error with the reason
    return tuple(key)


def _is_path(value: object) -> TypeGuard[str | Path]:
    return isinstance(value, str | os.PathLike)


def _voice(voice: object) -> Voice | None:
    if isinstance(voice, Voice):
        return voice
    if not _is_path(voice):
        raise UsageError(f"the voice must be a Voice, a voice file, or 'base', not {type(voice).__name__}")
    return None if voice == "base" else Voice.load(voice)

"""Recordings of a new speaker, checked before any work: each fault is one line that names the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.adapt.diagnosis import Fault, can_judge, explain, measure_fit, measured_faults
from tts_meta.adapt.two_voices import other_voice
from tts_meta.audio import MelSpec, load_speech
from tts_meta.audio.io import Waveform, check_is_file
from tts_meta.audio.speech import LoadedSpeech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example, find_sidecar, match_transcripts, read_transcripts
from tts_meta.corpus.text_file import read_text_file, shown_path
from tts_meta.errors import TtsMetaError
from tts_meta.files import fingerprint
from tts_meta.models.aligner import Alignment
from tts_meta.models.pretrained import Base

RECORDINGS_VERSION = 2
"""Version of how recordings become examples. Increase it when the same recording would give other features,
symbols or durations; the cache of the benchmark depends on it."""
FEWEST_SECONDS = 1.0
"""Least speech in all."""
# Of 100 LibriSpeech sentences none lies more than 4.5 nats lower above 5 kHz than below; at 8 kHz all lie over 6.
_HIGHS_FROM, _HIGHS_MISSING = 5000.0, 5.5


@dataclass(frozen=True)
class Recording:
    """One recorded sentence and what is said in it."""

    audio: Path
    text: str


def find_transcripts(
    audio: Sequence[Path], transcripts: Path | None = None, transcribe: Callable[[Path], str] | None = None
) -> list[Recording]:
    """Pair each recording with its text.

    The text comes from the list `transcripts` (see `tts_meta.corpus.read_transcripts`), else from a `.txt` of the
    recording's name next to it, else from `transcribe`. Raises TtsMetaError naming the file that has none, or the lines
    of the list that contradict each other.
    """
    for path in audio:
        check_is_file(path)
    listed = None if transcripts is None else _match(audio, transcripts)
    recordings = []
    for path in audio:
        if listed is not None:
            text = listed[path]
        elif (sidecar := find_sidecar(path)) is not None:
            text = read_text_file(sidecar)
        elif transcribe is not None:
            text = transcribe(path)
        else:
            name = path.with_suffix(".txt").name
            raise TtsMetaError(f"{path}: no transcript; write {name} beside it, or use --transcripts or --asr")
        if not text.strip():
            raise TtsMetaError(f"{path}: its transcript is empty; write down what is said")
        recordings.append(Recording(path, " ".join(text.split())))
    return recordings


def load_recording(path: Path, config: AudioConfig) -> Waveform:
    """Trimmed, level waveform `(S,)` of one recorded sentence. Raises as `load_speech`."""
    return load_speech(path, config).waveform


@default_torch_state()
def prepare_recordings(
    recordings: Sequence[Recording], base: Base, speaker: str, warn: Callable[[str], None]
) -> list[Example]:
    """Features, symbols, durations and sound of each recording.

    `warn` gets what may harm the voice: a narrow band, hum, noise, a long pause, a transcript that is not what is said
    and why (see `diagnosis`), another voice. Raises
    TtsMetaError naming the file for all that makes cloning senseless, and where all recordings together are too short.
    """
    if not recordings:
        raise TtsMetaError("no recordings given; give at least one audio file")
    mel_spec = MelSpec(base.config.audio.mel)
    hop = base.config.audio.mel.hop
    prepared: list[tuple[LoadedSpeech, Tensor, Tensor, Tensor]] = []
    for recording in recordings:
        speech = load_speech(recording.audio, base.config.audio)
        with torch.inference_mode():
            mel = mel_spec(torch.from_numpy(speech.waveform)[None])[0]
        samples = torch.from_numpy(speech.waveform[: len(mel) * hop])
        prepared.append((speech, _encode(recording, base), mel.clone(), samples))
    seconds = sum(len(mel) for _, _, mel, _ in prepared) * base.config.audio.mel.frame_seconds
    if seconds < FEWEST_SECONDS:
        raise TtsMetaError(f"{seconds:.1f} s of speech in all, at least {FEWEST_SECONDS:.0f} s are needed; record more")
    narrow = [r.audio for r, (_, _, mel, _) in zip(recordings, prepared, strict=True) if _lacks_highs(mel, mel_spec)]
    if narrow:
        warn(f"{_which(narrow)}: no sound above 4 kHz (telephone, or 8 kHz?); the voice will lack its highs")

    examples = []
    for recording, (speech, tokens, mel, samples) in zip(recordings, prepared, strict=True):
        said, alignment = base.align(mel, tokens, str(recording.audio))
        for phrase in _faults(base, recording, speech, tokens, alignment):
            warn(f"{recording.audio}: {phrase}")
        source = fingerprint(recording.audio)
        examples.append(Example(str(recording.audio), speaker, said, alignment.durations, mel, samples, source))
    voices = [(recording.audio, speech.waveform) for recording, (speech, *_) in zip(recordings, prepared, strict=True)]
    if others := other_voice(voices, base.config.audio.mel.sample_rate):
        warn(f"{_which(others)}: another voice than in the other recordings; give recordings of one speaker")
    return examples


def _faults(base: Base, recording: Recording, speech: LoadedSpeech, tokens: Tensor, alignment: Alignment) -> list[str]:
    """What is wrong with one recording, a phrase each: measured in its sound, or in how its transcript fits."""
    faults = measured_faults(speech, base.config.audio.mel.sample_rate)
    if not can_judge(base):
        return [fault.phrase for fault in faults]
    fit = measure_fit(base, tokens, alignment.durations, alignment.score)
    if not base.aligner.matches(alignment.score) or fit.odd:
        cause = explain(base, speech, tokens, recording.text, fit)
        if cause is None and not fit.odd:
            cause = Fault("other", f'what is said does not seem to be "{recording.text}"; check its transcript')
        if cause is not None and all(fault.kind != cause.kind for fault in faults):
            faults.append(cause)
    return [fault.phrase for fault in faults]


def _which(files: Sequence[Path]) -> str:
    return f"{files[0]} and {len(files) - 1} more" if files[1:] else str(files[0])


def _lacks_highs(mel: Tensor, mel_spec: MelSpec) -> bool:
    """Whether `mel (T, M)` holds next to nothing above 5 kHz, where a recording at 8 kHz has but traces."""
    first_bin = (mel_spec.filters > 0).float().argmax(0)
    config = mel_spec.config
    high = first_bin * config.sample_rate / config.n_fft > _HIGHS_FROM  # (M,)
    if not high.any():
        return False
    loud, loud_high = mel[:, ~high].amax(1).quantile(0.95), mel[:, high].amax(1).quantile(0.95)
    return float(loud - loud_high) > _HIGHS_MISSING


def _encode(recording: Recording, base: Base) -> Tensor:
    try:
        return base.encode(recording.text)
    except TtsMetaError as error:
        raise TtsMetaError(f"{recording.audio}: its transcript cannot be spoken: {error}") from error


def _match(audio: Sequence[Path], transcripts: Path) -> dict[Path, str]:
    """The text that the list has for each recording."""
    source = shown_path(transcripts)
    matches = match_transcripts(
        read_transcripts(transcripts), audio, transcripts, [transcripts.parent, Path()], loose=True
    )
    unlisted = [path for path in audio if path not in matches.found]
    for path in unlisted:
        for line, alike in matches.ambiguous.items():
            if path in alike:
                other = next(one for one in alike if one != path)
                fits = f"line {line} of {source} fits {shown_path(other)} as well"
                raise TtsMetaError(f"{shown_path(path)}: {fits}; write the folders in the list")
    if unlisted:
        more = f" and {len(unlisted) - 1} more" if unlisted[1:] else ""
        hint = f"add a line `{unlisted[0].name}|TEXT`"
        raise TtsMetaError(f"{shown_path(unlisted[0])}{more}: not in {source}; {hint}")
    return {path: entry.text for path, entry in matches.found.items()}

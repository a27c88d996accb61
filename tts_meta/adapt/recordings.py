"""Prepares recordings of a new speaker: finds their transcripts, checks and aligns them, and warns of faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.adapt.diagnosis import Fault, diagnose, measure_fit, scores_are_known, signal_faults
from tts_meta.adapt.second_speaker import recordings_of_other_speaker
from tts_meta.audio import MelSpec, load_speech
from tts_meta.audio.io import Waveform, check_is_file
from tts_meta.audio.quality import lacks_high_frequencies
from tts_meta.audio.speech import LoadedSpeech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example, find_sidecar, match_transcripts, read_transcripts
from tts_meta.corpus.audio_part import fingerprint, part_of
from tts_meta.corpus.languages import primary_language
from tts_meta.corpus.text_file import printable_path, read_text_file
from tts_meta.errors import TtsMetaError
from tts_meta.models.aligner import Alignment
from tts_meta.models.pretrained import Base
from tts_meta.text.language_guess import guess_language

RECORDINGS_VERSION = 2
"""Version of the preparation of recordings.

Increase this version when the same recording would give other features, symbols or durations. The cache of the
benchmark depends on this version.
"""
MIN_SECONDS = 1.0
"""Minimum duration of the speech in all recordings together, seconds."""


@dataclass(frozen=True)
class Recording:
    """An audio file with one sentence, or a part of one (`#t=...`), its text, and the language in its list."""

    audio: Path
    text: str
    language: str | None = None


def find_transcripts(
    audio: Sequence[Path],
    transcripts: Path | None = None,
    transcribe: Callable[[Path], str] | None = None,
    divide: Callable[[Path, str | None], Sequence[Recording] | None] = lambda path, text: None,
) -> list[Recording]:
    """Pair each recording with its text.

    transcripts: a file with the texts of all recordings, or of parts of them (see `tts_meta.corpus.read_transcripts`).
    Parts with an empty text are left out. Without this file, the text of a recording comes from the `.txt` file with
    the same name in the same folder. Without a `.txt` file, the text comes from `transcribe(path)`. Before that,
    `divide(path, text)` may return the parts of a long recording with their texts; text is None without a `.txt` file.
    Raises TtsMetaError with the path of a recording without a text, or with the lines of the file that contradict each
    other.
    """
    for path in audio:
        check_is_file(path)
    if transcripts is not None:
        listed = _match(audio, transcripts)
        return [recording for path in audio for recording in listed[path]]
    recordings = []
    for path in audio:
        sidecar = find_sidecar(path)
        text = None if sidecar is None else read_text_file(sidecar)
        parts = divide(path, text)
        if parts is not None:
            recordings += parts
            continue
        if text is None and transcribe is None:
            name = path.with_suffix(".txt").name
            raise TtsMetaError(f"{path}: no transcript; write {name} next to it, or use --transcripts or --asr")
        if text is None and transcribe is not None:
            text = transcribe(path)
        recordings.append(_recording(path, text or ""))
    return recordings


def _recording(audio: Path, text: str, language: str | None = None) -> Recording:
    if not text.strip():
        raise TtsMetaError(f"{audio}: its transcript is empty; write the spoken words into it")
    return Recording(audio, " ".join(text.split()), language)


def load_recording(path: Path, config: AudioConfig) -> Waveform:
    """Return the waveform `(S,)` of one recorded sentence, trimmed and loudness-normalized.

    Raises the errors of `load_speech`.
    """
    return load_speech(path, config).waveform


@default_torch_state()
def prepare_recordings(
    recordings: Sequence[Recording], base: Base, speaker: str, warn: Callable[[str], None]
) -> list[Example]:
    """Return an example of each recording: log-mel features, symbols, durations and samples.

    speaker: name of the speaker in the examples. warn: called with a line for each fault that may harm the voice.
    The faults are missing high frequencies, hum, noise, a long pause, a transcript that does not match the speech
    (see `diagnosis`), transcripts in another language, and another speaker. Raises TtsMetaError with the path of a
    recording that cannot be used. Raises TtsMetaError if all recordings together are too short.
    """
    if not recordings:
        raise TtsMetaError("no recordings given; give at least one audio file")
    if guess := guess_language([recording.text for recording in recordings], base.language):
        warn(
            f"the transcripts seem to be in '{guess}', but the base reads '{base.language}'; give a base for '{guess}'"
        )
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
    if seconds < MIN_SECONDS:
        raise TtsMetaError(
            f"{seconds:.1f} s of speech in total, but cloning needs at least {MIN_SECONDS:.0f} s; record more"
        )
    mels = [mel for _, _, mel, _ in prepared]
    without_highs = [
        recording.audio
        for recording, mel in zip(recordings, mels, strict=True)
        if lacks_high_frequencies(mel, mel_spec)
    ]
    if without_highs:
        problem = "no audio above 4 kHz, as in telephone or 8 kHz recordings, so the voice will sound dull"
        warn(f"{_first_and_count(without_highs)}: {problem}; record at 16 kHz or more")

    examples = []
    for recording, (speech, tokens, mel, samples) in zip(recordings, prepared, strict=True):
        symbols, alignment = base.align(mel, tokens, str(recording.audio))
        for message in _faults(base, recording, speech, tokens, alignment):
            warn(f"{recording.audio}: {message}")
        source = fingerprint(recording.audio)
        examples.append(Example(str(recording.audio), speaker, symbols, alignment.durations, mel, samples, source))
    waveforms = [
        (recording.audio, speech.waveform) for recording, (speech, *_) in zip(recordings, prepared, strict=True)
    ]
    if others := recordings_of_other_speaker(waveforms, base.config.audio.mel.sample_rate):
        problem = "the speaker seems to differ from the speaker of the other recordings"
        warn(f"{_first_and_count(others)}: {problem}; give recordings of one speaker only")
    return examples


def _faults(base: Base, recording: Recording, speech: LoadedSpeech, tokens: Tensor, alignment: Alignment) -> list[str]:
    """Return messages about one recording: faults of the audio, and of the match between audio and transcript."""
    faults = signal_faults(speech, base.config.audio.mel.sample_rate)
    if not scores_are_known(base):
        return [fault.message for fault in faults]
    fit = measure_fit(base, tokens, alignment.durations, alignment.score)
    if not base.aligner.matches(alignment.score) or fit.implausible_rate:
        cause = diagnose(base, speech, tokens, recording.text, fit)
        if cause is None and not fit.implausible_rate:
            cause = Fault("other", f'the speech does not seem to match the transcript "{recording.text}"; correct it')
        if cause is not None and all(fault.kind != cause.kind for fault in faults):
            faults.append(cause)
    return [fault.message for fault in faults]


def _first_and_count(files: Sequence[Path]) -> str:
    return f"{files[0]} and {len(files) - 1} more" if files[1:] else str(files[0])


def _encode(recording: Recording, base: Base) -> Tensor:
    language = primary_language(recording.language)
    if language not in (None, base.language):
        raise TtsMetaError(
            f"{recording.audio}: its transcript is in '{language}', but the base reads '{base.language}'; "
            f"give recordings in '{base.language}', or a base for '{language}'"
        )
    try:
        return base.encode(recording.text)
    except TtsMetaError as error:
        raise TtsMetaError(f"{recording.audio}: its transcript cannot be spoken: {error}") from error


def _match(audio: Sequence[Path], transcripts: Path) -> dict[Path, list[Recording]]:
    """Return what the transcript file lists of each recording: the recording itself, or its parts."""
    source = printable_path(transcripts)
    matches = match_transcripts(
        read_transcripts(transcripts), audio, transcripts, [transcripts.parent, Path()], loose=True
    )
    unlisted = [path for path in audio if path not in matches.entry_of]
    for path in unlisted:
        for line, candidates in matches.ambiguous.items():
            if path in candidates:
                other = next(candidate for candidate in candidates if candidate != path)
                problem = f"line {line} of {source} also matches {printable_path(other)}"
                raise TtsMetaError(
                    f"{printable_path(path)}: {problem}; write the recordings with their folders in that file"
                )
    if unlisted:
        more = f" and {len(unlisted) - 1} more" if unlisted[1:] else ""
        hint = f"add a line `{unlisted[0].name}|TEXT`"
        raise TtsMetaError(f"{printable_path(unlisted[0])}{more}: not in {source}; {hint}")
    listed = {}
    for path in matches.entry_of:
        entries = [entry for entry in matches.entries(path) if entry.text.strip() or not entry.is_part]
        if not entries:
            raise TtsMetaError(f"{printable_path(path)}: all of its parts in {source} have an empty text; correct them")
        listed[path] = [
            _recording(part_of(path, entry.start, entry.end), entry.text, entry.language) for entry in entries
        ]
    return listed

"""`tts-meta speak`: read a text aloud in a voice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.cli import START_TIME
from tts_meta.cli.console import print_json, print_message, table
from tts_meta.cli.options import AsJson, BaseFolder, Device, LexiconFile, VocoderName, VoiceOrBase
from tts_meta.cli.outputs import check_new_file
from tts_meta.cli.progress import StageTimer, progress_bar
from tts_meta.cli.streams import check_stdout, read_stdin, write_error
from tts_meta.errors import TtsMetaError, UsageError

if TYPE_CHECKING:
    from tts_meta.synth import Speech

STANDARD = Path("-")
_SYNTHESIS = ("text", "acoustic model", "vocoder")


def speak(
    voice: VoiceOrBase,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Text to speak; - reads it from standard input.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT.wav",
            help="Audio file to write. The suffix selects the format: .wav, .flac, .ogg, .mp3 or .opus. "
            "- writes WAV to standard output.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Instead of -o: write the sound to standard output while it is computed, as raw 16-bit mono samples.",
        ),
    ] = False,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the text from this file (UTF-8) instead of TEXT.")
    ] = None,
    phonemes: Annotated[
        bool,
        typer.Option(
            "--phonemes", help="The text is phonemes in the symbols of the base, one sentence per argument or line."
        ),
    ] = False,
    lexicon: LexiconFile = None,
    speed: Annotated[
        float, typer.Option(metavar="FACTOR", min=0.25, max=4, help="Speaking speed; 2 is twice as fast.")
    ] = 1.0,
    pitch: Annotated[
        float,
        typer.Option(
            metavar="SEMITONES",
            min=-12,
            max=12,
            help="Raise the pitch; negative values lower it. 12 semitones are an octave.",
        ),
    ] = 0.0,
    pitch_range: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", min=0, max=3, help="Scale the ups and downs of the pitch; 0 is monotone, 2 is lively."
        ),
    ] = 1.0,
    prenet_dropout: Annotated[
        float,
        typer.Option(
            metavar="RATE",
            min=0,
            max=0.9,
            help="Dropout in the decoder's prenet; above 0 each seed gives another rendition of the text.",
        ),
    ] = 0.0,
    postfilter: Annotated[
        float,
        typer.Option(
            metavar="STRENGTH",
            min=0,
            max=2,
            help="Sharpen the predicted spectrogram; 0 leaves it over-smooth, 1 matches the variance of real speech.",
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed for --prenet-dropout.")] = 0,
    base: BaseFolder = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With VOICE `base`: speak as this training speaker of the base. A wrong name lists the right ones.",
        ),
    ] = None,
    vocoder: VocoderName = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Print the seconds of each stage and the real-time factor: seconds of computing per second of speech.",
        ),
    ] = False,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a text of any length aloud in a voice.

    The voice is a file written by `tts-meta clone`, or the word `base`.

    \b
    Examples:
      tts-meta speak alice.voice.safetensors "Good morning." -o morning.wav
      tts-meta speak base "Good morning." --speed 0.9 --pitch -2 -o low.mp3
      cat chapter.txt | tts-meta speak base - -o chapter.wav --profile
      tts-meta speak base "Good morning." --stream | aplay -f S16_LE -r 22050
    """
    _check_output_options(output, stream, as_json, profile, force)
    if speaker is not None and voice != "base":
        raise UsageError("--speaker names a training speaker of the base: use it with VOICE `base`")
    if lexicon is not None and phonemes:
        raise UsageError("--lexicon does not apply to --phonemes; leave out one of them")
    text_to_speak = _read_text(text or [], file, "\n" if phonemes else " ")

    timer = StageTimer(START_TIME)
    from tts_meta.adapt import Voice
    from tts_meta.audio.writing import pcm_bytes
    from tts_meta.models.pretrained import load_base
    from tts_meta.models.synthesis_options import SynthesisOptions
    from tts_meta.models.vocoders.vocoder import load_vocoder
    from tts_meta.synth import speak_text, stream_text
    from tts_meta.synth.speak import notice_of
    from tts_meta.synth.synthesizer import training_speaker

    timer.add("start", timer.total)
    options = SynthesisOptions(speed, pitch, pitch_range, prenet_dropout, postfilter, seed)
    with timer.stage("load base"):
        loaded_base = load_base(base, device or "auto")
    with timer.stage("load voice"):
        loaded_voice = None if voice == "base" else Voice.load(voice)
        model = loaded_base.acoustic if loaded_voice is None else loaded_voice.apply(loaded_base, voice)
        speaker_index = -1 if speaker is None else training_speaker(speaker, loaded_base)
    with timer.stage("load vocoder"):
        loaded_vocoder = load_vocoder(vocoder, loaded_base.device, mel=loaded_base.config.audio.mel)
        if loaded_voice is not None:
            loaded_vocoder = loaded_voice.apply_vocoder(loaded_vocoder, voice)
    with timer.stage("load phonemizer"):
        if not phonemes:
            loaded_base = loaded_base.with_lexicon(lexicon)
            _ = loaded_base.phonemizer
    synthesis = (loaded_base, model, loaded_vocoder, text_to_speak)
    if output is None:
        for samples in stream_text(*synthesis, phonemes=phonemes, speaker=speaker_index, options=options):
            sys.stdout.buffer.write(pcm_bytes(samples))
            sys.stdout.buffer.flush()
        if notice := notice_of(loaded_base, loaded_vocoder, text_to_speak, phonemes):
            print_message(notice)
        return
    with progress_bar("speaking") as bar:
        speech = speak_text(*synthesis, phonemes=phonemes, speaker=speaker_index, options=options, report=bar.update)
    for name, key in zip(_SYNTHESIS, ("text", "acoustic", "vocoder"), strict=True):
        timer.add(name, speech.timings[key])
    with timer.stage("write"):
        _write_speech(output, speech)
    if speech.notice:
        print_message(speech.notice)
    if as_json:
        _print_json_result(output, speech, timer)
    elif profile:
        write_error(_profile_table(speech, timer))


def _check_output_options(output: Path | None, stream: bool, as_json: bool, profile: bool, force: bool) -> None:
    """Raise UsageError for options that exclude each other and for an output that cannot be written."""
    if stream or as_json or output == STANDARD:
        check_stdout("the JSON" if as_json else "the sound")
    if stream and (output is not None or as_json or profile or sys.stdout.isatty()):
        raise UsageError(
            "--stream writes samples to standard output; pipe it into a player, without -o, --json or --profile"
        )
    if output is None and not stream:
        raise UsageError("no output; give one with -o OUT.wav, or --stream")
    if output == STANDARD and (as_json or sys.stdout.isatty()):
        raise UsageError("-o - writes WAV to standard output; redirect it to a file or a program, without --json")
    if output is not None and output != STANDARD:
        from tts_meta.audio.writing import audio_format

        audio_format(output)
        check_new_file(output, force)


def _read_text(arguments: list[str], file: Path | None, separator: str) -> str:
    """The text from its only source. Raises UsageError if there is no source or more than one."""
    if arguments and file is not None:
        raise UsageError("text as arguments and in --file; give one of them")
    if file is None and not arguments:
        raise UsageError("no text; give it as arguments, with --file FILE, or as `-` for standard input")
    if file is None and arguments != ["-"]:
        return separator.join(arguments)
    if file is None or file == STANDARD:
        name, data = "standard input", read_stdin()
    else:
        try:
            name, data = str(file), file.read_bytes()
        except OSError as error:
            raise TtsMetaError(f"cannot read {file}: {error.strerror or error}; check the path") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TtsMetaError(f"{name}: not UTF-8 text; convert it to UTF-8") from error


def _write_speech(output: Path, speech: Speech) -> None:
    from tts_meta.audio.writing import wav_bytes, write_audio

    if output == STANDARD:
        sys.stdout.buffer.write(wav_bytes(speech.samples, speech.rate))
    else:
        write_audio(output, speech.samples, speech.rate)


def _real_time_factors(speech: Speech, timer: StageTimer) -> tuple[float, float]:
    """Seconds of computing per second of speech: synthesis alone, and the whole program."""
    synthesis = sum(timer.stages[name] for name in _SYNTHESIS)
    return synthesis / speech.seconds, timer.total / speech.seconds


def _print_json_result(output: Path, speech: Speech, timer: StageTimer) -> None:
    stages = {name: round(seconds, 4) for name, seconds in timer.stages.items()}
    factors = zip(("synthesis", "total"), _real_time_factors(speech, timer), strict=True)
    data = {"output": str(output), "seconds": round(speech.seconds, 3), "rate": speech.rate, "notice": speech.notice}
    print_json(data | {"timings": stages, "real_time_factor": {name: round(value, 3) for name, value in factors}})


def _profile_table(speech: Speech, timer: StageTimer) -> str:
    rows = [(name, f"{seconds:.2f}") for name, seconds in timer.stages.items()]
    rows.append(("total", f"{timer.total:.2f}"))
    synthesis, total = _real_time_factors(speech, timer)
    return "\n".join(
        [
            table(("stage", "seconds"), rows, right=(1,)),
            f"{speech.seconds:.2f} s of speech",
            f"real-time factor {synthesis:.2f} for {', '.join(_SYNTHESIS)}; {total:.2f} for the whole program",
        ]
    )

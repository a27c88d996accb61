"""`tts-meta speak`: text in a voice to a file of sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.cli import START_TIME
from tts_meta.cli.console import StageTimer, check_new_file, print_json, print_message, progress_bar, table
from tts_meta.cli.streams import check_stdout, read_stdin, write_error
from tts_meta.errors import TtsMetaError, UsageError

if TYPE_CHECKING:
    from tts_meta.synth import Speech

STANDARD = Path("-")
_SYNTHESIS = ("text", "acoustic model", "vocoder")


def speak(
    voice: Annotated[
        str, typer.Argument(metavar="VOICE", help="A voice file, or `base` for its mean voice.", show_default=False)
    ],
    text: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="What to say; - reads stdin.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT.wav",
            help="File to write, in the format of its suffix: wav, flac, ogg, mp3 or opus; - is WAV on stdout.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write raw 16-bit PCM to stdout while it speaks, in place of -o.")
    ] = False,
    file: Annotated[Path | None, typer.Option(help="File of text to say.")] = None,
    phonemes: Annotated[
        bool, typer.Option("--phonemes", help="The text is phonemes, a sentence each argument or line.")
    ] = False,
    lexicon: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Words and how they are said, a line each: see docs/text.md.")
    ] = None,
    speed: Annotated[float, typer.Option(min=0.25, max=4, help="2 speaks twice as fast.")] = 1.0,
    pitch: Annotated[float, typer.Option(min=-12, max=12, help="Semitones higher.")] = 0.0,
    pitch_range: Annotated[
        float, typer.Option(min=0, max=3, help="0: a monotone; 2: twice the melody that is predicted.")
    ] = 1.0,
    prenet_dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Above 0 no two seeds say it alike: dropout in the decoder's prenet.")
    ] = 0.0,
    postfilter: Annotated[
        float, typer.Option(min=0, max=2, help="0: spectra as smooth as predicted; 1: as varied as in speech.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="With --prenet-dropout, the same seed gives the same samples.")] = 0,
    base: Annotated[Path | None, typer.Option(help="Folder of the base voice; the shipped one if not given.")] = None,
    speaker: Annotated[
        str | None, typer.Option(help="Training speaker of the base to speak as, with VOICE `base`.")
    ] = None,
    vocoder: Annotated[str | None, typer.Option(help="light, hifigan, griffin-lim, or a path.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print seconds per stage and the real-time factor.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Speak a text of any length in a voice.

    \b
    tts-meta speak alice.voice.safetensors "Good morning." -o morning.wav
    cat chapter.txt | tts-meta speak base - -o chapter.wav --profile
    tts-meta speak base "Good morning." --stream | aplay -f S16_LE -r 22050
    """
    if stream or as_json or output == STANDARD:
        check_stdout("the JSON" if as_json else "the sound")
    if stream and (output is not None or as_json or profile or sys.stdout.isatty()):
        raise UsageError("--stream writes samples to stdout: send that to a player, without -o, --json or --profile")
    if output is None and not stream:
        raise UsageError("no output; give one with -o OUT.wav, or --stream")
    to_stdout = output == STANDARD
    if to_stdout and (as_json or sys.stdout.isatty()):
        raise UsageError("-o - writes the WAV to stdout: send that to a file or program, without --json")
    if output is not None and not to_stdout:
        from tts_meta.audio.writing import audio_format

        audio_format(output)
        check_new_file(output, force)
    if speaker is not None and voice != "base":
        raise UsageError("--speaker names a training speaker of the base: use it with VOICE `base`")
    if lexicon is not None and phonemes:
        raise UsageError("--phonemes leaves no word to look up: leave out --lexicon")
    words = _text(text or [], file, "\n" if phonemes else " ")

    watch = StageTimer(START_TIME)
    from tts_meta.adapt import Voice
    from tts_meta.audio.writing import pcm_bytes, wav_bytes, write_audio
    from tts_meta.models.pretrained import load_base
    from tts_meta.models.synthesis_options import SynthesisOptions
    from tts_meta.models.vocoders.vocoder import load_vocoder
    from tts_meta.synth import speak_text, stream_text
    from tts_meta.synth.speak import notice_of
    from tts_meta.synth.synthesizer import training_speaker

    watch.add("start", watch.total)
    options = SynthesisOptions(speed, pitch, pitch_range, prenet_dropout, postfilter, seed)
    with watch.stage("load base"):
        loaded = load_base(base)
    with watch.stage("load voice"):
        given = None if voice == "base" else Voice.load(voice)
        model = loaded.acoustic if given is None else given.apply(loaded, voice)
        index = -1 if speaker is None else training_speaker(speaker, loaded)
    with watch.stage("load vocoder"):
        sounds = load_vocoder(vocoder, mel=loaded.config.audio.mel)
        sounds = sounds if given is None else given.apply_vocoder(sounds, voice)
    with watch.stage("load phonemizer"):
        if not phonemes:
            loaded = loaded.with_lexicon(lexicon)
            _ = loaded.phonemizer
    if output is None:
        parts = stream_text(loaded, model, sounds, words, phonemes=phonemes, speaker=index, options=options)
        for samples in parts:
            sys.stdout.buffer.write(pcm_bytes(samples))
            sys.stdout.buffer.flush()
        if notice := notice_of(sounds, words, phonemes):
            print_message(notice)
        return
    with progress_bar("speaking") as bar:
        speech = speak_text(
            loaded,
            model,
            sounds,
            words,
            phonemes=phonemes,
            speaker=index,
            options=options,
            report=bar.update,
        )
    for name, seconds in zip(_SYNTHESIS, ("text", "acoustic", "vocoder"), strict=True):
        watch.add(name, speech.timings[seconds])
    with watch.stage("write"):
        if to_stdout:
            sys.stdout.buffer.write(wav_bytes(speech.samples, speech.rate))
        else:
            write_audio(output, speech.samples, speech.rate)

    if speech.notice:
        print_message(speech.notice)
    if as_json:
        _show(output, speech, watch)
    elif profile:
        write_error(_timing_table(speech, watch))


def _text(arguments: list[str], file: Path | None, between: str) -> str:
    """The text from exactly one source. Raises UsageError where there is none or more than one."""
    if arguments and file is not None:
        raise UsageError("text both as arguments and in --file; give one of them")
    if file is None and not arguments:
        raise UsageError("no text; give it as arguments, with --file FILE, or as `-` for stdin")
    if file is None and arguments != ["-"]:
        return between.join(arguments)
    if file is None or file == STANDARD:
        name, data = "stdin", read_stdin()
    else:
        try:
            name, data = str(file), file.read_bytes()
        except OSError as error:
            raise TtsMetaError(f"cannot read {file}: {error.strerror or error}; check the path") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TtsMetaError(f"{name}: not UTF-8 text; convert it to UTF-8") from error


def _synthesis_seconds(watch: StageTimer) -> float:
    return sum(watch.stages[name] for name in _SYNTHESIS)


def _show(output: Path, speech: Speech, watch: StageTimer) -> None:
    stages = {name: round(seconds, 4) for name, seconds in watch.stages.items()}
    factors = {"synthesis": _synthesis_seconds(watch) / speech.seconds, "in_all": watch.total / speech.seconds}
    data = {"output": str(output), "seconds": round(speech.seconds, 3), "rate": speech.rate, "notice": speech.notice}
    print_json(
        data | {"timings": stages, "real_time_factor": {name: round(value, 3) for name, value in factors.items()}}
    )


def _timing_table(speech: Speech, watch: StageTimer) -> str:
    rows = [(name, f"{seconds:.2f}") for name, seconds in watch.stages.items()]
    rows.append(("in all", f"{watch.total:.2f}"))
    lines = [table(("stage", "seconds"), rows, right=(1,)), f"{speech.seconds:.2f} s of speech"]
    lines.append(
        f"real-time factor {_synthesis_seconds(watch) / speech.seconds:.2f} for {', '.join(_SYNTHESIS)}; "
        f"{watch.total / speech.seconds:.2f} with everything before and after"
    )
    return "\n".join(lines)

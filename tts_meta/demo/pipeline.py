"""Runs the demo: records, clones, speaks, scores, and writes the page and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.adapt import CloneProgress, CloneSettings, Voice, clone
from tts_meta.adapt.arguments import check_settings
from tts_meta.audio import MelSpec
from tts_meta.demo.clips import BASE, CLONE, REAL, SentenceClip, score_similarity, write_clip
from tts_meta.demo.folder import check_replaceable, write_results
from tts_meta.demo.logs import log_result
from tts_meta.demo.page import write_page
from tts_meta.demo.speaker import NEW, RECORDED, REFERENCE, HibariSpeaker
from tts_meta.demo.summary import LOGS, PAGE, VOICE_FILE, DemoResult, cloned_lines, next_lines
from tts_meta.errors import printable
from tts_meta.files import atomic_folder, check_writable
from tts_meta.models.pretrained import Base, as_base
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, as_vocoder
from tts_meta.report import Log, TensorBoardLog
from tts_meta.synth import Speech, speak_text

if TYPE_CHECKING:
    from rich.console import Console

REFERENCES = "references"
CONSENT = "a synthetic voice, that of hibari-tts (Apache-2.0)"


def run(
    out: str | Path,
    *,
    steps: int | None = None,
    base: Base | str | Path | None = None,
    vocoder: Vocoder | str | Path | None = None,
    device: str | None = None,
    seed: int = 0,
    open_page: bool = False,
    console: Console,
    command: str = "",
) -> Path:
    """Clone a speaker that the base was not trained on, write a page that compares the voices, and return its path.

    The folder `out` gets `recordings/`, `references/`, `real/`, `base/` and `clone/` with WAV files, a `.txt` file
    for each recording, `demo.voice.safetensors`, `index.html`, `logs/` for TensorBoard and `results.json`. An
    earlier demo is replaced only after the new demo is complete. steps: inner steps; None uses the default of
    `clone`. base, vocoder, device: as in `speak`. open_page: open the page in a web browser. command: the
    command line, for the log. Nothing is downloaded. Raises UsageError if `out` contains anything but an earlier
    demo.
    """
    out = Path(out)
    check_replaceable(out)
    check_writable(out / PAGE)
    settings = CloneSettings(seed=seed, steps=steps)
    check_settings(settings)
    demo = _Demo(out, console, seed)
    with demo.stage("load"):
        loaded = as_base(base, device)
        vocoder = as_vocoder(vocoder, loaded.config.audio.mel, loaded.device)
    config = loaded.config.audio.mel

    # `resolve` follows a link, so that the link stays and its target folder is replaced.
    with atomic_folder(out.resolve()) as folder:
        with TensorBoardLog(folder / LOGS, config) as log:
            result = demo.run(folder, loaded, vocoder, settings, log)
            with demo.stage("report"):
                log_result(log, result, settings, config, command)
                write_page(folder / PAGE, result, config)
        write_results(folder, result.as_dict(folder, demo.seconds))
        check_replaceable(out)  # second check: files that were added after the first check would be lost

    stages = ", ".join(f"{name} {value:.1f}" for name, value in demo.seconds.items())
    demo.print(f"Seconds: {stages}; {sum(demo.seconds.values()):.0f} in total.")
    demo.print(*next_lines(out, loaded.folder if base is not None else None))
    if open_page:
        import webbrowser

        webbrowser.open((out / PAGE).resolve().as_uri())
    return out / PAGE


class _Demo:
    """A run of the demo that prints its progress and measures the seconds of each stage."""

    def __init__(self, out: Path, console: Console, seed: int) -> None:
        self.out = out
        self.console = console
        self.seed = seed
        self.seconds: dict[str, float] = {}

    def print(self, *lines: str) -> None:
        """Print lines without wrapping, so that paths and commands can be copied."""
        for line in lines:
            self.console.print(printable(line), markup=False, highlight=False, emoji=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the seconds of a stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def run(self, folder: Path, base: Base, vocoder: Vocoder, settings: CloneSettings, log: Log) -> DemoResult:
        """Make all audio files and scores in `folder`, which becomes `out` at the end."""
        mel_spec = MelSpec(base.config.audio.mel)
        with self.stage("record"):
            speaker = HibariSpeaker()
            recorded = self._record(folder / "recordings", speaker, RECORDED, mel_spec)
            for clip in recorded:
                clip.file.with_suffix(".txt").write_text(clip.sentence + "\n", encoding="utf-8")
            real = self._record(folder / REAL, speaker, NEW, mel_spec)
            references = self._record(folder / REFERENCES, speaker, REFERENCE, mel_spec)
        length = sum(clip.seconds for clip in recorded)
        self.print(f"New speaker: {speaker.name}, on which the base was not trained.")
        self.print(f"Recorded {len(recorded)} sentences of this speaker, {length:.0f} s, in {self.out / 'recordings'}.")

        with self.stage("clone"):
            voice = self._clone(recorded, base, settings, log, folder)
            voice.save(folder / VOICE_FILE)
        self.print(*cloned_lines(voice, self.out / VOICE_FILE, (folder / VOICE_FILE).stat().st_size))

        with self.stage("speak"):
            # The voice is loaded from its file, so that the clips play what the file contains.
            clone_model = Voice.load(folder / VOICE_FILE).apply(base, VOICE_FILE)
            speeches = {
                system: [
                    speak_text(base, model, vocoder, text, options=SynthesisOptions(seed=self.seed)) for text in NEW
                ]
                for system, model in ((BASE, base.acoustic), (CLONE, clone_model))
            }
            spoken = {
                system: _write_speeches(folder / system, system_speeches, mel_spec)
                for system, system_speeches in speeches.items()
            }
        real_time_factor = _real_time_factor([speech for group in speeches.values() for speech in group])
        self.print(
            f"Spoke {len(NEW)} new sentences in both voices: {real_time_factor:.2f} s of work per second of speech."
        )
        if vocoder.notice:
            self.print(f"Audio: {vocoder.notice}.")

        with self.stage("score"):
            rows = score_similarity(references, {REAL: real, **spoken}, mel_spec.config.sample_rate, base.device)
        result = DemoResult(
            speaker.name,
            base.hash,
            recorded,
            references,
            voice,
            rows,
            real_time_factor,
            vocoder.name,
            vocoder.notice,
            self.seed,
        )
        self.print(*result.similarity_lines())
        return result

    def _record(
        self, folder: Path, speaker: HibariSpeaker, sentences: Sequence[str], mel_spec: MelSpec
    ) -> list[SentenceClip]:
        return [
            write_clip(folder / f"{number}.wav", sentence, speaker.speak(sentence, self.seed), speaker.rate, mel_spec)
            for number, sentence in enumerate(sentences, start=1)
        ]

    def _clone(
        self, recorded: Sequence[SentenceClip], base: Base, settings: CloneSettings, log: Log, folder: Path
    ) -> Voice:
        """Clone from the files as `tts-meta clone` does; a `.txt` file next to each recording is its transcript."""

        def warn(line: str) -> None:
            self.print(f"Warning: {line.replace(str(folder), str(self.out))}")

        with _progress_bar(self.console) as update:

            def report(progress: CloneProgress) -> None:
                update(progress.step, progress.steps)
                log.scalar("cloning/loss", progress.loss, progress.step)
                if progress.held_out is not None:
                    log.scalar("cloning/held_out", progress.held_out, progress.step)

            files = [clip.file for clip in recorded]
            return clone(files, base=base, settings=settings, consent=CONSENT, report=report, warn=warn)


def _write_speeches(folder: Path, speeches: Sequence[Speech], mel_spec: MelSpec) -> list[SentenceClip]:
    return [
        write_clip(folder / f"{number}.wav", sentence, speech.samples, speech.rate, mel_spec)
        for number, (sentence, speech) in enumerate(zip(NEW, speeches, strict=True), start=1)
    ]


def _real_time_factor(speeches: Sequence[Speech]) -> float:
    """Return the seconds of computation per second of speech. The first sentence, which warms up, is included."""
    return sum(sum(speech.timings.values()) for speech in speeches) / sum(speech.seconds for speech in speeches)


@contextmanager
def _progress_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if the output is a terminal, and yield the function that updates the bar.

    The bar is removed when cloning is done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("cloning", total=None)
        yield lambda step, steps: bar.update(task, completed=step, total=steps)

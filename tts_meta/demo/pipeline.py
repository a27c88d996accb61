"""The demo from end to end: record, clone, speak, judge, show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.adapt import CloneProgress, CloneSettings, Voice, clone
from tts_meta.audio import MelSpec
from tts_meta.demo.clips import BASE, CLONE, TRUTH, Take, judge, write_take
from tts_meta.demo.folder import check_replaceable, write_figures
from tts_meta.demo.logs import log_outcome
from tts_meta.demo.page import write_page
from tts_meta.demo.speaker import NEW, RECORDED, REFERENCE, HibariSpeaker
from tts_meta.demo.summary import LOGS, PAGE, VOICE_FILE, Outcome, cloned_lines, next_lines
from tts_meta.errors import printable
from tts_meta.files import atomic_folder, check_writable
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels, load_vocoder
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
    seed: int = 0,
    open_page: bool = False,
    console: Console,
    command: str = "",
) -> Path:
    """Clone a voice never trained on, lay recordings, base voice, clone and truth side by side; return the page's path.

    The folder `out` gets `recordings/`, `references/`, `truth/`, `base/` and `clone/` (WAV, `.txt` beside recordings),
    `demo.voice.safetensors`, `index.html`, `logs/` for TensorBoard and `figures.json`, all at once when all is done,
    in place of what an earlier demo wrote. steps: inner steps, None those of `clone`. base, vocoder: as in `speak`, or
    loaded ones. command: the command line, for the log. Nothing is downloaded. Raises UsageError where `out` holds
    anything but an earlier demo.
    """
    out = Path(out)
    check_replaceable(out)
    check_writable(out / PAGE)
    demo = _Demo(out, console, seed)
    with demo.stage("load"):
        loaded = base if isinstance(base, Base) else load_base(base)
        mel = loaded.config.audio.mel
        voiced = load_vocoder(vocoder, mel=mel) if vocoder is None or isinstance(vocoder, str | Path) else vocoder
        check_mels(voiced, mel)
    settings = CloneSettings(seed=seed) if steps is None else CloneSettings(seed=seed, steps=steps)
    config = loaded.config.audio.mel

    # Resolved: the folder itself is replaced, not a link to it.
    with atomic_folder(out.resolve()) as folder:
        with TensorBoardLog(folder / LOGS, config) as log:
            outcome = demo.play(folder, loaded, voiced, settings, log)
            with demo.stage("show"):
                log_outcome(log, outcome, settings, config, command)
                write_page(folder / PAGE, outcome, config)
        write_figures(folder, outcome.figures(folder, demo.seconds))
        check_replaceable(out)  # again: what was put there meanwhile would be lost

    stages = ", ".join(f"{name} {value:.1f}" for name, value in demo.seconds.items())
    demo.say(f"Seconds: {stages}; {sum(demo.seconds.values()):.0f} in all.")
    demo.say(*next_lines(out, loaded.folder if base is not None else None))
    if open_page:
        import webbrowser

        webbrowser.open((out / PAGE).resolve().as_uri())
    return out / PAGE


class _Demo:
    """A run that tells what it does as it goes; `seconds` by stage."""

    def __init__(self, out: Path, console: Console, seed: int) -> None:
        self.out = out
        self.console = console
        self.seed = seed
        self.seconds: dict[str, float] = {}

    def say(self, *lines: str) -> None:
        """Print lines as they are, never broken, so that paths and commands can be copied."""
        for line in lines:
            self.console.print(printable(line), markup=False, highlight=False, emoji=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began

    def play(self, folder: Path, base: Base, vocoder: Vocoder, settings: CloneSettings, log: Log) -> Outcome:
        """All that is heard and its figures; files go into `folder`, which becomes `out` in the end."""
        mel_spec = MelSpec(base.config.audio.mel)
        with self.stage("record"):
            speaker = HibariSpeaker()
            recorded = self._record(folder / "recordings", speaker, RECORDED, mel_spec)
            for take in recorded:
                take.file.with_suffix(".txt").write_text(take.sentence + "\n", encoding="utf-8")
            truth = self._record(folder / TRUTH, speaker, NEW, mel_spec)
            references = self._record(folder / REFERENCES, speaker, REFERENCE, mel_spec)
        length = sum(take.seconds for take in recorded)
        self.say(f"New speaker: {speaker.name}, which the base was never trained on.")
        self.say(f"Recorded {len(recorded)} sentences of it, {length:.0f} s, in {self.out / 'recordings'}.")

        with self.stage("clone"):
            voice = self._clone(recorded, base, settings, log, folder)
            voice.save(folder / VOICE_FILE)
        self.say(*cloned_lines(voice, self.out / VOICE_FILE, (folder / VOICE_FILE).stat().st_size))

        with self.stage("speak"):
            # From the file, so that what is heard is what the file holds.
            clone_model = Voice.load(folder / VOICE_FILE).apply(base, VOICE_FILE)
            speeches = {
                system: [
                    speak_text(base, model, vocoder, text, options=SynthesisOptions(seed=self.seed)) for text in NEW
                ]
                for system, model in ((BASE, base.acoustic), (CLONE, clone_model))
            }
            spoken = {system: _write_speeches(folder / system, said, mel_spec) for system, said in speeches.items()}
        factor = _real_time_factor([speech for said in speeches.values() for speech in said])
        self.say(f"Spoke {len(NEW)} new sentences in both voices: {factor:.2f} s of work for a second of speech.")
        if vocoder.notice:
            self.say(f"The sound: {vocoder.notice}.")

        with self.stage("judge"):
            rows = judge(references, {TRUTH: truth, **spoken}, mel_spec.config.sample_rate)
        outcome = Outcome(
            speaker.name, base.hash, recorded, references, voice, rows, factor, vocoder.name, vocoder.notice, self.seed
        )
        self.say(*outcome.similarity_lines())
        return outcome

    def _record(self, folder: Path, speaker: HibariSpeaker, sentences: Sequence[str], mel_spec: MelSpec) -> list[Take]:
        return [
            write_take(folder / f"{number}.wav", sentence, speaker.say(sentence, self.seed), speaker.rate, mel_spec)
            for number, sentence in enumerate(sentences, start=1)
        ]

    def _clone(self, recorded: Sequence[Take], base: Base, settings: CloneSettings, log: Log, folder: Path) -> Voice:
        """Clone from the files, as `tts-meta clone` does, transcripts from the `.txt` beside each."""

        def warn(line: str) -> None:
            self.say(f"Warning: {line.replace(str(folder), str(self.out))}")

        with _bar(self.console) as move:

            def report(progress: CloneProgress) -> None:
                move(progress.step, progress.steps)
                log.scalar("cloning/loss", progress.loss, progress.step)
                if progress.held_out is not None:
                    log.scalar("cloning/held_out", progress.held_out, progress.step)

            files = [take.file for take in recorded]
            return clone(files, base=base, settings=settings, consent=CONSENT, report=report, warn=warn)


def _write_speeches(folder: Path, said: Sequence[Speech], mel_spec: MelSpec) -> list[Take]:
    return [
        write_take(folder / f"{number}.wav", sentence, speech.samples, speech.rate, mel_spec)
        for number, (sentence, speech) in enumerate(zip(NEW, said, strict=True), start=1)
    ]


def _real_time_factor(said: Sequence[Speech]) -> float:
    """Seconds of work for a second of speech; the first sentence, which warms up, counts too."""
    return sum(sum(speech.timings.values()) for speech in said) / sum(speech.seconds for speech in said)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere; it is gone when the cloning is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("cloning", total=None)
        yield lambda step, steps: bar.update(task, completed=step, total=steps)

"""German recordings by eSpeak in the layout of Multilingual LibriSpeech, and a miniature recipe for them."""

from __future__ import annotations

from pathlib import Path

import soundfile
from helpers import tiny_config

from recipes.librispeech_mini.alignment_espeak import EspeakSpeaker

SENTENCES = (
    "der alte mann ging langsam durch den verschneiten wald",
    "am morgen schien die sonne wieder über den dächern",
    "das kind spielte mit einem roten ball im garten",
    "wir möchten heute abend gerne zusammen kochen",
    "seine schwester wohnt seit zwei jahren in münchen",
    "die züge fahren im winter oft mit großer verspätung",
    "niemand wusste warum der junge so traurig war",
    "vor dem haus steht ein schöner alter apfelbaum",
)
SPEAKERS = {"101": ("de", "M"), "202": ("de+f2", "F")}


def write_mls_german(folder: Path) -> Path:
    """Write `mls_german` with two speakers of `train`, eight sentences each, and one of `test`; return its folder."""
    corpus = folder / "mls_german"
    rows = [f" {speaker} | {gender} | train | 1.0 | 7 | Titel" for speaker, (_, gender) in SPEAKERS.items()]
    corpus.mkdir(parents=True)
    header = "SPEAKER | GENDER | PARTITION | MINUTES | BOOK ID | TITLE"
    (corpus / "metainfo.txt").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for split, speakers in (("train", SPEAKERS), ("test", {"303": ("de+f4", "F")})):
        lines = []
        for speaker, (voice, _) in speakers.items():
            espeak = EspeakSpeaker(voice)
            for number, text in enumerate(SENTENCES):
                name = f"{speaker}_7_{number:06d}"
                audio = corpus / split / "audio" / speaker / "7" / f"{name}.flac"
                audio.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(audio, espeak.speak(text)[0], espeak.rate)
                lines.append(f"{name}\t{text}")
        (corpus / split / "transcripts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return corpus


def german_recipe(folder: Path) -> dict[str, object]:
    """Return a recipe that pretrains a tiny base on the manifest of `folder` in seconds, without naming a language."""
    base = tiny_config().model_dump(mode="json")
    del base["phonemizer"]
    return {
        "manifest": str(folder / "manifest.jsonl"),
        "output": str(folder / "pretrain"),
        "cache": str(folder / "cache"),
        "base": base,
        "aligner": {"steps": 6, "frames_per_batch": 2000, "learning_rate": 2e-3, "warmup": 2},
        "acoustic": {"steps": 8, "frames_per_batch": 1500, "learning_rate": 2e-3, "warmup": 2},
        "threads": 1,
        "sentences": [],
    }

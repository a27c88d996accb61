"""Measure the effect of `speak --pitch` and `--pitch-range` on F0.

python -m recipes.librispeech_mini.prosody_control [--base FOLDER] [--vocoder NAME]      a few minutes; prints a table

Six voices of the base speak three sentences at each setting. F0 is measured on the waveforms by probabilistic YIN.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.recipe_io import markdown_table
from tts_meta.audio import fundamental_frequency
from tts_meta.cli import run_command
from tts_meta.evaluate.confidence import mean_interval
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder
from tts_meta.synth import speak_text

SENTENCES = (
    "The boy was there when the sun rose.",
    "Did you ask your brother where he left the old map?",
    "Kick the ball straight, and follow through.",
)
SETTINGS = (
    ("as predicted", DEFAULT),
    *((f"--pitch {shift:+d}", SynthesisOptions(pitch=shift)) for shift in (-4, -2, 2, 4)),
    *((f"--pitch-range {factor}", SynthesisOptions(pitch_range=factor)) for factor in (0.0, 0.5, 1.5, 2.0)),
)
VOICES = 6


def pitch_track(
    base: Base, speaker: int, text: str, vocoder: Vocoder, options: SynthesisOptions
) -> NDArray[np.floating]:
    """F0 of the voiced frames of a sentence, in semitones above 1 Hz."""
    speech = speak_text(base, base.acoustic, vocoder, text, speaker=speaker, options=options)
    frequency = fundamental_frequency(speech.samples, base.config.audio.mel)
    return 12 * np.log2(frequency[frequency > 0])


def measure(base: Base, vocoder: Vocoder) -> list[list[str]]:
    """A row for each setting: change of the median F0, and range of F0 in a sentence, in semitones."""
    rows = []
    speaker_indices = [number * len(base.speakers) // VOICES for number in range(VOICES)]
    sentences = [(index, text) for index in speaker_indices for text in SENTENCES]
    names = [base.speakers[index] for index, _ in sentences]
    default_tracks: list[NDArray[np.floating]] = []
    for name, options in SETTINGS:
        tracks = [pitch_track(base, index, text, vocoder, options) for index, text in sentences]
        default_tracks = default_tracks or tracks
        shifts = [np.median(track) - np.median(default) for track, default in zip(tracks, default_tracks, strict=True)]
        # From the 10 % to the 90 % quantile, because F0 from YIN sometimes jumps by an octave.
        ranges = [np.quantile(track, 0.9) - np.quantile(track, 0.1) for track in tracks]
        rows.append([name, *(mean_interval(values, names).shown(1) for values in (shifts, ranges))])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", type=Path, help="folder of a base; default: the shipped one")
    parser.add_argument("--vocoder", help="vocoder, as for `tts-meta speak --vocoder`")
    arguments = parser.parse_args()
    with torch.inference_mode():
        rows = measure(load_base(arguments.base), load_vocoder(arguments.vocoder))
    print(markdown_table(["setting", "median F0, change in semitones", "range of F0 in a sentence, semitones"], rows))


if __name__ == "__main__":
    sys.exit(run_command(main))

"""What `speak --pitch` and `--pitch-range` do to the F0 that is heard, and to nothing else.

python -m recipes.librispeech_mini.control [--base FOLDER] [--vocoder NAME]      a few minutes; a table

Voices of the base say a few sentences at each setting, F0 is that of the waveforms, by probabilistic YIN.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.bench import markdown
from tts_meta.audio import fundamental_frequency
from tts_meta.cli import run_command
from tts_meta.evaluate.confidence import Interval, mean_interval
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


def semitones(base: Base, speaker: int, text: str, vocoder: Vocoder, options: SynthesisOptions) -> NDArray[np.floating]:
    """F0 of the voiced frames of a sentence, semitones over 1 Hz."""
    speech = speak_text(base, base.acoustic, vocoder, text, speaker=speaker, options=options)
    frequency = fundamental_frequency(speech.samples, base.config.audio.mel)
    return 12 * np.log2(frequency[frequency > 0])


def shown(interval: Interval) -> str:
    """A mean and its interval."""
    return interval.shown(1)


def control(base: Base, vocoder: Vocoder) -> list[list[str]]:
    """A row for each setting: how much higher than as predicted, and how wide the melody is, semitones."""
    rows = []
    places = [number * len(base.speakers) // VOICES for number in range(VOICES)]
    said = [(place, text) for place in places for text in SENTENCES]
    names = [base.speakers[place] for place, _ in said]
    plain: list[NDArray[np.floating]] = []
    for name, options in SETTINGS:
        tracks = [semitones(base, place, text, vocoder, options) for place, text in said]
        plain = plain or tracks
        higher = [np.median(one) - np.median(other) for one, other in zip(tracks, plain, strict=True)]
        # Ten to ninety per cent: F0 by YIN jumps by octaves now and then.
        wide = [np.quantile(one, 0.9) - np.quantile(one, 0.1) for one in tracks]
        rows.append([name, shown(mean_interval(higher, names)), shown(mean_interval(wide, names))])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", type=Path, help="folder of a base; the shipped one if not given")
    parser.add_argument("--vocoder", help="as `speak --vocoder`")
    arguments = parser.parse_args()
    with torch.inference_mode():
        rows = control(load_base(arguments.base), load_vocoder(arguments.vocoder))
    print(markdown(["setting", "higher, semitones", "from low to high in a sentence, semitones"], rows))


if __name__ == "__main__":
    sys.exit(run_command(main))

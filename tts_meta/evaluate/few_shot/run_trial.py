"""Runs one trial of the few-shot benchmark: makes the voice, scores it, and keeps both in the cache folder.

The name of the folder of a voice is a hash of everything that the voice depends on (`voice_key`). The folder contains
`voice.safetensors`, and `made.json` with the costs of the voice. The folder has a subfolder for each way to score the
voice. The name of a subfolder is a hash of everything that the scores depend on (`scoring_key`). The subfolder contains
`scores.jsonl`, an audio file of each scored sentence, and `trial.json`. A run computes only what is missing. A voice is
made only once, even if it speaks other sentences or is scored by other metrics.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from tts_meta.adapt import Voice, clone_examples
from tts_meta.errors import UsageError
from tts_meta.evaluate.few_shot.nll import nll_per_frame
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.few_shot.trial_keys import scoring_key, voice_key
from tts_meta.evaluate.few_shot.trials import TRIAL_FILE, VOICE_FILE, Trial, key_of_folder
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.score_files import read_scores, write_scores
from tts_meta.evaluate.scores import NLL, Scores
from tts_meta.files import atomic_file
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base

_COSTS_FILE = "made.json"
"""File in the folder of a voice. This file is written last."""


def trial_folder(method: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None) -> Path:
    """Return the folder of a trial in the cache folder. The trial is complete if this folder contains `TRIAL_FILE`."""
    return data.folder / "voices" / voice_key(method, base, data, sentences, steps) / scoring_key(data)


def is_missing(folder: Path, data: SpeakerData) -> bool:
    """Return whether the trial with this folder must be computed."""
    return not (folder / TRIAL_FILE).exists() and key_of_folder(folder) not in data.cached_results


def run_trial(
    name: str, method: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None
) -> Trial:
    """Return the trial from the cache folder or from `cached_results`, or else compute it.

    Raises the errors of cloning.
    """
    folder = trial_folder(method, base, data, sentences, steps)
    voice_folder = folder.parent
    if not (folder / TRIAL_FILE).exists():
        if key_of_folder(folder) in data.cached_results:
            return replace(data.cached_results[key_of_folder(folder)], folder=folder).renamed(name, sentences, steps)
        if not (voice_folder / _COSTS_FILE).exists():
            _make_voice(method, base, data, sentences, steps, voice_folder)
            data.computed.add(voice_folder)
        _score_voice(base, data, voice_folder / VOICE_FILE, folder)
        data.computed.add(folder)
    costs = json.loads((voice_folder / _COSTS_FILE).read_text(encoding="utf-8"))
    record = json.loads((folder / TRIAL_FILE).read_text(encoding="utf-8"))
    trial = Trial(
        name,
        data.speaker,
        sentences,
        steps,
        costs["done"],
        folder,
        costs["parameters"],
        costs["bytes"],
        costs["cpu_seconds"],
        tuple(read_scores(folder / "scores.jsonl")),
        np.array(record["embeddings"], np.float32),
        "this run" if {voice_folder, folder} <= data.computed else "cache",
        np.array(record.get("ecapa_embeddings", []), np.float32),
    )
    return trial.renamed(name, sentences, steps)


def _make_voice(
    method: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None, folder: Path
) -> None:
    """Make the voice, and write it with its costs into the folder."""
    path, choice = folder / VOICE_FILE, method.choice(base)
    examples = data.align(base, data.adapt_on[:sentences])
    settings = method.clone_settings(base, steps, data.frames_per_step, data.seed)
    trained_tasks = None
    if "trained_tasks" in choice.learner_class.needs and data.training_speakers is not None:
        trained_tasks = data.training_speakers.trained_tasks  # computed before the time is measured
    start = time.process_time()
    voice = clone_examples(base, examples, settings, vocoder=data.vocoder, trained_tasks=trained_tasks)
    seconds = time.process_time() - start
    if steps is None and "stopped" not in voice.scores:
        raise UsageError(
            f"learner '{choice.name}' does not stop automatically with these settings; leave out auto_stop"
        )
    voice.save(path)
    costs = {"done": voice.steps, "parameters": 0, "bytes": 0, "cpu_seconds": seconds}
    if voice.deltas:  # the mean voice of the base needs no file
        parameters = sum(delta.numel() for delta in voice.deltas.values())
        costs |= {"parameters": parameters, "bytes": path.stat().st_size}
    with atomic_file(folder / _COSTS_FILE) as temporary:
        temporary.write_text(json.dumps(costs), encoding="utf-8")


def _score_voice(base: Base, data: SpeakerData, path: Path, folder: Path) -> None:
    """Write the audio and the scores of the scored sentences, with their likelihood, into the folder."""
    voice = Voice.load(path)
    model = voice.apply(base)
    audio = {"": (model, voice.apply_vocoder(data.vocoder))}
    spoken = [sentence for sentence in data.score(base, audio) if not sentence.system]
    write_scores(folder / "scores.jsonl", _with_nll(base, model, data, [sentence.scores for sentence in spoken]))
    for index, sentence in enumerate(spoken):
        with atomic_file(folder / f"{index}.flac") as temporary:
            soundfile.write(temporary, sentence.samples, sentence.rate, format="FLAC")
    by_encoder = {"embeddings": data.embed(spoken), "ecapa_embeddings": data.embed_ecapa(spoken)}
    record = {name: [np.round(row, 5).tolist() for row in rows] for name, rows in by_encoder.items()}
    with atomic_file(folder / TRIAL_FILE) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")


def _with_nll(base: Base, model: AcousticModel, data: SpeakerData, rows: Sequence[Scores]) -> list[Scores]:
    """Return the scores of the scored sentences with the likelihood of their recordings, where there is one."""
    recorded = [number for number, utterance in enumerate(data.score_on) if utterance.has_audio]
    examples = data.align(base, [data.score_on[number] for number in recorded]) if recorded else []
    nll = dict(zip(recorded, nll_per_frame(base, model, examples), strict=True))
    return [
        replace(row, measures={**row.measures, NLL.name: nll[number]}) if number in nll else row
        for number, row in enumerate(rows)
    ]

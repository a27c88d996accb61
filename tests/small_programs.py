"""Miniature runs of the recipes' programs: a small corpus, a tiny base, and the changes that make a program small.

`SMALL` has a function for each program that no other test runs. The function changes constants of the module, and
returns arguments that follow those of the documented command.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from discovery_runs import small_settings, write_effects, write_runs
from documentation import ROOT
from helpers import RATE, tiny_base, tiny_source_filter, tone_sentence, tone_speech
from small_alignment import EvenSphinx
from small_scale import small_measurements
from small_slicing import small_slicing
from small_verifier import small_verification, small_verifier
from toy_domains import own_settings

from data_prep import prepare
from recipes.meta_cost.densities import student_t
from tts_meta.adapt import adaptable_modules, adaptable_vocoder_modules
from tts_meta.audio import write_wav
from tts_meta.config import load_config
from tts_meta.evaluate.cloning import CloningBenchmark
from tts_meta.meta import LEARNERS
from tts_meta.models.densities import HYPERBOLIC_SECANT
from tts_meta.models.pretrained import load_base, save_base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import save_source_filter

SPEAKERS = {"ls1580": "train", "ls7021": "train", "ls4992": "train", "ls1284": "eval", "ls4970": "eval"}
NOISY = {"ls1221": "train_noisy"}
COLUMNS = ("split", "speaker", "gender", "source", "utterance", "file", "seconds", "sample_rate")
COLUMNS += ("text", "text_punctuated")
BASE_READERS = ("tts_meta.models.pretrained.shipped_base", "tts_meta.synth.synthesizer.shipped_base")
Small = Callable[[ModuleType, pytest.MonkeyPatch], Sequence[str]]


def write_place(folder: Path) -> Path:
    """Write the folders that the commands use, `shared/corpus` and `repository`; return the second one.

    The corpus has the speakers and splits that the recipes name, eight recordings of tones each. `repository` has
    the recipes, the manifest, a tiny base, and a tiny vocoder with a prior.
    """
    corpus, work = folder / "shared" / "corpus", folder / "repository"
    rows = []
    for number, (speaker, split) in enumerate([*(SPEAKERS | NOISY).items()] * 8):
        text, name = tone_sentence(number, 8), f"{speaker}/{number}.wav"
        samples, _ = tone_speech(text, number, pitch=1 + 0.1 * (number % 5))
        (corpus / speaker).mkdir(parents=True, exist_ok=True)
        write_wav(corpus / name, samples, RATE)
        source, seconds = "LibriSpeech test-clean", f"{len(samples) / RATE:.2f}"
        rows.append([split, speaker, "F", source, str(number), name, seconds, str(RATE), text.upper(), text])
    with open(corpus / "manifest.tsv", "w", newline="", encoding="utf-8") as out:
        csv.writer(out, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None).writerows([COLUMNS, *rows])
    prepare("librispeech-mini", corpus, work / "runs" / "librispeech_mini")
    shutil.copytree(ROOT / "recipes", work / "recipes")
    save_models(work / "base", work / "runs" / "librispeech_mini" / "meta_vocoder" / "vocoder")
    return work


def save_models(base_folder: Path, vocoder_folder: Path) -> None:
    """Save a tiny base and a tiny vocoder, each with a prior."""
    save_base(tiny_base(), base_folder)
    base, vocoder = load_base(base_folder), tiny_source_filter()
    variances = {name: 1e-4 / number for number, name in enumerate(adaptable_modules(base).names, 1)}
    save_base(base.with_prior(ModulePrior(variances)), base_folder)
    names = adaptable_vocoder_modules(SourceFilterVocoder(vocoder)).names
    vocoder.learner = SavedLearner.of_prior(ModulePrior(dict.fromkeys(names, 1e-4)), "vocoder", "")
    save_source_filter(vocoder, vocoder_folder, {})


def _set(changes: Mapping[str, object]) -> list[str]:
    return [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]


def _few_shot(learner: str, speakers: str = "[ls1580]", split: str = "train") -> Small:
    changes = {"split": split, "speakers": speakers, "score_on": 1, "metrics": "[similarity]", "sentences": "[1]"}
    changes |= {"vocoder": "griffin-lim", "support_pool": "null", "learners": f"{{voice: {learner}}}"}
    return lambda program, patch: _set(changes)


def _prune(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    few_shot = _few_shot('{modules: ["*"], steps: [1]}')(program, patch)
    return [*few_shot, "--set", "base=base", "--keep", "1", "--keep-others", "1"]


def _effects(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    write_runs(Path("base"))
    patch.setattr(program, "MATTERS", -1e3)  # every module matters
    return small_settings("base")


def _objective(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    write_runs(Path("base"))
    return [*small_settings("base"), "--values", "0.01", "0.1"]


def _convergence(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    write_effects(Path("runs/effects.jsonl"), write_runs(Path("base")))
    return ["--output", "runs"]


def _cost(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    for name, value in {"FRAMES": 80, "SENTENCE": 40, "SPEAKERS": 2}.items():
        patch.setattr(program, name, value)
    return ["--steps", "1"]


def _of_tables(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    """The program writes into its own folder: use the copy of the folder. The tables show the shipped base."""
    patch.setattr(program, "FOLDER", Path("recipes/few_shot").resolve())
    for name in BASE_READERS:
        patch.setattr(name, lambda: ROOT / "checkpoints" / "base")
    return []


def _clone_speed(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    Path("../old/tts_meta").mkdir(parents=True, exist_ok=True)  # each process is a call with the current source code
    _in_this_process(program, patch)
    return ["--speakers", "ls1580", "--sentences", "2", "--unseen", "1", "--seeds", "1"]


def _alignment(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    patch.setattr(program, "PocketsphinxAligner", EvenSphinx)
    patch.setattr(program.tables, "_MIN_COUNT", 1)
    patch.setattr(program, "HELD_OUT", ("ls1580",))
    return []


def _vocoders(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    def load_small(path: Path, section: type[CloningBenchmark], changes: Sequence[str] = ()) -> CloningBenchmark:
        config = load_config(path, section, changes)
        small = {"speakers": config.speakers[:2], "score_on": 1, "adapt_on": 1}
        return config.model_copy(update=small | ({"training_speakers": 1} if config.training_speakers else {}))

    patch.setattr(program, "load_config", load_small)
    patch.setattr(program, "METRICS", ("mcd",))
    patch.setattr(program, "VOCODERS", ("light", "runs/librispeech_mini/meta_vocoder/vocoder"))
    return []


def _in_this_process(program: ModuleType, patch: pytest.MonkeyPatch) -> None:
    """Run the processes of the same program as calls of its `main`, one after the other."""
    lock = threading.Lock()  # the arguments and the output belong to the whole process

    def run_here(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        with lock, pytest.MonkeyPatch.context() as call, redirect_stdout(io.StringIO()) as out:
            first = next(number for number, word in enumerate(command) if word in ("--one", "--probe", "--worker"))
            call.setattr(sys, "argv", [command[first - 1], *command[first:]])
            try:
                program.main()
            except ImportError as error:
                return subprocess.CompletedProcess(command, 1, "", f"{error}\n")
        return subprocess.CompletedProcess(command, 0, out.getvalue(), "")

    patch.setattr(program.subprocess, "run", run_here)


def _speed(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    rows = {name: program.ROWS[name] for name in ("light", "speechbrain")}
    constants = {"ROWS": rows, "REPEATS": 1, "SENTENCES": {"short": "Bad.", "long": "Bad cafe, each a bed."}}
    for name, value in constants.items():
        patch.setattr(program, name, value)
    _in_this_process(program, patch)
    return []


def _meta_cost(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    constants = {"WIDTH": 8, "POINTS": 6, "ROUNDS": 3, "TASKS": 2, "SHAPES": ((8, 6),), "COUNTS": (1, 3)}
    constants |= {"MEMORY_STEPS": (1, 2), "MEMORY": {name: program.MEMORY[name] for name in ("maml", "torchopt")}}
    for name, value in constants.items():
        patch.setattr(program, name, value)
    _in_this_process(program, patch)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        patch.setenv(name, str(value))
    return []


def _speech_tasks(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    small = {"ROUNDS": 1, "SENTENCES": 8, "UTTERANCES": 25_000, "LEARNERS": {"fomaml": {"inner_lr": 1e-6}}}
    for name, value in small.items():
        patch.setattr(program, name, value)
    return []


def _curvature(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    products = {"difference": (1,), "gauss-newton": (1,)}
    for name, value in {"STEPS": 2, "MOST": 2, "PROBES": 1, "PRODUCTS": products}.items():
        patch.setattr(program, name, value)
    return []


def _likelihoods(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    patch.setattr(program, "MOST", 2)
    patch.setattr(program, "compared_densities", lambda: [HYPERBOLIC_SECANT, student_t(3)])
    small = {"speakers": "[ls1580, ls7021]", "score_on": 1, "adapt_on": 1, "systems": 1, "metrics": "[similarity]"}
    return _set(small | {"vocoder": "griffin-lim", "output": "runs/likelihoods"})


def _vocoder_adaptation(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    small = {"split": "train", "speakers": "[ls1580, ls7021]", "score_on": 1, "adapt_on": 1}
    small["manifest"] = "runs/librispeech_mini/manifest.jsonl"
    return ["--steps", "1", "--draws", "2", *_set(small)]


def _scale_measure(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    _in_this_process(program, patch)
    return small_measurements(program, patch)


def _memory(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    patch.setattr(program, "sentences", lambda count: [tone_sentence(number) for number in range(count)])
    patch.setattr(program, "WARM_UP", 2)
    patch.setattr(program, "LIMIT", 1.0)
    return ["--sentences", "4"]


def _few_learners(names: Sequence[str], *changes: str) -> Small:
    """A toy recipe with a few short runs, in this process."""

    def small(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
        patch.setattr(program, "run_in_processes", lambda work, jobs: ((job, work(job)) for job in jobs))
        learners = {}
        for name in names:
            settings = own_settings(LEARNERS[name].Settings, {"inner_steps": 2, "variance": 0.01})
            learners[name] = {"pretrain_steps": 2, "meta_steps": 2, "tasks": 2, "settings": settings}
        return [*changes, f"learners={json.dumps(learners)}"]

    return small


def _fuzzing(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    return ["--inputs", "1"]


SMALL: dict[str, Small] = {
    "recipes/discovery/convergence.py": _convergence,
    "recipes/discovery/effects.py": _effects,
    "recipes/discovery/objective.py": _objective,
    "recipes/few_shot/clone_speed.py": _clone_speed,
    "recipes/few_shot/cost.py": _cost,
    "recipes/few_shot/figures.py": _of_tables,
    "recipes/few_shot/forecast.py": _few_shot(
        "{steps: [1]}", "[ls1580, ls7021, ls4992, ls1221]", "[train, train_noisy]"
    ),
    "recipes/few_shot/overfitting.py": _few_shot("{modules: [speaker.mean], variance: 1.0, steps: [1]}"),
    "recipes/few_shot/prune.py": _prune,
    "recipes/few_shot/tables.py": _of_tables,
    "recipes/librispeech_mini/alignment.py": _alignment,
    "recipes/librispeech_mini/recording_faults.py": lambda program, patch: [
        *("--ordinary", "3", "--faulty", "1", "--pairs", "2")
    ],
    "recipes/librispeech_mini/slicing.py": small_slicing,
    "recipes/librispeech_mini/speed.py": _speed,
    "recipes/librispeech_mini/vocoder_adaptation.py": _vocoder_adaptation,
    "recipes/librispeech_mini/vocoders.py": _vocoders,
    "recipes/linear_gaussian/__main__.py": _few_learners(["sigma-imaml", "sigma-maml"], "seeds=2"),
    "recipes/memory.py": _memory,
    "recipes/meta_cost/cost.py": _meta_cost,
    "recipes/meta_cost/curvature.py": _curvature,
    "recipes/meta_cost/likelihoods.py": _likelihoods,
    "recipes/meta_cost/speech_tasks.py": _speech_tasks,
    "recipes/one_module/__main__.py": _few_learners(["sigma-imaml", "maml"], "test_tasks=4", "test_steps=[0, 3]"),
    "recipes/scale_account.py": lambda program, patch: [],
    "recipes/scale_measure.py": _scale_measure,
    "recipes/speaker_verification/train.py": lambda program, patch: _set(small_verifier("[ls1580, ls7021]")),
    "recipes/speaker_verification/verification.py": lambda program, patch: _set(small_verification()),
    "tests/fuzzing.py": _fuzzing,
}

TESTED = {
    "recipes/librispeech_mini/prosody_control.py": "test_prosody_control_recipe.py",
    "recipes/librispeech_mini/throughput.py": "test_throughput_recipe.py",
    "recipes/scale/__main__.py": "test_recipe_scale.py",
    "recipes/scale/same_bytes.py": "test_recipe_scale.py",
    "recipes/scale/stages.py": "test_recipe_scale.py",
    "recipes/scale/two_processes.py": "test_recipe_two_processes.py",
    "recipes/sinusoid/__main__.py": "test_recipe_sinusoid.py",
}
"""Programs whose `main` another test file runs at miniature size."""

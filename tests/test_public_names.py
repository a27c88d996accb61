from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tts_meta

PUBLIC = {
    "tts_meta": {"SynthesisOptions", "Speech", "Synthesizer", "TtsMetaError", "UsageError", "Voice", "clone", "speak"},
    "tts_meta.text": {
        "BOUNDARIES",
        "HibariPhonemizer",
        "Lexicon",
        "Phonemizer",
        "SymbolKinds",
        "SymbolTable",
        "Utterance",
        "load_phonemizer",
        "normalize",
        "phoneme_utterances",
        "split_symbols",
        "utterances",
    },
    "tts_meta.audio": {
        "FeatureCache",
        "MelSpec",
        "fundamental_frequency",
        "load_speech",
        "prepare_waveform",
        "read_audio",
        "write_audio",
        "write_wav",
    },
    "tts_meta.corpus": {
        "AUDIO_SUFFIXES",
        "SPEED_MARK",
        "Batch",
        "Episode",
        "EpisodeSampler",
        "Example",
        "Manifest",
        "Matches",
        "Transcript",
        "Utterance",
        "bucket_batches",
        "collate",
        "find_sidecar",
        "group_by_length",
        "hold_out_named",
        "hold_out_speakers",
        "match_transcripts",
        "name_stem",
        "read_transcripts",
        "unperturbed_name",
        "to_nfc",
    },
    "tts_meta.meta": {
        "LEARNERS",
        "AdaptProgress",
        "Adam",
        "Adapted",
        "Budget",
        "ConjugateGradient",
        "Diverged",
        "GradientDescent",
        "Implicit",
        "Items",
        "JointTraining",
        "Likelihood",
        "LinearHead",
        "ParameterGroup",
        "ParameterLayout",
        "GradientLearner",
        "HeadData",
        "MetaGradient",
        "MetaLearner",
        "MetaParams",
        "MetaStepMetrics",
        "Neumann",
        "Outcome",
        "Outputs",
        "Params",
        "Domain",
        "Reptile",
        "ShrinkagePrior",
        "ShrinkageReptile",
        "Solution",
        "StepSizeSchedule",
        "Task",
        "Trace",
        "TrainedTasks",
        "TrainerSettings",
        "MetaTrainer",
        "Unrolled",
        "create_learner",
        "find_learner",
        "register",
        "run_inner_loop",
    },
    "tts_meta.adapt": {
        "CloneProgress",
        "CloneSettings",
        "SimilarityForecast",
        "Recording",
        "Lora",
        "AcousticTask",
        "VocoderTask",
        "Voice",
        "acoustic_nll",
        "adaptable_modules",
        "adaptable_vocoder_modules",
        "prepare_recordings",
        "chosen_modules",
        "clone",
        "clone_examples",
        "find_transcripts",
        "vocoder_nll",
    },
    "tts_meta.synth": {"Speech", "Synthesizer", "speak", "speak_text", "stream_text"},
    "tts_meta.train": {"load_checkpoint", "pretrain", "save_checkpoint"},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_match_the_list(module: str) -> None:
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) == PUBLIC[module]
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tts_meta' has no attribute 'cloen'"):
        tts_meta.cloen  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, tts_meta; print([name for name in ('torch', 'numpy', 'soundfile') if name in sys.modules])"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""Voice files: precision, application to a base, and refusal of damaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import full_disk
from helpers import same_weights, tiny_base
from safetensors.torch import save_file

from tts_meta.adapt import Voice
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base, save_base


@pytest.fixture
def voice(base: Base) -> Voice:
    """Small random deltas of two modules."""
    generator = torch.Generator().manual_seed(0)
    params = dict(base.acoustic.named_parameters())
    names = ["speaker.mean", "decoder.output.weight", "decoder.output.bias"]
    deltas = {name: 0.01 * torch.randn(params[name].shape, generator=generator) for name in names}
    modules = ("speaker.mean", "decoder.output")
    return Voice(
        deltas, base.hash, modules, 200, "Ann agreed, 1 May — “for tests”", {"held_out_after": 1.5, "sentences": 4}
    )


def test_a_voice_reads_back_vectors_in_half_precision_and_matrices_in_three_bits(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "ann.voice.safetensors"
    voice.save(path)
    loaded = Voice.load(path)
    assert replace(loaded, deltas={}) == replace(voice, deltas={})
    assert loaded.deltas.keys() == voice.deltas.keys()
    for name, delta in voice.deltas.items():
        assert loaded.deltas[name].dtype == torch.float32
        if delta.ndim == 1:
            assert torch.equal(loaded.deltas[name], delta.half().float())
        else:
            # Eight equal intervals over a normal density leave 3.7 % of the variance (Max 1960, table II).
            assert float((loaded.deltas[name] - delta).square().sum() / delta.square().sum()) < 0.05
            assert len(loaded.deltas[name][0].unique()) <= 8
    assert path.stat().st_size < 0.4 * sum(delta.numel() for delta in voice.deltas.values()) + 3000


def test_a_voice_of_format_1_is_read(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "old.voice.safetensors"
    header = {"kind": "tts_meta voice", "format": "1", "base": "x", "modules": "[]", "steps": "1", "consent": ""}
    save_file({name: delta.half() for name, delta in voice.deltas.items()}, path, header | {"scores": "{}"})
    loaded = Voice.load(path)
    assert all(torch.equal(loaded.deltas[name], delta.half().float()) for name, delta in voice.deltas.items())


def test_a_voice_changes_only_the_parameters_it_names(voice: Voice, base: Base) -> None:
    before = {name: value.clone() for name, value in base.acoustic.state_dict().items()}
    model = voice.apply(base)
    for name, value in model.state_dict().items():
        if name in voice.deltas:
            torch.testing.assert_close(value, before[name] + voice.deltas[name])
        else:
            assert torch.equal(value, before[name])
    assert same_weights(base.acoustic.state_dict(), before), "the base stays as it is"


def test_a_saved_voice_speaks_like_the_original(voice: Voice, base: Base, tmp_path: Path) -> None:
    voice.save(tmp_path / "a")
    tokens = base.symbols.encode("abc de.")
    durations = torch.full_like(tokens, 3)
    models = (voice.apply(base), Voice.load(tmp_path / "a").apply(base), base.acoustic)
    original, saved, unadapted = (model.generate(tokens, durations=durations) for model in models)
    assert float((original - saved).norm()) < 0.3 * float((original - unadapted).norm())


def test_a_voice_for_another_base_is_refused_by_name(voice: Voice, tmp_path: Path) -> None:
    other = tiny_base(seed=1)
    save_base(other, tmp_path / "base")
    with pytest.raises(TtsMetaError) as error:
        voice.apply(other, "ann.voice.safetensors")
    message = str(error.value)
    assert message.startswith(f"ann.voice.safetensors was cloned with base {voice.base_hash[:12]}")
    assert other.hash[:12] in message and "\n" not in message


@pytest.mark.parametrize("change", [{"decoder.output.bias": torch.zeros(3)}, {"decoder.none": torch.zeros(3)}])
def test_deltas_that_do_not_fit_are_named(voice: Voice, base: Base, change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(TtsMetaError, match=f"does not fit the base: {next(iter(change))}"):
        replace(voice, deltas=voice.deltas | change).apply(base)


def test_the_error_for_a_missing_voice_states_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match=r"no such voice; make one with `tts-meta clone AUDIO\.\.\. -o .*none`"):
        Voice.load(tmp_path / "none")


@pytest.mark.parametrize("keep", [0, 4, 50, 500, -1])
def test_a_voice_file_cut_short_is_refused(voice: Voice, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.voice.safetensors"
    voice.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TtsMetaError, match=r"a\.voice\.safetensors: damaged"):
        Voice.load(path)


def test_a_file_of_other_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.voice.safetensors"
    for header in (None, {"kind": "tts_meta voice"}, {"kind": "tts_meta voice", "format": "9"}):
        save_file({"speaker.mean": torch.zeros(6)}, path, header)
        with pytest.raises(TtsMetaError, match="not a voice file of format 2"):
            Voice.load(path)


def test_a_damaged_header_is_one_line(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "a.voice.safetensors"
    good = {
        "kind": "tts_meta voice",
        "format": "2",
        "packed": "{}",
        "base": "x",
        "modules": "[]",
        "steps": "1",
        "consent": "",
        "scores": "{}",
    }
    changes = ({"steps": "many"}, {"modules": "["}, {"scores": None}, {"base": None}, {"packed": None})
    for change in (*changes, {"packed": '{"speaker.mean": [6]}'}, {"packed": '{"none": [2, 3]}'}):
        header = {key: value for key, value in (good | change).items() if value is not None}
        save_file({"speaker.mean": torch.zeros(6)}, path, header)
        with pytest.raises(TtsMetaError, match="damaged"):
            Voice.load(path)


def test_a_full_disk_leaves_the_old_voice(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "a.voice.safetensors"
    voice.save(path)
    content = path.read_bytes()
    with pytest.raises(TtsMetaError, match=r"cannot write .*File too large"), full_disk(1000):
        replace(voice, steps=9).save(path)
    assert path.read_bytes() == content and [entry.name for entry in tmp_path.iterdir()] == [path.name]

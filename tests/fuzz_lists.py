"""Fuzz targets: transcript lists, manifests, folders of recordings and entries of the feature cache."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import torch
from corpora import write_audio
from damage import damaged_bytes
from fuzzing import Target
from hypothesis import strategies as st

from data_prep import DROPPED_FILE, prepare
from tts_meta.audio import FeatureCache
from tts_meta.audio.trimming import AudioConfig
from tts_meta.corpus import (
    Manifest,
    Transcript,
    find_sidecar,
    match_transcripts,
    name_stem,
    read_transcripts,
)
from tts_meta.corpus.text_file import read_text_file

PIECES = [
    *("|", "||", "\t", ",", ";", '"', '""', "\n", "\r\n", "\r", "\u2028", "\x85", "\0", "\x1b[31m", " ", "\ufeff"),
    *(
        "a.wav",
        "b",
        "wavs/a.wav",
        "../c/a.wav",
        "/home/x/a.wav",
        "C:\\x\\a.wav",
        "A.WAV",
        "d",
        "d.mp3",
        "e\u0301.wav",
        "é",
    ),
    *("audio_file", "text", "speaker_name", "path", "sentence", "id", "normalized_text", "language"),
    *("Hello there, you.", "1846", "eighteen", "anna", "en", "", "NaN", "x" * 300, "..", ".", "~", "ﷺ", "\U0010ffff"),
    *('{"audio": "a.wav", "text": "Hi."}', "{", "}", "[1]", '"\\ud800"', "null", "1e999", "{" * 50),
]
FORMS = (
    "a.wav|One.\nb|Two.\n",
    "id|text\na|One.\n",
    "a|One|One\nb|Two|\n",
    "a,b\n",
    '{"audio": "a.wav", "text": "Hi."}\n',
)


@st.composite
def damaged(draw: st.DrawFn, valid: bytes, pieces: list[bytes]) -> bytes:
    """Bytes with up to two faults: a part is cut, repeated, or replaced by a hostile piece."""
    content = valid
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        new = draw(
            st.one_of(st.sampled_from(pieces), st.binary(max_size=4), st.just(content[start:] + content[start:]))
        )
        content = content[:start] + new + content[end:]
    return content


_FIELDS = [
    "a.wav",
    "b",
    "wavs/b",
    "d",
    "/home/x/d.wav",
    "x/d.WAV",
    "One.",
    "Two, three.",
    "1846",
    "anna",
    "en",
    "\x1b",
    "\u2028",
]
LINES = st.tuples(
    st.sampled_from(["|", "\t", ","]),
    st.lists(st.lists(st.sampled_from(_FIELDS), min_size=2, max_size=2), min_size=1, max_size=6),
).map(lambda drawn: "\n".join(drawn[0].join(fields) for fields in drawn[1]).encode())
LISTS = st.one_of(
    LINES,
    st.lists(st.sampled_from(PIECES), max_size=24).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")),
    st.sampled_from(FORMS).flatmap(lambda form: damaged(form.encode(), [piece.encode() for piece in PIECES])),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: "".join(parts).encode("utf-16", "surrogatepass")),
)


def read_list(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(content)
        entries = read_transcripts(path)
        text = read_text_file(path)
    assert entries and all(entry.name for entry in entries)
    assert [entry.line for entry in entries] == sorted({entry.line for entry in entries})
    unquoted = text.replace('""', '"')
    if not text.lstrip().startswith("{"):
        assert all(entry.text in text or entry.text in unquoted for entry in entries), (
            "the text of an entry is not in the list"
        )


@dataclass(frozen=True)
class Rendered:
    """A list in one form, and its entries."""

    content: str
    entries: list[tuple[str, str]]


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0|\t"), min_size=1, max_size=30)
_NAMES = st.text("abcé_- .", min_size=1, max_size=8).map(str.strip).filter(lambda name: name.strip(". "))


@st.composite
def rendered(draw: st.DrawFn) -> Rendered:
    """A list whose form is clear from its header or its keys, with any texts that fit on a line."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    texts = [draw(_TEXTS.map(str.strip).filter(bool)) for _ in names]
    entries = list(zip(names, texts, strict=True))
    form = draw(st.sampled_from(["|", "speaker", "json", "csv"]))
    if form == "json":
        lines = [json.dumps({"audio": name, "text": text}) for name, text in entries]
    elif form == "csv":
        quoted = [(name, text.replace('"', '""')) for name, text in entries]
        lines = ["file,text", *(f'"{name}","{text}"' for name, text in quoted)]
    elif form == "speaker":
        lines = ["speaker|audio_file|text", *(f"anna|{name}|{text}" for name, text in entries)]
    else:
        lines = ["audio_file|text", *(f"{name}|{text}" for name, text in entries)]
    return Rendered(draw(st.sampled_from(["", "\ufeff"])) + draw(st.sampled_from(["\n", "\r\n"])).join(lines), entries)


def read_rendered(value: Rendered) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(value.content.encode())
        read = [(entry.name, entry.text) for entry in read_transcripts(path)]
    assert read == value.entries, f"{read} is not what the list says"


_PATHS = st.lists(
    st.sampled_from(["a", "b", "A", "é", "e\u0301", "..", ".", "~", "C:", ""]), min_size=1, max_size=4
).flatmap(
    lambda parts: st.sampled_from(["", ".wav", ".WAV", ".mp3", ".x"]).map(lambda suffix: "/".join(parts) + suffix)
)


def match_names(value: tuple[list[str], list[str], bool]) -> None:
    names, audio, loose = value
    lines = [Transcript(number, name or "a", f"Text {number}.") for number, name in enumerate(names, 1)]
    paths = [Path("/c") / name.strip("/") for name in audio]
    matches = match_transcripts(lines, paths, Path("/c/list.txt"), [Path("/c")], loose)
    listed = [entry.line for entry in matches.entry_of.values()]
    listed += [*matches.repeated, *matches.ambiguous, *(entry.line for entry in matches.missing)]
    assert set(listed) == {entry.line for entry in lines}, "an entry is lost"
    for path, entry in matches.entry_of.items():
        ends = [
            unicodedata.normalize("NFC", Path(path_text).name).casefold() for path_text in (path.as_posix(), entry.name)
        ]
        assert ".." in path.parts or ".." in entry.name or name_stem(ends[0]) == name_stem(ends[1]), (
            f"{entry} is not {path}"
        )


_UTTERANCE = {"id": "a/1", "speaker": "a", "audio": "../c/1.wav", "seconds": 1.25, "text": "Hello.", "split": "train"}
_JSON = [
    "NaN",
    "-1",
    "1e999",
    "0",
    "true",
    "null",
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '"../.."',
    "[[",
    "{}",
    "9" * 5000,
    "\n",
    "\r",
]
_WORDS = st.sampled_from(
    ["a", "b", "a/1", "é", "a@0.9", "..", "/a", "", " ", "a\n", "\u2028", "x" * 2000, "\x7f"]
) | st.text(max_size=6)
_FAULTS = st.dictionaries(st.sampled_from(["id", "speaker", "audio", "text", "split", "phonemes"]), _WORDS, max_size=2)
RECORDS = st.lists(_FAULTS | st.fixed_dictionaries({"seconds": st.floats()}), min_size=1, max_size=3).map(
    lambda faults: "".join(
        json.dumps(_UTTERANCE | {"id": f"a/{number}"} | fault) + "\n" for number, fault in enumerate(faults)
    ).encode()
)
_GOOD = "".join(json.dumps(_UTTERANCE | {"id": f"a/{number}"}) + "\n" for number in range(3))
MANIFESTS = RECORDS | damaged(_GOOD.encode(), [piece.encode() for piece in _JSON])


def load_manifest(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "manifest.jsonl"
        path.write_bytes(content)
        manifest = Manifest.load(path)
        assert len({utterance.id for utterance in manifest}) == len(manifest) > 0
        assert all(0 < item.seconds <= 1e5 and item.text.strip() and item.speaker.strip() for item in manifest)
        manifest.save(path)
        assert Manifest.load(path) == manifest, "it does not load as it was saved"


@functools.cache
def _recordings() -> tuple[tempfile.TemporaryDirectory[str], FeatureCache, Path, torch.Tensor, bytes]:
    """Recordings and a cache that live as long as the process: making them for each input would take long."""
    folder = tempfile.TemporaryDirectory()
    audio = [write_audio(Path(folder.name) / "audio" / name) for name in ("a.wav", "wavs/b.wav", "x/d.wav", "y/d.wav")]
    cache = FeatureCache(Path(folder.name) / "cache", AudioConfig())
    mel = cache.mel(audio[0])
    (shard,) = cache.store.folder.glob("*.data")
    return folder, cache, audio[0], mel, shard.read_bytes() + shard.with_suffix(".index").read_bytes()


def prepare_folder(content: bytes) -> None:
    source = Path(_recordings()[0].name) / "audio"
    with tempfile.TemporaryDirectory() as place:
        corpus, out = Path(place).resolve() / "c", Path(place).resolve() / "out"
        for path in source.rglob("*.wav"):
            (corpus / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (corpus / path.relative_to(source)).symlink_to(path)
        (corpus / "metadata.csv").write_bytes(content)
        manifest = prepare("folder", corpus, out)
        manifest.validate()
        lines = [json.loads(line) for line in (out / DROPPED_FILE).read_text(encoding="utf-8").split("\n") if line]
        used = {utterance.audio for utterance in manifest}
        named = used | {(out / line["audio"]).resolve(strict=False) for line in lines if line["audio"]}
        real = {path.resolve() for path in named}
        assert {path.resolve() for path in corpus.rglob("*.wav")} <= real, "a recording is neither used nor listed"


def read_sidecar(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.wav").write_bytes(b"sound")
        (Path(folder) / "a.TXT").write_bytes(content)
        sidecar = find_sidecar(Path(folder) / "a.wav")
        assert sidecar is not None and sidecar.name == "a.TXT"
        assert "\0" not in read_text_file(sidecar)


def read_cache(content: bytes) -> None:
    folder, cache, audio, mel, valid = _recordings()
    place = Path(tempfile.mkdtemp(dir=folder.name))
    damaged = FeatureCache(place, AudioConfig())
    shutil.copytree(cache.store.folder, damaged.store.folder)
    (shard,) = damaged.store.folder.glob("*.data")
    size = len(valid) - shard.with_suffix(".index").stat().st_size
    shard.write_bytes(content[:size])
    shard.with_suffix(".index").write_bytes(content[size:])
    assert torch.equal(FeatureCache(place, AudioConfig()).mel(audio), mel), "a damaged log-mel is believed"
    shutil.rmtree(place)


TARGETS = [
    Target("lists: any bytes", LISTS, read_list),
    Target("lists: every form", rendered(), read_rendered),
    Target(
        "lists: names and recordings",
        st.tuples(st.lists(_PATHS, max_size=6), st.lists(_PATHS, max_size=6), st.booleans()),
        match_names,
    ),
    Target("lists: manifest", MANIFESTS, load_manifest),
    Target("lists: folder", LISTS, prepare_folder),
    Target("lists: text next to a recording", LISTS, read_sidecar),
    Target("lists: feature cache", damaged_bytes(lambda: _recordings()[4]), read_cache),
]

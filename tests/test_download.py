"""Tests of `prepare --download`, with miniature archives in place of the network."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torchaudio.datasets
from commands import run
from corpora import write_audio
from faults import error_line

from data_prep import CORPORA, prepare
from data_prep.download import SOURCES, STAGING, download, where_to_get
from tts_meta.errors import UsageError

Archive = dict[str, str]
"""Texts by name; an empty text is a recording."""

VCTK = {
    "wav48_silence_trimmed/p225/p225_001_mic1.flac": "",
    "txt/p225/p225_001.txt": "Please call Stella.",
    "speaker-info.txt": "ID AGE GENDER ACCENTS\np225 23 F English\n",
}
LJSPEECH = {"LJSpeech-1.1/wavs/LJ001-0001.wav": "", "LJSpeech-1.1/metadata.csv": "LJ001-0001|One.|One.\n"}
ARCTIC = {"{}/wav/arctic_a0001.wav": "", "{}/etc/txt.done.data": '( arctic_a0001 "One." )\n'}


def librivox(top: str, subset: str, recording: str, texts: Archive) -> Archive:
    return {
        f"{top}/{subset}/84/121/{recording}": "",
        **{f"{top}/{subset}/84/121/{name}": text for name, text in texts.items()},
        f"{top}/SPEAKERS.TXT": "84 | F | dev-clean | 8.0 | Christie\n",
    }


def archive_of(url: str) -> Archive:
    """Return the content of a miniature archive of the address."""
    name = url.rsplit("/", 1)[-1].split(".")[0]
    if "VCTK" in url:
        return VCTK
    if "LJSpeech" in url:
        return LJSPEECH
    if "arctic" in url:
        return {path.format(name): text for path, text in ARCTIC.items()}
    if "/60/" in url:
        texts = {f"84_121_{name}.normalized.txt": f"Text of {name}."}
        return librivox("LibriTTS", name, f"84_121_{name}.wav", texts)
    texts = {"84-121.trans.txt": f"84-121-{name} TEXT\n"}
    return librivox("LibriSpeech", name, f"84-121-{name}.flac", texts)


def write_archive(path: Path, content: Archive, tmp_path: Path) -> None:
    members = {}
    for name, text in content.items():
        members[name] = text.encode() or write_audio(tmp_path / f"tone{Path(name).suffix}").read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as out:
            for name, data in members.items():
                out.writestr(name, data)
        return
    with tarfile.open(path, "w:bz2" if path.suffix == ".bz2" else "w:gz") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replace the function of torchaudio that reads from the network; the list receives the addresses."""
    urls: list[str] = []

    def fetch(url: str, path: str, hash_prefix: str | None = None) -> None:
        urls.append(url)
        write_archive(Path(path), archive_of(url), tmp_path)

    replace_network(monkeypatch, fetch)
    return urls


def replace_network(monkeypatch: pytest.MonkeyPatch, fetch: Callable[..., Any]) -> None:
    for name in ("vctk", "ljspeech", "libritts", "librispeech", "cmuarctic"):
        monkeypatch.setattr(f"torchaudio.datasets.{name}.download_url_to_file", fetch)


@pytest.mark.parametrize(
    ("corpus", "subsets", "ids"),
    [
        ("vctk", (), ["p225_001"]),
        ("ljspeech", (), ["LJ001-0001"]),
        ("libritts", ("dev-clean", "test-clean"), ["84_121_dev-clean", "84_121_test-clean"]),
        ("librispeech", ("dev-clean",), ["84-121-dev-clean"]),
        ("cmu-arctic", ("bdl", "slt"), ["bdl_arctic_a0001", "slt_arctic_a0001"]),
    ],
)
def test_a_corpus_is_downloaded_once_and_prepared(
    tmp_path: Path, network: list[str], corpus: str, subsets: tuple[str, ...], ids: list[str]
) -> None:
    messages: list[str] = []
    for _ in range(2):
        download(corpus, tmp_path / "DIR", subsets, messages.append)
    assert len(network) == len(messages) == max(1, len(subsets))
    assert messages[0] == f"downloading {corpus} {subsets[0] if subsets else ''}".strip()
    assert not (tmp_path / "DIR" / STAGING).exists()
    assert not [path for path in (tmp_path / "DIR").rglob("*") if path.suffix in (".gz", ".zip", ".bz2")]
    manifest = prepare(corpus, tmp_path / "DIR", tmp_path / "OUT")
    assert [utterance.id for utterance in manifest] == ids
    assert manifest.utterances[0].gender == ("M" if corpus == "cmu-arctic" else "F")


def test_the_command_downloads_before_it_reads(
    tmp_path: Path, network: list[str], capsys: pytest.CaptureFixture
) -> None:
    words = (
        "prepare",
        "libritts",
        tmp_path / "DIR",
        tmp_path / "OUT",
        "--download",
        "--subset",
        "dev-clean",
        "-j",
        "1",
    )
    result = run(capsys, *words)
    assert result.status == 0 and "downloading libritts dev-clean" in result.err
    assert network == ["http://www.openslr.org/resources/60/dev-clean.tar.gz"]
    assert "1 utterances, 1 speakers" in result.out
    result = run(capsys, *words[:4], "--subset", "dev-clean", "--force")
    assert result.status == 2 and "--subset selects what --download fetches" in result.err
    result = run(capsys, *words[:4], "--download", "--shard", "1/2", "--force")
    assert result.status == 2 and "--download and --shard exclude each other" in result.err


def test_all_subsets_are_downloaded_by_default(tmp_path: Path, network: list[str]) -> None:
    download("librispeech", tmp_path / "DIR")
    assert len(network) == 7
    assert prepare("librispeech", tmp_path / "DIR", tmp_path / "OUT").of_split("test-other").speakers == ("84",)


def test_an_incomplete_folder_is_unpacked_again(tmp_path: Path, network: list[str]) -> None:
    (tmp_path / "DIR" / STAGING / "VCTK-Corpus-0.92" / "txt").mkdir(parents=True)
    download("vctk", tmp_path / "DIR")
    assert len(prepare("vctk", tmp_path / "DIR", tmp_path / "OUT")) == 1


@pytest.mark.parametrize("fault", [URLError("no route to host"), RuntimeError("invalid hash value\nmore")])
def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def fetch(url: str, path: str, hash_prefix: str | None = None) -> None:
        raise fault

    replace_network(monkeypatch, fetch)
    line = error_line(lambda: download("libritts", tmp_path / "DIR", ["dev-clean"]))
    assert line.startswith(f"libritts dev-clean cannot be downloaded into {tmp_path}/DIR (")
    assert line.endswith("); run the command again, or get the corpus from https://www.openslr.org/60")
    assert not (tmp_path / "DIR" / "LibriTTS").exists()


def test_corpora_that_torchaudio_does_not_know_name_their_page(tmp_path: Path) -> None:
    line = error_line(lambda: download("hifi-tts", tmp_path), UsageError)
    page = "get the corpus from https://www.openslr.org/109 and unpack it there"
    assert line == f"hifi-tts cannot be downloaded by this command; {page}, without --download"
    assert "is not a published corpus" in error_line(lambda: download("folder", tmp_path), UsageError)
    line = error_line(lambda: download("libritts", tmp_path, ["clean"]), UsageError)
    assert line.startswith("libritts has no subset 'clean'; it has train-clean-100, ")
    assert error_line(lambda: download("vctk", tmp_path, ["p225"]), UsageError).endswith("it has no subsets")


@pytest.mark.parametrize("corpus", sorted(SOURCES))
def test_a_missing_corpus_says_where_to_get_it(tmp_path: Path, corpus: str) -> None:
    line = error_line(lambda: prepare(corpus, tmp_path / "none", tmp_path / "OUT"), UsageError)
    assert line == f"{tmp_path}/none is not a folder; {where_to_get(corpus)}"
    assert SOURCES[corpus].page in line and ("--download" in line) == (SOURCES[corpus].dataset is not None)


def test_every_source_is_a_corpus_and_every_dataset_exists() -> None:
    assert SOURCES.keys() <= CORPORA.keys()
    assert CORPORA.keys() - SOURCES.keys() == {"folder", "manifest", "lhotse", "librispeech-mini"}
    names = [source.dataset for source in SOURCES.values() if source.dataset]
    assert [name for name in names if not hasattr(torchaudio.datasets, name)] == []

"""Download of published corpora through the dataset classes of torchaudio, and where to get the other corpora."""

from __future__ import annotations

import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tts_meta.errors import TtsMetaError, UsageError

STAGING = ".download"
"""Folder in the corpus folder for archives and incomplete corpora. Readers skip hidden folders."""

_LIBRIVOX_SUBSETS = (
    *("train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean", "dev-other", "test-clean", "test-other"),
)
_ARCTIC_SPEAKERS = (
    *("aew", "ahw", "aup", "awb", "axb", "bdl", "clb", "eey", "fem"),
    *("gka", "jmk", "ksp", "ljm", "lnh", "rms", "rxr", "slp", "slt"),
)


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from.

    page: address of the page of the corpus. dataset: name of its class in `torchaudio.datasets`, or None. unpacked: the
    folder that the class unpacks, where `{}` is a subset. subsets: all subsets, which the class unpacks one by one.
    """

    page: str
    dataset: str | None = None
    unpacked: str = ""
    subsets: tuple[str, ...] = ()


SOURCES: dict[str, Source] = {
    "cmu-arctic": Source(
        "http://www.festvox.org/cmu_arctic/", "CMUARCTIC", "ARCTIC/cmu_us_{}_arctic", _ARCTIC_SPEAKERS
    ),
    "common-voice": Source("https://commonvoice.mozilla.org/datasets"),
    "hifi-tts": Source("https://www.openslr.org/109"),
    "l2-arctic": Source("https://psi.engr.tamu.edu/l2-arctic-corpus/"),
    "librispeech": Source("https://www.openslr.org/12", "LIBRISPEECH", "LibriSpeech/{}", _LIBRIVOX_SUBSETS),
    "libritts": Source("https://www.openslr.org/60", "LIBRITTS", "LibriTTS/{}", _LIBRIVOX_SUBSETS),
    "libritts-r": Source("https://www.openslr.org/141"),
    "ljspeech": Source("https://keithito.com/LJ-Speech-Dataset/", "LJSPEECH", "LJSpeech-1.1"),
    "mls": Source("https://www.openslr.org/94"),
    "speechocean762": Source("https://www.openslr.org/101"),
    "vctk": Source("https://datashare.ed.ac.uk/handle/10283/3443", "VCTK_092", "VCTK-Corpus-0.92"),
}


def where_to_get(corpus_name: str) -> str | None:
    """Return what to do to get a corpus, for the message that it is missing, or None for other corpora."""
    source = SOURCES.get(corpus_name)
    if source is None:
        return None
    advice = f"get the corpus from {source.page} and unpack it there"
    return advice if source.dataset is None else f"{advice}, or add --download"


def download(
    corpus_name: str,
    corpus_dir: str | Path,
    subsets: Sequence[str] = (),
    report: Callable[[str], None] = lambda message: None,
) -> None:
    """Download and unpack a corpus into `corpus_dir`, except what is there already.

    subsets: subsets of LibriSpeech and LibriTTS, or speakers of CMU ARCTIC; all of them if empty. report: called with a
    message before each download. Archives are deleted after they are unpacked. A download that was stopped starts again
    with the subset that was not complete. Raises UsageError if torchaudio does not know the address of the corpus, or
    for an unknown subset. Raises TtsMetaError if the download fails.
    """
    source = SOURCES.get(corpus_name)
    if source is None:
        raise UsageError(f"{corpus_name} is not a published corpus; leave out --download")
    if source.dataset is None:
        raise UsageError(
            f"{corpus_name} cannot be downloaded by this command; {where_to_get(corpus_name)}, without --download"
        )
    unknown = [name for name in subsets if name not in source.subsets]
    if unknown:
        known = f"it has {', '.join(source.subsets)}" if source.subsets else "it has no subsets"
        raise UsageError(f"{corpus_name} has no subset {unknown[0]!r}; {known}")
    for subset in (subsets or source.subsets) or ("",):
        if not (Path(corpus_dir) / source.unpacked.format(subset)).is_dir():
            report(f"downloading {corpus_name} {subset}".strip())
            try:
                _download_subset(source, subset, Path(corpus_dir))
            except (OSError, RuntimeError, tarfile.TarError, zipfile.BadZipFile) as error:
                reason = str(error).partition("\n")[0]
                raise TtsMetaError(
                    f"{corpus_name} {subset}".strip() + f" cannot be downloaded into {corpus_dir} ({reason}); run the "
                    f"command again, or get the corpus from {source.page}"
                ) from error


def _download_subset(source: Source, subset: str, corpus_dir: Path) -> None:
    """Unpack a subset in the staging folder, then move it, so that an incomplete folder is never taken for a corpus."""
    import torchaudio.datasets

    staging = corpus_dir / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    unpacked = Path(source.unpacked.format(subset))
    shutil.rmtree(staging / unpacked, ignore_errors=True)
    dataset = getattr(torchaudio.datasets, str(source.dataset))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset(str(staging), download=True, **({"url": subset} if subset else {}))
    _move(staging / unpacked, corpus_dir / unpacked)
    # Tables such as SPEAKERS.TXT are next to the subset.
    for path in staging.glob(f"{unpacked.parts[0]}/*") if subset else ():
        if path.is_file() and path.suffix.lower() in (".txt", ".tsv"):
            _move(path, corpus_dir / path.relative_to(staging))
    shutil.rmtree(staging)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)

"""Tests of the readers of VCTK, CMU ARCTIC, L2-ARCTIC, Common Voice and speechocean762, whose speakers have accents."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora import listed_faults, write_audio, write_files
from faults import error_line

from data_prep import prepare
from tts_meta.errors import TtsMetaError, UsageError

ZERO = "unusable audio: holds no samples; record it again"


def test_vctk_is_read_with_accents_and_its_known_gaps(tmp_path: Path) -> None:
    root, out = tmp_path / "VCTK-Corpus-0.92", tmp_path / "out"
    recordings = [
        "p280/p280_001_mic1",
        "p315/p315_001_mic1",
        "p335/p335_001_mic1",
        "p335/p335_001_mic2",
        "s5/s5_001_mic2",
    ]
    for name in recordings:
        write_audio(root / f"wav48_silence_trimmed/{name}.flac")
    write_audio(root / "wav48_silence_trimmed/s5/s5_002_mic1.flac", 0)
    write_audio(root / "wav48_silence_trimmed/s5/s5_003_mic1.flac")
    write_audio(root / "wav48_silence_trimmed/s5/s5_004_mic1.flac")
    names = ("p280/p280_001", "p335/p335_001", "p362/p362_001", "s5/s5_001", "s5/s5_002")
    texts = {f"txt/{name}.txt": "Please call Stella.\n" for name in names}
    table = (
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\n"
        "p280  25  F    Unknown    France  (mic2 files unavailable)\n"
        "p315  18  M    American  New England (Text unavailable)\n"
        "p335  25  F  NewZealand  English\n"
        "broken\ns5    22  M    British  Sheffield\n"
    )
    write_files(root, texts | {"speaker-info.txt": table, "txt/s5/s5_003.txt": " \n", "update.txt": "0.92"})
    (root / "txt/s5/s5_004.txt").write_bytes("für".encode("latin-1"))
    manifest = prepare("vctk", tmp_path, out)
    assert [(u.id, u.audio.name, u.gender, u.accent) for u in manifest] == [
        ("p280_001", "p280_001_mic1.flac", "F", None),
        ("p335_001", "p335_001_mic1.flac", "F", "NewZealand"),
        ("s5_001", "s5_001_mic2.flac", "M", "British"),
    ]
    assert listed_faults(out) == {
        "p315_001": (None, None, "no transcript: no txt/p315/p315_001.txt"),
        "p362_001": ("p362_001.txt", 1, "missing audio"),
        "s5_002": ("s5_002.txt", 1, "unusable audio: empty; copy or record it again"),
        "s5_003": ("s5_003.txt", 1, "empty text"),
        "s5_004": ("s5_004.txt", 1, "unreadable transcript: not UTF-8 text (byte 0xFC in line 1)"),
    }


def test_cmu_arctic_is_read_by_speaker(tmp_path: Path) -> None:
    root, out = tmp_path / "ARCTIC", tmp_path / "out"
    for number in (1, 2, 3, 4):
        write_audio(root / f"cmu_us_bdl_arctic/wav/arctic_a000{number}.wav", 0 if number == 3 else 0.5)
    write_audio(root / "cmu_us_aew_arctic/wav/arctic_a0001.wav")
    lines = [
        '( arctic_a0001 "Author of the danger trail, Philip Steels, etc." )',
        '( arctic_a0002 "He said \\"no\\" (twice)." )',
        '( arctic_a0003 "Zero." )',
        '( arctic_a0005 "Gone." )',
        "( arctic_a0006 no quotes )",
        '( arctic_a0001 "Twice." )',
    ]
    content = "\n".join(lines).encode() + b'\n( arctic_a0007 "f\xfcr" )\n'
    write_files(root, {"cmu_us_aew_arctic/etc/txt.done.data": lines[0] + "\n", "cmu_us_bdl_arctic/etc/x": "x"})
    (root / "cmu_us_bdl_arctic/etc/txt.done.data").write_bytes(content)
    manifest = prepare("cmu-arctic", root, out)
    assert [(u.id, u.speaker, u.gender, u.accent, u.text) for u in manifest] == [
        ("aew_arctic_a0001", "aew", None, None, "Author of the danger trail, Philip Steels, etc."),
        ("bdl_arctic_a0001", "bdl", "M", "US", "Author of the danger trail, Philip Steels, etc."),
        ("bdl_arctic_a0002", "bdl", "M", "US", 'He said "no" (twice).'),
    ]
    table = "txt.done.data"
    assert listed_faults(out) == {
        "bdl_arctic_a0003": (table, 3, ZERO),
        "bdl_arctic_a0005": (table, 4, "missing audio"),
        "txt.done.data:5": (table, 5, 'broken line: not in the form ( ID "TEXT" )'),
        "bdl_arctic_a0001": (table, 6, "duplicate id bdl_arctic_a0001"),
        "bdl_arctic_a0007": (table, 7, "not UTF-8 text (byte 0xFC in line 7)"),
        "bdl_arctic_a0004": (None, None, "no transcript: not in etc/txt.done.data"),
    }
    assert prepare("cmu-arctic", root / "cmu_us_bdl_arctic", tmp_path / "one").speakers == ("bdl",)


def test_l2_arctic_is_read_with_the_native_language_as_accent(tmp_path: Path) -> None:
    root, out = tmp_path / "l2arctic_release_v5.0", tmp_path / "out"
    for name in ("ABA/wav/arctic_a0001", "ABA/wav/arctic_a0002", "NJS/wav/arctic_a0001", "suitcase_corpus/wav/aba"):
        write_audio(root / f"{name}.wav")
    write_audio(root / "ABA/wav/arctic_a0004.wav", 0)
    write_files(
        root,
        {
            "ABA/transcript/arctic_a0001.txt": "Author of the danger trail.",
            "ABA/transcript/arctic_a0003.txt": "Gone.",
            "ABA/transcript/arctic_a0004.txt": "Zero.",
            "ABA/annotation/arctic_a0001.TextGrid": "x",
            "ABA/textgrid/arctic_a0001.TextGrid": "x",
            "suitcase_corpus/transcript/aba.txt": "There was a suitcase.",
            "README.md": "About it.",
        },
    )
    (root / "NJS/transcript").mkdir()
    (root / "NJS/transcript/arctic_a0001.txt").write_bytes(b"\xfc")
    manifest = prepare("l2-arctic", root, out)
    assert [(u.id, u.speaker, u.gender, u.accent, u.language) for u in manifest] == [
        ("ABA/arctic_a0001", "ABA", "M", "Arabic", "en"),
        ("suitcase_corpus/aba", "ABA", "M", "Arabic", "en"),
    ]
    unreadable = "unreadable transcript: not UTF-8 text (byte 0xFC in line 1)"
    assert listed_faults(out) == {
        "ABA/arctic_a0002": (None, None, "no transcript: no transcript/arctic_a0002.txt"),
        "ABA/arctic_a0003": ("arctic_a0003.txt", 1, "missing audio"),
        "ABA/arctic_a0004": ("arctic_a0004.txt", 1, ZERO),
        "NJS/arctic_a0001": ("arctic_a0001.txt", 1, unreadable),
    }


HEADER = "\t".join(
    [
        *("client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes"),
        *("age", "gender", "accents", "variant", "locale", "segment"),
    ]
)


def row(client: str, path: str, sentence: str, gender: str = "", accents: str = "") -> str:
    return "\t".join([client, path, "7", sentence, "", "2", "0", "twenties", gender, accents, "", "nl", ""])


def test_common_voice_is_read_from_its_tables(tmp_path: Path) -> None:
    root, out = tmp_path / "cv-corpus-17.0-2024-03-15/nl", tmp_path / "out"
    for number in (1, 2, 3, 5, 6, 8):
        write_audio(root / f"clips/common_voice_nl_{number}.mp3")
    write_audio(root / "clips/common_voice_nl_9.wav", 0)
    validated = [
        HEADER,
        row("c1", "common_voice_nl_1.mp3", 'Hij zei "ja.', "male_masculine", "Vlaams"),
        row("c2", "common_voice_nl_2.mp3", "Twee.", "female"),
        row("c2", "common_voice_nl_3.mp3", "Drie.")[:-4],
        row("c3", "common_voice_nl_4.mp3", "Vier."),
        row("c3", "common_voice_nl_5.mp3", ""),
        row("", "common_voice_nl_6.mp3", "Zes."),
        "c4\tbroken",
        row("c4", "common_voice_nl_9.wav", "Negen."),
        row("c2", "common_voice_nl_2.mp3", "Dubbel."),
    ]
    write_files(
        root,
        {
            "train.tsv": f"{HEADER}\n{validated[1]}\n",
            "test.tsv": f"{HEADER}\n{validated[2]}\n",
            "invalidated.tsv": f"{HEADER}\n{row('c9', 'common_voice_nl_7.mp3', 'Nee.')}\n",
            "clip_durations.tsv": "clip\tduration[ms]\n",
        },
    )
    (root / "validated.tsv").write_bytes("\n".join(validated).encode() + b"\nc5\tx.mp3\t7\tf\xfcr\n")
    manifest = prepare("common-voice", tmp_path, out)
    assert [(u.id, u.speaker, u.text, u.gender, u.accent, u.language, u.split) for u in manifest] == [
        ("common_voice_nl_1", "c1", 'Hij zei "ja.', "male_masculine", "Vlaams", "nl", "train"),
        ("common_voice_nl_2", "c2", "Twee.", "female", None, "nl", "test"),
        ("common_voice_nl_3", "c2", "Drie.", None, None, "nl", "validated"),
    ]
    table, broken = "validated.tsv", "broken line: the header has other columns, or the clip has no name"
    assert listed_faults(out) == {
        "common_voice_nl_4": (table, 5, "missing audio"),
        "common_voice_nl_5": (table, 6, "empty text"),
        "common_voice_nl_6": (table, 7, "empty speaker"),
        "validated.tsv:8": (table, 8, broken),
        "common_voice_nl_9": (table, 9, ZERO),
        "validated.tsv:11": (table, 11, "not UTF-8 text (byte 0xFC in line 11)"),
        "common_voice_nl_8": (None, None, "no transcript: in no table of its language"),
    }


def test_a_common_voice_table_without_its_columns_is_an_error(tmp_path: Path) -> None:
    write_files(tmp_path / "cv", {"clips/a.mp3": "", "validated.tsv": "path\ttext\na.mp3\tText.\n"})
    with pytest.raises(TtsMetaError, match=r"validated\.tsv has no column client_id, sentence; copy the table"):
        prepare("common-voice", tmp_path / "cv", tmp_path / "out")


def test_speechocean762_is_read_from_its_kaldi_tables(tmp_path: Path) -> None:
    root, out = tmp_path / "speechocean762", tmp_path / "out"
    for name in ("SPEAKER0001/000010011", "SPEAKER0001/000010035", "SPEAKER0003/000030012", "SPEAKER0003/000030099"):
        path = write_audio(root / f"WAVE/{name}.wav", 0 if name.endswith("35") else 0.5)
        path.rename(path.with_suffix(".WAV"))
    wav = "{0}\tWAVE/SPEAKER{1}/{0}.WAV\n"
    train = [("000010011", "0001"), ("000010035", "0001"), ("000010053", "0001")]
    write_files(
        root,
        {
            "train/wav.scp": "".join(wav.format(*pair) for pair in train) + "000010077\tcat x.wav |\n",
            "train/text": "000010011\tWE CALL IT I'M BEAR\n000010035\tNO\n000010053\tGONE\n000010077\tPIPE\n",
            "train/utt2spk": "".join(f"{name}\t{speaker}\n" for name, speaker in train) + "000010077\t0001\n",
            "train/spk2gender": "0001\tm\n",
            "train/spk2age": "0001\t6\n",
            "test/wav.scp": wav.format("000030012", "0003") + wav.format("000030013", "0003"),
            "test/text": "000030012 HELLO THERE\n000030012 AGAIN\n",
            "test/utt2spk": "000030012 0003\n",
            "resource/scores.json": "{}",
        },
    )
    manifest = prepare("speechocean762", root, out)
    assert [(u.id, u.speaker, u.text, u.gender, u.accent, u.split) for u in manifest] == [
        ("000010011", "0001", "we call it I'm bear", "m", "Mandarin", "train"),
        ("000030012", "0003", "hello there", None, "Mandarin", "test"),
    ]
    assert listed_faults(out) == {
        "000010035": ("text", 2, ZERO),
        "000010053": ("text", 3, "missing audio"),
        "000010077": ("text", 4, "missing audio: wav.scp has a command, not a file; run it and list its output"),
        "000030013": ("wav.scp", 2, "no transcript: not in test/text"),
        "000030012": ("text", 2, "duplicate id 000030012, first seen in line 1"),
        "000030099": (None, None, "no transcript: in no table of a split"),
    }


@pytest.mark.parametrize(
    ("corpus", "files"),
    [
        ("cmu-arctic", ["cmu_us_bdl_arctic/etc/txt.done.data", "cmu_us_bdl_arctic/wav/arctic_a0001.wav"]),
        ("l2-arctic", ["ABA/transcript/arctic_a0001.txt", "ABA/wav/arctic_a0001.wav"]),
        ("hifi-tts", ["92_manifest_clean_train.json", "audio/92_clean/1/a.flac"]),
        ("mls", ["mls_dutch/metainfo.txt", "mls_dutch/train/transcripts.txt", "mls_dutch/train/audio/1/2/1_2_3.flac"]),
        ("common-voice", ["nl/validated.tsv", "nl/clips/a.mp3"]),
        ("speechocean762", ["train/wav.scp", "train/text", "train/utt2spk", "WAVE/SPEAKER0001/000010011.WAV"]),
        ("ljspeech", ["metadata.csv", "wavs/LJ001-0001.wav"]),
    ],
)
def test_a_published_layout_read_as_a_folder_names_its_reader(tmp_path: Path, corpus: str, files: list[str]) -> None:
    write_files(tmp_path / "c", dict.fromkeys(files, "x"))
    line = error_line(lambda: prepare("folder", tmp_path / "c", tmp_path / "out"), UsageError)
    assert line == f"{tmp_path / 'c'} has the layout of {corpus}; read it with `tts-meta prepare {corpus} DIR OUT`"

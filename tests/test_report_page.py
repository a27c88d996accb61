from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
import torch
from report_pages import ParsedPage

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.report import Clip, ListeningPage


def tone(hertz: float = 220.0, seconds: float = 0.5, rate: int = 22050) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def small_page(first: np.ndarray) -> ListeningPage:
    page = ListeningPage("Alice", "First paragraph.\n\nSecond one.")
    section = page.section("New sentences", "Never adapted on.")
    mel = np.full((40, 80), -4.0, dtype=np.float32)
    cloned = Clip("Cloned voice", first, 22050, mel=mel, caption="200 steps", scores={"similarity": 0.8712})
    section.row("A sentence.", [cloned, Clip("Truth", torch.from_numpy(tone(330)), 22050)], note="held out")
    figures = page.section("Figures")
    figures.table(["voice", "CER", "steps"], [["base", 0.031, None], ["alice", 0.0424, 200]], "Scores", [0, 2, 0])
    figures.image(np.zeros((5, 6, 3), dtype=np.uint8), "A black box", "Nothing to see")
    return page


def test_every_player_plays_the_samples_of_its_clip(tmp_path: Path) -> None:
    path = small_page(tone()).write(tmp_path / "listen.html")
    players = ParsedPage(path).all("audio")
    assert [player["aria-label"] for player in players] == ["Cloned voice: A sentence.", "Truth: A sentence."]
    assert all("controls" in player for player in players)
    for player, expected in zip(players, [tone(), tone(330)], strict=True):
        samples, rate = soundfile.read(tmp_path / unquote(player["src"]), dtype="float32")
        assert rate == 22050
        np.testing.assert_allclose(samples, expected, atol=1 / 32768)


def test_an_embedded_page_is_one_file_with_the_same_audio(tmp_path: Path) -> None:
    path = small_page(tone()).write(tmp_path / "listen.html", embed=True)
    assert list(tmp_path.iterdir()) == [path]
    source = ParsedPage(path).all("audio")[0]["src"]
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(source.removeprefix("data:audio/wav;base64,"))))
    np.testing.assert_allclose(samples, tone(), atol=1 / 32768)


def test_a_page_loads_nothing_from_the_network(tmp_path: Path) -> None:
    page = ParsedPage(small_page(tone()).write(tmp_path / "listen.html"))
    links = [attributes[name] for _, attributes in page.elements for name in ("src", "href") if name in attributes]
    assert len(links) > 5
    assert all(re.match(r"data:|#part-\d$|listen_clips/", link) for link in links)
    assert not any(re.search(r"https?:|@import|url\(", part) for part in page.text["style"] + page.text["script"])


def test_every_image_has_a_text_that_describes_it(tmp_path: Path) -> None:
    page = ParsedPage(small_page(tone()).write(tmp_path / "listen.html"))
    mel = next(attributes for _, attributes in page.elements if attributes.get("class") == "mel")
    assert mel["role"] == "img" and mel["aria-label"] == "Mel spectrogram of Cloned voice, 0.5 s, 0 to 8000 Hz"
    assert [image["alt"] for image in page.all("img")] == ["", "A black box"]


def test_a_table_shows_numbers_with_the_requested_decimals(tmp_path: Path) -> None:
    page = ParsedPage(small_page(tone()).write(tmp_path / "listen.html"))
    assert page.text["td"] == ["0.03", "–", "0.04", "200"]
    assert page.text["th"] == ["voice", "CER", "steps", "base", "alice"]
    assert [cell.get("class") for cell in page.all("td")] == ["number"] * 4
    assert page.text["dd"] == ["0.871"]


def test_clips_of_a_row_share_one_time_scale(tmp_path: Path) -> None:
    page = ListeningPage("t")
    mels = [np.zeros((frames, 80), dtype=np.float32) for frames in (50, 100)]
    page.section("s").row("r", [Clip(f"c{len(mel)}", tone(seconds=0.1), mel=mel) for mel in mels])
    written = page.write(tmp_path / "p.html").read_text("utf-8")
    assert re.findall(r'class="heat" .*?width:([\d.]+)%', written) == ["50.00", "100.00"]


def test_text_of_users_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>&"'
    page = ListeningPage(evil, evil)
    section = page.section(evil, evil)
    section.row(evil, [Clip(evil, tone(), caption=evil, scores={evil: evil})], note=evil)
    section.table([evil], [[evil]], caption=evil)
    read = ParsedPage(page.write(tmp_path / "p.html"))
    assert len(read.all("script")) == 1
    assert read.text["h1"] == [evil] and read.text["h3"] == [evil] and evil in read.text["dt"]


def test_a_clip_that_is_a_file_is_linked_and_not_copied(tmp_path: Path) -> None:
    recording = tmp_path / "recordings" / "ä b #1.wav"
    recording.parent.mkdir()
    soundfile.write(recording, tone(), 22050)
    page = ListeningPage("t")
    page.section("s").row("r", [Clip("Recording", file=recording)])
    source = ParsedPage(page.write(tmp_path / "page" / "p.html")).all("audio")[0]["src"]
    assert source == "../recordings/%C3%A4%20b%20%231.wav"
    assert [file.name for file in (tmp_path / "page").iterdir()] == ["p.html"]
    embedded = ParsedPage(page.write(tmp_path / "one.html", embed=True)).all("audio")[0]["src"]
    assert base64.b64decode(embedded.split(",")[1]) == recording.read_bytes()


def test_writing_again_replaces_the_clips_of_the_page_and_no_other_file(tmp_path: Path) -> None:
    small_page(tone()).write(tmp_path / "listen.html")
    clips = tmp_path / "listen_clips"
    before = {file.name for file in clips.iterdir()}
    (clips / "mine.wav").write_bytes(b"of the user")
    small_page(tone(440)).write(tmp_path / "listen.html")
    after = {file.name for file in clips.iterdir()}
    assert len(before) == 2 and len(before & after) == 1 and len(after) == 3 and "mine.wav" in after


def test_a_page_that_cannot_be_written_leaves_the_older_one_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_page(tone()).write(tmp_path / "listen.html")
    before = path.read_bytes()

    def full_disk(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(TtsMetaError, match="No space left"):
        small_page(tone(440)).write(path)
    assert path.read_bytes() == before
    assert all((tmp_path / unquote(player["src"])).is_file() for player in ParsedPage(path).all("audio"))
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_errors_of_clips_name_the_clip(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'a' needs either samples or a file"):
        Clip("a")
    with pytest.raises(UsageError, match=r"'a' needs samples \(S,\), got \(2, 5\)"):
        Clip("a", np.zeros((2, 5), dtype=np.float32))
    page = ListeningPage("t")
    with pytest.raises(UsageError, match="at least one clip"):
        page.section("s").row("r", [])
    page.section("s").row("r", [Clip("a", file=tmp_path / "gone.wav")])
    with pytest.raises(TtsMetaError, match=r"cannot read clip .*gone\.wav"):
        page.write(tmp_path / "p.html")
    (tmp_path / "gone.wav").write_bytes(b"not audio")
    with pytest.raises(TtsMetaError, match="not readable as audio"):
        page.write(tmp_path / "p.html")
    with pytest.raises(UsageError, match="need 2 entries, one per column"):
        page.section("s").table(["a", "b"], [[1]])

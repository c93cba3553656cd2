"""The page of a dataset in a real browser: what is seen, played and said.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.explore import spectrograms
from hear_edgel3.explore.build import explore
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.whitening import Whitening
from hear_edgel3.tagging.tagger import Tagger
from support import chromium
from support.pages import N_CLIPS, ODD, chosen, needs_chromium, place_of, text

pytestmark = needs_chromium

# --- what is shown ---


def test_it_opens_without_a_complaint_and_says_what_it_is(browser: chromium.Chromium) -> None:
    assert browser.complaints == []
    assert text(browser, "title") == browser.run("document.title") == "Odd </title> & <b>sounds</b>"
    assert re.fullmatch(r"tiny · 90 clips · 56\.0 s · PCA", text(browser, "facts"))
    assert text(browser, "failed-summary") == "1 file without an embedding"
    assert text(browser, "failed-list") == "AudioFileError: bad<b>.wav is empty (0 bytes)"
    assert browser.run("document.querySelectorAll('b, img').length") == 0


def test_every_clip_is_a_dot_of_its_groups_colour(browser: chromium.Chromium) -> None:
    browser.run("zoomBy(3), drawNow()")
    places = [place_of(browser, i) for i in range(N_CLIPS)]
    left, top = browser.run("(({left, top}) => [left, top])(canvas.getBoundingClientRect())")
    seen = 0
    for i, (x, y) in enumerate(places):
        others = [j for j in range(N_CLIPS) if j != i and np.hypot(places[j][0] - x, places[j][1] - y) < 20]
        if others or not (left + 10 < x < left + 900 and top + 10 < y < top + 600):
            continue
        pixel = browser.run(f"[...pixels.getImageData({round(x - left)}, {round(y - top)}, 1, 1).data]")
        colour = browser.run(f"colourOf({i})")
        assert "#" + "".join(f"{value:02x}" for value in pixel[:3]) == colour
        seen += 1
    assert seen > 15


def test_spectrograms_come_out_as_they_went_in(browser: chromium.Chromium, made_page: Path) -> None:
    clips = read_file_means(Dataset(made_page / "embeddings"))
    for i in (0, 63, 64, 80):
        samples, rate = soundfile.read(
            made_page / "audio" / ODD[0].decode() if i == 0 else clips.files[i], dtype="float32"
        )
        expected = spectrograms.thumbnail(spectrograms.at_rate(torch.from_numpy(samples), rate))
        seen = browser.run(f"spectrogramOf({i}).then((levels) => [...levels])")
        assert seen == expected.ravel().tolist()
    browser.run("choose(64), 1")
    browser.wait_for("!element('spectrogram').hidden")
    painted = browser.run("[...element('spectrogram').getContext('2d').getImageData(0, 47, 96, 1).data]")
    lowest = browser.run("spectrogramOf(64).then((levels) => [...levels.slice(0, 96)].map((l) => HEAT[l]))")
    assert [r | g << 8 | b << 16 | 255 << 24 for r, g, b in np.reshape(painted, (96, 4))[:, :3].tolist()] == lowest
    assert browser.run("element('spectrogram').ariaLabel ?? element('spectrogram').getAttribute('aria-label')") != ""


def test_the_panel_has_tags_and_neighbours(browser: chromium.Chromium, made_page: Path) -> None:
    clips = read_file_means(Dataset(made_page / "embeddings"))
    browser.run("choose(20), 1")
    top = Tagger().tag_file(clips.files[20]).top(5)
    shown = browser.run("[...element('tags').children].map((item) => item.innerText.split('\\n'))")
    assert shown == [[tag.label, f"{round(100 * tag.probability)} %"] for tag in top]
    alike = Whitening.fit([clips.vectors], clips.vectors.shape[1], len(clips.files)).apply(clips.vectors)
    numbers, similarities = nearest(alike, 8)
    near = browser.run(
        "[...element('neighbours').querySelectorAll('button')].map((b) => [b.title, b.lastChild.innerText])"
    )
    expected = [
        [os.path.relpath(clips.files[j], made_page / "audio"), f"{s:.3f}"]
        for j, s in zip(numbers[20], similarities[20], strict=True)
    ]
    assert near == expected
    browser.run("element('neighbours').querySelectorAll('button')[2].click()")
    assert chosen(browser) == numbers[20][2]


def test_missing_and_unplayable_sounds_are_said(browser: chromium.Chromium) -> None:
    browser.run(f"choose({N_CLIPS - 1}, {{sound: true}}), 1")
    browser.wait_for("!element('no-spectrogram').hidden")
    assert "gone.wav does not exist" in text(browser, "note")
    assert browser.run("element('play').disabled")
    browser.run(f"choose({N_CLIPS - 2}, {{sound: true}}), 1")
    browser.wait_for("!element('spectrogram').hidden")
    assert text(browser, "note") == "Browsers do not play .au files; a page made with --embed-audio does."
    assert browser.run("isPlaying()") is False
    browser.run("choose(30), 1")
    assert browser.run("element('note').hidden")


def test_a_file_that_has_gone_since_is_said(browser: chromium.Chromium) -> None:
    browser.run("data.links[30] = 'audio/no%20such.wav', choose(30, {sound: true}), 1")
    browser.wait_for("!element('note').hidden")
    assert "cannot play this file" in text(browser, "note")
    browser.run("choose(31), choose(30, {sound: true}), 1")  # it is said again
    browser.wait_for("!element('note').hidden")


def test_a_file_that_was_cut_off_since_is_said(made_page: Path, opened: chromium.Chromium, tmp_path: Path) -> None:
    """As far as a browser knows: from a file's address it may read no bytes."""
    folder = tmp_path / "page"
    folder.mkdir()
    shutil.copytree(made_page / "audio", folder / "audio")
    shutil.copy(made_page / "page.html", folder)
    cut = folder / "audio" / "kind 4" / "clip 40.wav"
    cut.write_bytes(cut.read_bytes()[:5000])
    opened.open(folder / "page.html")
    clip = opened.run("data.names.indexOf('clip 40.wav')")
    seconds = 0.4 + clip / 200
    opened.run(f"choose({clip}, {{sound: true}}), 1")
    opened.wait_for("!element('note').hidden")
    said = f"The file is truncated: its embeddings are of sound up to {seconds:.2f} s, it ends at 0.15 s."
    assert text(opened, "note") == said
    opened.run(f"choose({clip + 1}, {{sound: true}}), 1")
    opened.wait_for("audio.currentTime > 0")
    assert opened.run("element('note').hidden")
    # Of a clip that begins later in its file.
    opened.run(f"data.links[{clip}] += '#t=0.05,0.6', seconds[{clip}] = 0.55, choose({clip}, {{sound: true}}), 1")
    opened.wait_for("element('note').textContent.includes('sound up to 0.60 s, it ends at 0.15 s')")
    opened.run(f"choose(1), seconds[{clip}] = 0.1, choose({clip}, {{sound: true}}), 1")
    opened.wait_for("audio.currentTime > 0.05")
    assert opened.run("element('note').hidden")


# --- sound ---


@pytest.mark.parametrize("clip", range(len(ODD)))
def test_odd_names_are_shown_and_played(browser: chromium.Chromium, clip: int) -> None:
    browser.run(f"choose({clip}, {{sound: true}}), 1")
    browser.wait_for("audio.currentTime > 0")
    assert browser.run("audio.error") is None
    assert browser.run("audio.duration") == pytest.approx(0.4 + clip / 200, abs=0.002)
    name = text_of_path(os.fsdecode(ODD[clip])).split("/")
    assert text(browser, "clip-name") == name[-1]
    assert text(browser, "clip-folder") == "/".join(name[:-1])
    assert browser.complaints == []


def test_enter_plays_and_pauses_and_seeking_moves(browser: chromium.Chromium) -> None:
    browser.run("canvas.focus()")
    browser.press("ArrowRight")
    browser.run("audio.loop = true")  # these are short
    assert browser.run("isPlaying()") is False
    browser.press("Enter")
    browser.wait_for("isPlaying() && audio.currentTime > 0")
    assert browser.run("element('play').getAttribute('aria-label')") == "Pause"
    browser.press(" ")
    browser.wait_for("element('play').getAttribute('aria-label') === 'Play'")
    assert browser.run("isPlaying()") is False
    browser.run("seek(0.2)")
    browser.wait_for("audio.currentTime >= 0.2 && !element('cursor').hidden")
    # What plays when one moves on is the next clip.
    browser.press("ArrowLeft")
    browser.wait_for("loaded === state.chosen && isPlaying()")
    browser.press("Escape")
    assert chosen(browser) == -1
    assert browser.run("isPlaying()") is False


def test_embedded_sounds_play_wherever_the_page_is(opened: chromium.Chromium, made_page: Path, tmp_path: Path) -> None:
    explore(made_page / "embeddings", made_page / "mail.html", projection="pca", tags=False, embed_audio=True)
    shutil.move(made_page / "mail.html", tmp_path / "mail.html")
    opened.open(tmp_path / "mail.html")
    for clip in (0, N_CLIPS - 2):
        opened.run(f"choose({clip}, {{sound: true}}), 1")
        opened.wait_for("audio.currentTime > 0")
        assert opened.run("audio.src.startsWith('data:audio/mpeg')")
    assert opened.run("element('by-tag').disabled && state.by === 'folder'")
    assert opened.complaints == []


# --- filter and groups ---


def test_the_filter_counts_and_says_when_nothing_is_left(browser: chromium.Chromium) -> None:
    browser.press("/")
    assert browser.run("document.activeElement.id") == "filter"
    browser.type("KIND 3")
    expected = browser.run("shown.reduce((sum, one) => sum + one, 0)")
    assert text(browser, "count") == f"{expected} of 90"
    texts = browser.run("Array.from({length: count}, (_, c) => pathOf(c) + tagsOf(c).map((t) => t.label))")
    assert expected == sum("kind" in line and "3" in line for line in texts) > 5
    browser.press("Enter")
    assert browser.run("shown[state.chosen]") == 1
    browser.press("/")
    browser.type("no such thing")
    assert text(browser, "count") == "0 of 90"
    assert not browser.run("element('nothing').hidden")
    browser.press("ArrowLeft")
    browser.press("Escape")
    assert text(browser, "count") == ""
    assert browser.run("element('nothing').hidden && element('filter').value === ''")


def test_tags_and_composed_letters_are_found(browser: chromium.Chromium) -> None:
    label = browser.run("tagsOf(20)[1].label")
    browser.run(f"element('filter').value = {label.upper()!r}, filter()")
    assert browser.run("shown[20]") == 1
    browser.run("element('filter').value = '声 \\u00e9', filter()")  # the name has e and an accent
    assert text(browser, "count") == "1 of 90"


def test_groups_are_counted_and_can_be_shown_alone(browser: chromium.Chromium) -> None:
    browser.press("c")
    assert browser.run("element('by-folder').getAttribute('aria-pressed')") == "true"
    legend = browser.run(
        "[...element('legend').children].map((b) => [b.children[1].innerText, Number(b.children[2].innerText)])"
    )
    assert len(legend) == 11
    assert legend[-1][0] == "other"
    assert sum(size for _, size in legend) == N_CLIPS
    assert legend[0] == ["(top folder)", 11]
    browser.run("element('legend').children[1].focus(), element('legend').children[1].click()")
    assert text(browser, "count") == f"{legend[1][1]} of 90"
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    browser.press("Escape")
    assert text(browser, "count") == ""

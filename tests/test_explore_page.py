"""The page of a dataset in a real browser: what is seen, played and said, and that nothing can break out of it.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_clips
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.explore import spectrograms
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.projection import project
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.space import Space
from hear_edgel3.tagging.tagger import Tagger
from support import chromium, signals
from support.datasets import description, write_rows

pytestmark = pytest.mark.skipif(
    chromium.find() is None, reason="no Chromium is installed (set HEAR_EDGEL3_CHROMIUM to one)"
)

SIZE = 8
ODD = [
    b"quotes\"'`.wav",
    b"<img src=x onerror=alert(1)>.wav",
    b"a</script>b.wav",  # a folder and a file
    b"new\nline.wav",
    "ünïcode 声 e\u0301.wav".encode(),
    b"100% #1?&x=1.wav",
    b"a:b.wav",
    b"\xff\xfe.wav",
    b"\\x41.wav",
    b"{{scripts}}${x}.wav",
]
N = 90  # more than one block of spectrograms


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page, its dataset and its sounds: odd names, then plain ones, one gone, and one in AU."""
    root = tmp_path_factory.mktemp("explore page #1")
    files = [root / "audio" / os.fsdecode(name) for name in ODD]
    files += [root / "audio" / f"kind {i % 12}" / f"clip {i}.wav" for i in range(N - len(ODD) - 2)]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            soundfile.write(opened, signals.clip(0.4 + i / 200, 16000, seed=i), 16000, format="WAV")
    old = root / "audio" / "old.au"
    soundfile.write(old, signals.clip(0.5, 16000), 16000)
    files += [old, root / "audio" / "gone.wav"]
    values = np.random.RandomState(0).randn(N, SIZE).astype(np.float32)
    rows: list[dict[str, Any]] = [
        {"file": text_of_path(file), "embedding": value, "duration_s": 0.4 + i / 200, "sample_rate": 16000}
        for i, (file, value) in enumerate(zip(files, values, strict=True))
    ]
    rows.append({"file": "bad<b>.wav", "error": "AudioFileError: bad<b>.wav is empty (0 bytes)"})
    write_rows(root / "embeddings", description(SIZE), rows)
    explore(root / "embeddings", root / "page.html", projection="pca", title="Odd </title> & <b>sounds</b>")
    return root


@pytest.fixture(scope="module")
def opened() -> Iterator[chromium.Chromium]:
    with chromium.Chromium() as browser:
        yield browser


@pytest.fixture
def browser(opened: chromium.Chromium, made: Path) -> chromium.Chromium:
    """The page, freshly loaded, in light colours."""
    opened.prefer("light")
    opened.resize(1280, 800)
    opened.open(made / "page.html")
    return opened


def text(browser: chromium.Chromium, name: str) -> str:
    found: str = browser.run(f"document.getElementById('{name}').textContent")
    return found


def chosen(browser: chromium.Chromium) -> int:
    number: int = browser.run("state.chosen")
    return number


def place_of(browser: chromium.Chromium, clip: int) -> tuple[float, float]:
    """Of a clip, in the browser's window."""
    x, y = browser.run(
        f"(({{left, top}}) => [left + screenX({clip}), top + screenY({clip})])(canvas.getBoundingClientRect())"
    )
    return x, y


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
    places = [place_of(browser, i) for i in range(N)]
    left, top = browser.run("(({left, top}) => [left, top])(canvas.getBoundingClientRect())")
    seen = 0
    for i, (x, y) in enumerate(places):
        others = [j for j in range(N) if j != i and np.hypot(places[j][0] - x, places[j][1] - y) < 20]
        if others or not (left + 10 < x < left + 900 and top + 10 < y < top + 600):
            continue
        pixel = browser.run(f"[...pixels.getImageData({round(x - left)}, {round(y - top)}, 1, 1).data]")
        colour = browser.run(f"colourOf({i})")
        assert "#" + "".join(f"{value:02x}" for value in pixel[:3]) == colour
        seen += 1
    assert seen > 15


def test_spectrograms_come_out_as_they_went_in(browser: chromium.Chromium, made: Path) -> None:
    clips = read_clips(Dataset(made / "embeddings"))
    for i in (0, 63, 64, 80):
        samples, rate = soundfile.read(made / "audio" / ODD[0].decode() if i == 0 else clips.files[i], dtype="float32")
        expected = spectrograms.thumbnail(spectrograms.at_rate(torch.from_numpy(samples), rate))
        seen = browser.run(f"spectrogramOf({i}).then((levels) => [...levels])")
        assert seen == expected.ravel().tolist()
    browser.run("choose(64), 1")
    browser.wait_for("!element('spectrogram').hidden")
    painted = browser.run("[...element('spectrogram').getContext('2d').getImageData(0, 47, 96, 1).data]")
    lowest = browser.run("spectrogramOf(64).then((levels) => [...levels.slice(0, 96)].map((l) => HEAT[l]))")
    assert [r | g << 8 | b << 16 | 255 << 24 for r, g, b in np.reshape(painted, (96, 4))[:, :3].tolist()] == lowest
    assert browser.run("element('spectrogram').ariaLabel ?? element('spectrogram').getAttribute('aria-label')") != ""


def test_the_panel_has_tags_and_neighbours(browser: chromium.Chromium, made: Path) -> None:
    clips = read_clips(Dataset(made / "embeddings"))
    browser.run("choose(20), 1")
    top = Tagger().tag_file(clips.files[20]).top(5)
    shown = browser.run("[...element('tags').children].map((item) => item.innerText.split('\\n'))")
    assert shown == [[tag.label, f"{round(100 * tag.probability)} %"] for tag in top]
    alike = Space.fit([clips.vectors], clips.vectors.shape[1], len(clips.files)).place(clips.vectors)
    numbers, similarities = nearest(alike, 8)
    near = browser.run(
        "[...element('neighbours').querySelectorAll('button')].map((b) => [b.title, b.lastChild.innerText])"
    )
    expected = [
        [os.path.relpath(clips.files[j], made / "audio"), f"{s:.3f}"]
        for j, s in zip(numbers[20], similarities[20], strict=True)
    ]
    assert near == expected
    browser.run("element('neighbours').querySelectorAll('button')[2].click()")
    assert chosen(browser) == numbers[20][2]


def test_missing_and_unplayable_sounds_are_said(browser: chromium.Chromium) -> None:
    browser.run(f"choose({N - 1}, {{sound: true}}), 1")
    browser.wait_for("!element('no-spectrogram').hidden")
    assert "gone.wav does not exist" in text(browser, "note")
    assert browser.run("element('play').disabled")
    browser.run(f"choose({N - 2}, {{sound: true}}), 1")
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


def test_embedded_sounds_play_wherever_the_page_is(opened: chromium.Chromium, made: Path, tmp_path: Path) -> None:
    explore(made / "embeddings", made / "mail.html", projection="pca", tags=False, embed_audio=True)
    shutil.move(made / "mail.html", tmp_path / "mail.html")
    opened.open(tmp_path / "mail.html")
    for clip in (0, N - 2):
        opened.run(f"choose({clip}, {{sound: true}}), 1")
        opened.wait_for("audio.currentTime > 0")
        assert opened.run("audio.src.startsWith('data:audio/mpeg')")
    assert opened.run("element('by-tag').disabled && state.by === 'folder'")
    assert opened.complaints == []


# --- moving about ---


def test_hovering_names_a_clip_and_a_click_plays_it(browser: chromium.Chromium) -> None:
    clip = browser.run("clipInTheMiddle()")
    x, y = place_of(browser, clip)
    browser.mouse("mouseMoved", x + 1, y + 1)
    assert text(browser, "tooltip").startswith(browser.run(f"data.names[{clip}]"))
    assert not browser.run("element('tooltip').hidden")
    browser.click(x, y)
    assert chosen(browser) == clip
    browser.wait_for("loaded === state.chosen && (isPlaying() || audio.ended)")
    browser.mouse("mouseMoved", 3, 70)
    assert browser.run("element('tooltip').hidden")


def test_the_grid_finds_what_a_search_of_all_finds(browser: chromium.Chromium) -> None:
    wrong = browser.run(
        """(() => {
        let wrong = 0;
        for (let trial = 0; trial < 400; trial++) {
            if (trial === 200) zoomBy(5, 300, 200);
            const x = Math.random() * view.width, y = Math.random() * view.height, reach = 1 + trial % 60;
            let best = -1, least = reach;
            for (let clip = 0; clip < count; clip++) {
                const distance = Math.hypot(screenX(clip) - x, screenY(clip) - y);
                if (distance <= least) [best, least] = [clip, distance];
            }
            if (clipAt(x, y, reach) !== best) wrong++;
        }
        return wrong;
        })()"""
    )
    assert wrong == 0


def test_arrows_go_in_their_direction(browser: chromium.Chromium, made: Path) -> None:
    places = project(read_clips(Dataset(made / "embeddings")).vectors, "pca")[0]
    browser.run("canvas.focus()")
    browser.press("ArrowDown")
    assert chosen(browser) == browser.run("clipInTheMiddle()")
    for key, axis, sign in (("ArrowRight", 0, 1), ("ArrowUp", 1, 1), ("ArrowLeft", 0, -1), ("ArrowDown", 1, -1)):
        before = chosen(browser)
        browser.press(key)
        after = chosen(browser)
        step = (places[after] - places[before])[axis] * sign
        assert after != before
        assert step >= abs((places[after] - places[before])[1 - axis])
    for _ in range(N):
        browser.press("ArrowRight")
    assert chosen(browser) == places[:, 0].argmax()
    x, y = place_of(browser, chosen(browser))
    assert 0 < x < 940
    assert 58 < y < 800
    assert text(browser, "said").startswith(browser.run("pathOf(state.chosen)"))


def test_n_and_p_go_through_the_nearest_of_one_clip(browser: chromium.Chromium) -> None:
    browser.run("choose(40), canvas.focus()")
    near = browser.run("neighboursOf(40).map(({clip}) => clip)")
    visited = []
    for key in "nnnpppp":
        browser.press(key)
        visited.append(chosen(browser))
    assert visited == [near[0], near[1], near[2], near[1], near[0], 40, 40]
    for _ in range(9):
        browser.press("n")
    assert chosen(browser) == near[-1]


def test_full_stop_and_comma_go_by_name(browser: chromium.Chromium) -> None:
    browser.run("document.body.focus()")
    browser.run("element('filter').value = 'kind 3/', filter()")
    names = []
    for key in (".", ".", ",", ",", ","):
        browser.press(key)
        names.append(browser.run("data.names[state.chosen]"))
    every = sorted((f"clip {i}.wav" for i in range(3, N - len(ODD) - 2, 12)), key=lambda n: int(n[5:-4]))
    assert names == [every[0], every[1], every[0], every[-1], every[-2]]


def test_wheel_drag_and_keys_move_the_map(browser: chromium.Chromium) -> None:
    x, y = place_of(browser, 50)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    assert browser.run("view.zoom") > 1.5
    assert place_of(browser, 50) == (pytest.approx(x, abs=1.5), pytest.approx(y, abs=1.5))
    before = place_of(browser, 50)
    browser.mouse("mousePressed", 200, 300, button="left", clickCount=1)
    for step in range(1, 11):
        browser.mouse("mouseMoved", 200 + 6 * step, 300 - 3 * step, button="left", buttons=1)
    browser.mouse("mouseReleased", 260, 270, button="left", clickCount=1)
    after = place_of(browser, 50)
    # A few pixels pass before it is a drag.
    assert after[0] - before[0] == pytest.approx(60, abs=8)
    assert after[1] - before[1] == pytest.approx(-30, abs=4)
    assert chosen(browser) == -1
    browser.press("0")
    assert browser.run("[view.zoom, view.x, view.y]") == [1, 0, 0]
    browser.press("+", "+", "-")
    assert browser.run("view.zoom") == pytest.approx(1.4)


def test_two_fingers_zoom(browser: chromium.Chromium) -> None:
    def touch(kind: str, *points: tuple[float, float]) -> None:
        found = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        browser.send("Input.dispatchTouchEvent", type=kind, touchPoints=found)

    touch("touchStart", (400, 300), (500, 300))
    for step in range(1, 11):
        touch("touchMove", (400 - 5 * step, 300), (500 + 5 * step, 300))
    touch("touchEnd")
    assert browser.run("view.zoom") == pytest.approx(2, rel=0.1)
    assert browser.run("pointers.size") == 0
    assert chosen(browser) == -1


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
    assert sum(size for _, size in legend) == N
    assert legend[0] == ["(top folder)", 11]
    browser.run("element('legend').children[1].focus(), element('legend').children[1].click()")
    assert text(browser, "count") == f"{legend[1][1]} of 90"
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    browser.press("Escape")
    assert text(browser, "count") == ""


# --- looks ---


def test_light_and_dark(browser: chromium.Chromium) -> None:
    corner = "[...pixels.getImageData(2, 2, 1, 1).data].slice(0, 3)"
    assert browser.run(f"drawNow(), {corner}") == [0xFA, 0xF9, 0xF7]
    browser.prefer("dark")
    browser.wait_for("document.documentElement.dataset.theme === 'dark'")
    assert browser.run(f"drawNow(), {corner}") == [0x15, 0x17, 0x1A]
    # Asked before the browser has told the page: it must follow all the same.
    browser.prefer("light")
    browser.run("choose(20), scrollTo(0, 600), new Promise(requestAnimationFrame)")
    assert browser.run("document.documentElement.dataset.theme") == "light"
    browser.run("element('theme').click()")
    assert browser.run(f"drawNow(), {corner}") == [0x15, 0x17, 0x1A]
    browser.prefer("dark")
    browser.prefer("light")
    assert browser.run("drawNow(), theme()") == "dark"  # what was chosen stays


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (800, 600), (390, 844), (320, 568)])
def test_nothing_is_cut_off(browser: chromium.Chromium, width: int, height: int) -> None:
    browser.resize(width, height, mobile=width < 500)
    browser.run("choose(64), new Promise(requestAnimationFrame)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    for name in ("filter", "theme", "map", "legend", "play", "neighbours"):
        left, right = browser.run(f"(({{left, right}}) => [left, right])(element('{name}').getBoundingClientRect())")
        assert 0 <= left < right <= width


def test_everything_that_can_be_pressed_has_a_name_and_can_be_reached(browser: chromium.Chromium) -> None:
    browser.run("choose(64), 1")
    nameless = browser.run(
        """[...document.querySelectorAll('button, input, canvas[tabindex], summary')].filter((node) =>
        !(node.getAttribute('aria-label') ?? node.innerText).trim() && node.checkVisibility()).map((node) => node.id)"""
    )
    assert nameless == []
    reached = set()
    for _ in range(40):
        browser.press("Tab")
        reached.add(browser.run("document.activeElement.id"))
        outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
        assert browser.run("document.activeElement === document.body") or outline != "none"
    assert {"filter", "map", "play", "seek", "theme", "help-open", "zoom-in"} <= reached


def test_help_opens_and_closes_with_keys(browser: chromium.Chromium) -> None:
    browser.press("?")
    assert browser.run("element('help').open")
    browser.press("ArrowRight")
    assert chosen(browser) == -1
    browser.press("Escape")
    browser.wait_for("!element('help').open")


# --- safety ---


def test_the_policy_lets_nothing_out_or_in(browser: chromium.Chromium) -> None:
    tried = browser.run(
        """Promise.all([
        fetch('http://127.0.0.1:9/').then(() => 'fetched', (error) => error.name),
        new Promise((done) => {
            const image = new Image();
            image.onload = () => done('loaded');
            image.onerror = () => done('refused');
            image.src = 'http://127.0.0.1:9/a.png';
        }),
        new Promise((done) => {
            const script = document.createElement('script');
            script.textContent = 'window.broken = true';
            document.body.append(script);
            setTimeout(() => done(window.broken ?? 'not run'), 50);
        }),
        ])"""
    )
    assert tried == ["TypeError", "refused", "not run"]
    refused = [line for line in browser.complaints if "Content Security Policy" in line]
    assert len(refused) >= 3


def test_only_the_page_and_its_sounds_are_read(browser: chromium.Chromium) -> None:
    browser.run("choose(20, {sound: true}), 1")
    browser.wait_for("audio.currentTime > 0")
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert asked
    assert all(re.fullmatch(r"file://.*/(page\.html|audio/.*)", url) for url in asked)

"""Moving about the page of a dataset in a real browser, its looks, and that nothing can break out of it.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.explore.projection import project
from support import chromium
from support.pages import N_CLIPS, ODD, chosen, needs_chromium, place_of, text

pytestmark = needs_chromium

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


def test_arrows_go_in_their_direction(browser: chromium.Chromium, made_page: Path) -> None:
    places = project(read_file_means(Dataset(made_page / "embeddings")).vectors, "pca")[0]
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
    for _ in range(N_CLIPS):
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
    every = sorted((f"clip {i}.wav" for i in range(3, N_CLIPS - len(ODD) - 2, 12)), key=lambda n: int(n[5:-4]))
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

"""Selecting clips in a real browser, giving them labels, and the tables that come of it."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.projection import neighbours_kept, project
from hear_edgel3.jobs.run import extract
from hear_edgel3.labels import read_labelled
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.whitening import Whitening
from support import chromium, signals
from support.pages import N_CLIPS, contents_of, needs_chromium, place_of, text, thumbnails_of, write_odd_clip


def selected(browser: chromium.Chromium) -> list[int]:
    found: list[int] = browser.run("selectedClips()")
    return found


@pytest.fixture(autouse=True)
def saved(request: pytest.FixtureRequest) -> Iterator[None]:
    """No label stays behind in the browser."""
    yield
    if "opened" in request.fixturenames or "browser" in request.fixturenames:
        request.getfixturevalue("opened").run("(localStorage.clear(), 1)")


def draw_around(browser: chromium.Chromium, left: float, top: float, right: float, bottom: float, shift: bool) -> None:
    held = {"modifiers": 8} if shift else {}
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    browser.mouse("mousePressed", *corners[0], button="left", clickCount=1, **held)
    for x, y in corners[1:]:
        browser.mouse("mouseMoved", x, y, button="left", buttons=1, **held)
    browser.mouse("mouseReleased", *corners[-1], button="left", clickCount=1, **held)


@needs_chromium
def test_a_lasso_selects_what_is_in_it_and_shown(browser: chromium.Chromium) -> None:
    places = np.array([place_of(browser, i) for i in range(N_CLIPS)])
    middle = np.median(places, axis=0)
    inside = [i for i, (x, y) in enumerate(places) if x < middle[0] and y < middle[1]]
    view = browser.run("[view.zoom, view.x, view.y]")
    draw_around(browser, places[:, 0].min() - 15, places[:, 1].min() - 15, *middle, shift=True)
    assert selected(browser) == inside
    assert browser.run("[view.zoom, view.x, view.y]") == view  # it was no drag
    assert text(browser, "selection-heading") == f"{len(inside)} clips selected"
    assert browser.run("document.querySelectorAll('#selected li').length") == len(inside)
    browser.run("element('select-nothing').click()")
    assert browser.run("element('selection').hidden")
    browser.run("(element('filter').value = 'kind', filter(), element('lasso').click())")
    draw_around(browser, places[:, 0].min() - 15, places[:, 1].min() - 15, *middle, shift=False)
    assert selected(browser) == [i for i in inside if browser.run(f"pathOf({i}).includes('kind')")]
    browser.press("Escape")
    assert browser.run("element('lasso').getAttribute('aria-pressed')") == "false"
    assert browser.complaints == []


@needs_chromium
def test_labels_become_a_table_that_train_reads(browser: chromium.Chromium, made_page: Path) -> None:
    browser.run("(choose(12), canvas.focus())")
    browser.press("s")
    assert selected(browser) == [12]
    browser.press("s")
    assert selected(browser) == []
    browser.run("select([1, 12, 13])")
    browser.press("l")
    browser.run("(element('label').value = ' frog, \"big\" ', element('labelling').requestSubmit())")
    browser.run("(selectNothing(), select([20, 21]), giveLabel('rain'))")
    assert text(browser, "labels-given") == "5 clips with a label"
    assert browser.run("[...element('known-labels').children].map((one) => one.value)") == ['frog, "big"', "rain"]
    table = Path("labels.csv")
    table.write_bytes(browser.run("labelsTable()").encode())
    files = read_file_means(Dataset(made_page / "embeddings")).files
    labelled = read_labelled(table)
    assert labelled.classes == ('frog, "big"', "rain")
    assert sorted(item.file for item in labelled.items) == sorted(files[i] for i in (1, 12, 13, 20, 21))
    browser.run("giveLabel('')")
    assert browser.run("[...labelled.keys()]") == [1, 12, 13]
    rows = list(csv.DictReader(io.StringIO(browser.run("selectionTable()"))))
    assert [row["file"] for row in rows] == [files[20], files[21]]
    assert rows[0]["tag"] == browser.run("tagsOf(20)[0].label")
    assert rows[0]["label"] == ""


@needs_chromium
def test_labels_stay_in_the_browser_and_come_back_from_a_table(browser: chromium.Chromium, made_page: Path) -> None:
    browser.run("(select([1, 12]), giveLabel(' a \"b\"'), selectNothing(), select([20]), giveLabel('rain, hail'), 1)")
    x, y = place_of(browser, 20)
    ink = "pixels.getImageData(...[{}, {}].map(Math.round), 1, 1).data[0]"
    ringed = ink.format(
        f"{x} - canvas.getBoundingClientRect().left", f"{y} - canvas.getBoundingClientRect().top - dotRadius() - 2"
    )
    browser.run("(drawNow(), 1)")
    assert browser.run(ringed) < 0x40
    table = Path("labels.csv")
    table.write_bytes(browser.run("labelsTable()").encode())
    browser.open(made_page / "page.html")
    assert browser.run("[...labelled]") == [[1, 'a "b"'], [12, 'a "b"'], [20, "rain, hail"]]
    assert not browser.run("unsaved")
    assert text(browser, "train-command") == "hear-edgel3 train --data labels.csv --output detector"
    browser.run("(localStorage.clear(), labelled.clear(), 1)")
    with table.open("a") as file:
        file.write("elsewhere.wav,owl\n")
    document = browser.send("DOM.getDocument")["root"]["nodeId"]
    node = browser.send("DOM.querySelector", nodeId=document, selector="#labels-file")["nodeId"]
    browser.send("DOM.setFileInputFiles", nodeId=node, files=[str(table.resolve())])
    browser.wait_for("element('loaded').textContent !== ''")
    assert text(browser, "loaded") == "3 labels loaded; 1 row of no clip on this page, or without a label"
    assert browser.run("labelsTable()") + "elsewhere.wav,owl\n" == table.read_text()
    assert browser.run("loadLabels('name\\nx')").startswith("This is no table of labels")
    browser.run("(Storage.prototype.setItem = () => { throw new Error('full'); }, select([3]), giveLabel('x'), 1)")
    assert browser.run("unsaved")
    browser.run("(unsaved = false, 1)")
    assert browser.complaints == []


@needs_chromium
def test_both_tables_are_saved_under_the_policy(browser: chromium.Chromium, tmp_path: Path) -> None:
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.run("(select([3, 4]), giveLabel('x'), element('save-labels').click(), 1)")
    browser.wait_for("!unsaved")
    for _ in range(100):
        if (tmp_path / "labels.csv").exists():
            break
        browser.run("new Promise((resolve) => setTimeout(resolve, 100))")
    assert (tmp_path / "labels.csv").read_text().splitlines()[0] == "file,label"
    assert browser.complaints == []


@needs_chromium
def test_clips_of_files_are_saved_with_their_seconds(opened: chromium.Chromium) -> None:
    write_odd_clip("long.wav", seconds=2)
    Path("clips.csv").write_text("file,start,end\nlong.wav,0,0.25\nlong.wav,0.25,0.5\nlong.wav,1.25,\nlong.wav,0,1\n")
    extract("clips.csv", "embeddings", workers=1)
    explore("embeddings", "page.html", tags=False)
    opened.open(Path("page.html").resolve())
    opened.run("(select([1, 2]), giveLabel('part'))")
    table = "file,start,end,label\nlong.wav,0.25,0.5,part\nlong.wav,1.25,,part\n"
    assert opened.run("labelsTable()") == table
    opened.open(Path("page.html").resolve())
    assert opened.run("labelsTable()") == table
    assert (
        text(opened, "train-command") == f"hear-edgel3 train --data labels.csv --audio {Path.cwd()} --output detector"
    )


ONE_LINE = """
(() => {
  const words = [...element("train-command").children];
  return words.length === 10 && words.filter((word) => word.textContent.length < 20).every((word) => {
    const range = document.createRange();
    range.selectNodeContents(word);
    return new Set([...range.getClientRects()].map((rect) => rect.top)).size === 1;
  });
})()
"""


@needs_chromium
def test_the_command_learns_from_the_channel_that_was_embedded(opened: chromium.Chromium) -> None:
    sounds = np.stack([signals.clip(0.5, 16000, seed=seed) for seed in (0, 1)], axis=1)
    for i in range(3):
        soundfile.write(f"{i}.wav", sounds[i:], 16000)
        soundfile.write(f"one-{i}.wav", sounds[i:, 1], 16000)
    extract(["0.wav", "1.wav", "2.wav"], "embeddings", workers=1, channel=1)
    extract(["one-0.wav", "one-1.wav", "one-2.wav"], "mono", workers=1)
    for dataset in ("embeddings", "mono"):
        explore(dataset, f"{dataset}.html", projection="pca")
    pages = [contents_of(f"{dataset}.html") for dataset in ("embeddings", "mono")]
    assert [page["channel"] for page in pages] == [1, None]
    assert pages[0]["probabilities"] == pages[1]["probabilities"]  # tags are of what was embedded
    np.testing.assert_array_equal(*(thumbnails_of(f"{one}.html", 3) for one in ("embeddings", "mono")))
    opened.open(Path("embeddings.html").resolve())
    opened.run("(select([0]), giveLabel('tone'), 1)")
    command = f"hear-edgel3 train --data labels.csv --audio {Path.cwd()} --channel 1 --output detector"
    assert text(opened, "train-command") == command
    assert opened.run(ONE_LINE)  # no line ends behind the hyphens of an option


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
def test_the_map_keeps_neighbours_near() -> None:
    # Vectors of real nets have a few directions that all share, and by which raw cosines are decided.
    random = np.random.RandomState(0)
    centres = random.randn(30, 24)
    values = centres[np.arange(300) % 30] + 0.5 * random.randn(300, 24)
    shared = np.concatenate([values, 6 * random.randn(300, 2)], axis=1) @ random.randn(26, 26)
    values = shared.astype(np.float32)
    white = Whitening.fit([values], values.shape[1], len(values)).apply(values)
    listed, _ = nearest(white, 8)

    by_near, by_values = (project(values, "umap", near=near)[0] for near in (white, None))
    kept, before = neighbours_kept(by_near, listed), neighbours_kept(by_values, listed)
    assert kept is not None
    assert before is not None
    assert kept > before + 0.1


def test_how_many_neighbours_the_map_keeps() -> None:
    places = np.array([[0, 0], [1, 0], [3, 0], [10, 0]], np.float32)
    assert neighbours_kept(places, np.array([[1, 2], [0, 2], [1, 0], [2, 1]])) == 1
    assert neighbours_kept(places, np.array([[3], [0], [1], [0]])) == 0.5
    assert neighbours_kept(places, np.array([[1, -1], [0, -1], [1, -1], [2, -1]])) == 1
    assert neighbours_kept(places[:1], np.array([[-1]])) is None

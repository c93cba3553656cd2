"""Clips that know when and where they were recorded are laid out by that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.explore.build import explore
from hear_edgel3.jobs.run import extract
from hear_edgel3.recorded import TimeAndPlace
from support import chromium
from support.pages import contents_of, decoded, needs_chromium, text, write_dataset, write_odd_clip

NAMES = ["north/SM4_20240501_213000.wav", "south/SM4_20240502_060000.wav", "south/other.wav"]


def write_page(**options: object) -> Path:
    for i, name in enumerate(NAMES):
        write_odd_clip(name, 2.5, seed=i)
    extract(NAMES, "embeddings", timestamps=True, hop_ms=500.0, workers=1, recorded=TimeAndPlace())
    explore("embeddings", "page.html", tags=False, **options)  # type: ignore[arg-type]
    return Path("page.html").resolve()


def test_when_and_where_each_stretch_was_recorded() -> None:
    write_page(segments=1.0)
    found = contents_of("page.html")
    began = [datetime(2024, 5, 1, 21, 30, tzinfo=UTC), datetime(2024, 5, 2, 6, tzinfo=UTC)]
    times = [moment.timestamp() + i for moment in began for i in range(3)]
    np.testing.assert_array_equal(decoded(found["recorded"], "<f8"), [*times, *[np.nan] * 3])
    assert found["sites"] == ["north", "south"]
    assert decoded(found["site_of"], "<i4").tolist() == [0] * 3 + [1] * 6


@needs_chromium
def test_layouts_and_colours(opened: chromium.Chromium) -> None:
    opened.open(write_page())
    before = opened.run("[...places]")
    opened.run("(element('as-dates').click(), 1)")
    x, y = np.array(opened.run("[...places]")).reshape(-1, 2).T
    np.testing.assert_allclose(x[:2], [2 * 21.5 / 24 - 1, -0.5], rtol=1e-6)
    assert x[2] < -1.1  # before the day
    assert y[0] > y[1] > y[2]  # the later day below, and below all days what has none
    days = opened.run("ticks.filter((one) => one.axis === 'y').map((one) => one.text)")
    assert days == ["no date", "2024-05-01", "2024-05-02"]
    assert opened.run("clipAt(screenX(1), screenY(1), 3)") == 1
    assert opened.run("clipAt(screenX(2), screenY(2), 3)") == 2
    opened.run("canvas.focus()")
    opened.press("m")
    assert opened.run("state.layout") == "sites"
    rows = np.array(opened.run("[...places]")).reshape(-1, 2)[:, 1]
    assert abs(rows[1] - rows[2]) < 0.2 < rows[0] - rows[1]
    opened.run("(element('by-hour').click(), 1)")
    assert opened.run("groupings.hour.names") == ["21 to 24 h", "6 to 9 h"]
    legend = "[...element('legend').querySelectorAll('.label')].map((one) => one.textContent)"
    assert opened.run(legend) == ["21 to 24 h", "6 to 9 h", "no time"]
    assert text(opened, "meaning").startswith("Each dot is a clip, in the row of its site")
    opened.run("(choose(1), 1)")
    assert text(opened, "clip-facts").startswith("2024-05-02 06:00:00 · south · 2.5 s")
    opened.run("(choose(2), 1)")
    assert text(opened, "clip-facts").startswith("south · 2.5 s")
    opened.press("c")
    assert opened.run("[state.by, groupings.site.names]") == ["folder", ["south", "north"]]
    opened.press("m")
    assert opened.run("[...places]") == before
    assert text(opened, "meaning") == "Each dot is a clip; clips that sound alike to the net lie close together."
    assert opened.complaints == []


@needs_chromium
def test_what_is_written_beside_the_dots_does_not_lie_on_them(opened: chromium.Chromium) -> None:
    """Whatever the size, and however long a site's name is: dots fill what is left of the canvas."""
    page = write_page()
    contents = page.read_text().replace('"south"', f'"south of {"a very long way round " * 9}"')
    page.write_text(contents)
    opened.open(page)
    for width, height in ((1280, 800), (390, 844)):
        opened.resize(width, height)
        for layout in ("dates", "sites"):
            opened.run(f"(layOut({layout!r}), 1)")
            opened.wait_for("marks.width === Math.round(marks.getBoundingClientRect().width)")
            xs, ys = (np.array(opened.run(f"[0, 1, 2].map(screen{axis})")) for axis in "XY")
            names = "ticks.filter((one) => one.axis === 'y').map((one) => fitted(one.text, margins().left - 20))"
            ends = opened.run(f"{names}.map((text) => 8 + widthOf(text))")
            radius, (w, h) = opened.run("dotRadius()"), opened.run("[view.width, view.height]")
            assert max(ends) + radius < min(xs)
            assert max(xs) + radius < w - 44  # where the buttons are
            assert max(ys) + radius < h - 20  # where the hours are
            assert max(ys) - min(ys) > 0.6 * (h - 68)
            assert all(opened.run(f"clipAt(screenX({i}), screenY({i}), 3)") == i for i in range(3))
        assert opened.run("ticks.some((one) => fitted(one.text, margins().left - 20).endsWith('…'))")
    # What is under the pointer stays there, and a drag moves it with the pointer, in both directions.
    before = opened.run("[screenX(1), screenY(1)]")
    opened.run("(zoomBy(2, ...[screenX(1), screenY(1)]), panBy(7, 5), 1)")
    assert opened.run("[screenX(1), screenY(1)]") == pytest.approx([before[0] + 7, before[1] + 5])
    opened.resize(1280, 800)
    assert opened.complaints == []


@needs_chromium
def test_the_whole_day_is_there_and_hours_stand_where_they_are(opened: chromium.Chromium) -> None:
    names = NAMES[1:2]
    write_odd_clip(names[0])
    extract(names, "embeddings", workers=1, recorded=TimeAndPlace())
    explore("embeddings", "page.html", tags=False)
    opened.resize(1280, 800)
    opened.open(Path("page.html").resolve())
    opened.run("(layOut('dates'), 1)")
    left, right = opened.run("[onScreenX(-1), onScreenX(1)]")
    assert 0 < left < right < opened.run("view.width - BUTTONS")
    written = "(() => { const found = {}, fillText = pen.fillText; pen.fillText = (text, x) => { found[text] = x; };"
    written += " drawMarksNow(); pen.fillText = fillText; return found; })()"
    assert {"00:00", "06:00", "24:00", "2024-05-02"} <= {*opened.run(written)}
    opened.run("(panBy(-200, 0), zoomBy(1.5), 1)")  # hours before the left edge are gone, not at it
    moved = opened.run(written)
    assert "00:00" not in moved
    half = opened.run("widthOf('12:00')") / 2
    for hour in (one for one in moved if one.endswith(":00")):
        assert moved[hour] + half == pytest.approx(opened.run(f"onScreenX({int(hour[:2])} / 12 - 1)"), abs=1)


@needs_chromium
def test_a_group_is_named_where_it_is_most_of_what_is_there(opened: chromium.Chromium) -> None:
    names = [f"{i}.wav" for i in range(12)]
    for name in names:
        write_odd_clip(name)
    explore(write_dataset(names), "page.html", tags=False)
    opened.open(Path("page.html").resolve())
    opened.run("places.set(Array.from(places, (_, i) => (i < 14 ? 0.1 : -0.9)))")
    groups = "[0, 0, 0, 1, 1, 2, 3, 0, 1, 1, 1, 1]"  # of the first seven clips, three, two, one and one
    assert opened.run(f"placesOfNames(['a', 'b'], {groups}).map((one) => one.name)") == ["b"]
    groups = "[0, 0, 0, 0, 1, 2, 3, 0, 1, 1, 1, 1]"
    assert opened.run(f"placesOfNames(['a', 'b'], {groups}).map((one) => one.name)") == ["a", "b"]


@needs_chromium
def test_what_a_dataset_does_not_say_is_not_offered(opened: chromium.Chromium) -> None:
    write_odd_clip("a.wav")
    explore(write_dataset(["a.wav"]), "page.html", tags=False)
    opened.open(Path("page.html").resolve())
    assert opened.run("['layouts', 'by-site', 'by-hour'].map((id) => element(id).hidden)") == [True] * 3
    assert not opened.run("element('by-folder').hidden")

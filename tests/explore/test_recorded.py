"""Clips that know when and where they were recorded are laid out by that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hear_edgel3.explore.build import explore
from hear_edgel3.jobs.run import extract
from hear_edgel3.recorded import TimeAndPlace
from support import chromium
from support.pages import contents_of, decoded, needs_chromium, write_dataset, write_odd_clip

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
    np.testing.assert_allclose(x, [2 * 21.5 / 24 - 1, -0.5, -1.1], rtol=1e-6)
    assert y[0] > y[2] > y[1]  # the later day below, and between them the one that is unknown
    days = opened.run("ticks.filter((one) => one.axis === 'y').map((one) => one.text)")
    assert days == ["2024-05-01", "2024-05-02"]
    assert opened.run("clipAt(screenX(1), screenY(1), 3)") == 1
    assert opened.run("clipAt(screenX(2), screenY(2), 3)") == 2
    opened.run("canvas.focus()")
    opened.press("m")
    assert opened.run("state.layout") == "sites"
    rows = np.array(opened.run("[...places]")).reshape(-1, 2)[:, 1]
    assert abs(rows[1] - rows[2]) < 0.2 < rows[0] - rows[1]
    opened.run("(element('by-hour').click(), 1)")
    assert opened.run("groupings.hour.names") == ["21 to 24 h", "6 to 9 h"]
    opened.press("c")
    assert opened.run("[state.by, groupings.site.names]") == ["folder", ["south", "north"]]
    opened.press("m")
    assert opened.run("[...places]") == before
    assert opened.complaints == []


@needs_chromium
def test_what_a_dataset_does_not_say_is_not_offered(opened: chromium.Chromium) -> None:
    write_odd_clip("a.wav")
    explore(write_dataset(["a.wav"]), "page.html", tags=False)
    opened.open(Path("page.html").resolve())
    assert opened.run("['layouts', 'by-site', 'by-hour'].map((id) => element(id).hidden)") == [True] * 3
    assert not opened.run("element('by-folder').hidden")

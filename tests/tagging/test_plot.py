"""The picture of tags over time: what is in it, that it can be read, and that a failure leaves nothing behind."""

from __future__ import annotations

import errno
import html
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from matplotlib import image
from matplotlib.figure import Figure

from hear_edgel3.audio.resample import resample
from hear_edgel3.errors import AudioFileError, InvalidOption, MissingExtra, OutputError
from hear_edgel3.scores.names_drawn import EXPLAINED
from hear_edgel3.tagging import plot
from hear_edgel3.tagging.plot import check_plot, draw_tags
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags
from support import signals
from support.tagging import AUDIOSET, RATE


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    """Pictures go into an empty folder."""


def clip(name: str, seconds: float, rate: int = RATE) -> Path:
    soundfile.write(name, signals.clip(seconds, rate, seed=3), rate)
    return Path(name)


def tags_of(starts: Any, ends: Any, duration: float, seed: int = 0) -> ClipTags:
    """Tags with logits far enough apart for their order to be plain."""
    rs = np.random.RandomState(seed)
    logits = rs.permutation(len(starts) * 527).reshape(len(starts), 527).astype(np.float32) / (len(starts) * 100) - 4
    names = ("mn01_as", "mn02_as")
    return ClipTags(names, AUDIOSET, np.array(starts, float), np.array(ends, float), logits, duration)


def most_probable(tags: ClipTags, n: int) -> list[str]:
    highest = tags.probabilities.max(axis=0)
    return [AUDIOSET[i].name for i in sorted(range(527), key=lambda i: -highest[i])[:n]]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would be drawn, without the time that takes."""
    kept: list[Figure] = []

    def savefig(self: Figure, file: Any, **options: Any) -> None:
        kept.append(self)
        file.write(options["format"].encode())

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


# --- files that can be read ---


def test_png(tagger: Tagger) -> None:
    source = clip("a.wav", 3.0, 16000)
    draw_tags(source, tagger.tag_file(source, window=1.0), tagger.extractors[0], "out.png", top=4)
    pixels = image.imread("out.png")
    assert pixels.ndim == 3
    assert pixels.shape[0] > 300
    assert pixels.shape[1] == 1200
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100
    assert sorted(os.listdir()) == ["a.wav", "out.png"]


def test_svg_names_the_file_and_the_classes_the_most_probable_first(tagger: Tagger) -> None:
    source = clip("some & other.wav", 2.0)
    tags = tags_of([0, 0.5, 1], [1, 1.5, 2], 2.0)
    draw_tags(source, tags, tagger.extractors[0], "out.SVG")
    text = Path("out.SVG").read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert text.rstrip().endswith("</svg>")
    comments = [html.unescape(comment) for comment in re.findall(r"<!-- (.*?) -->", text)]  # texts are drawn as shapes
    assert "some & other.wav: mn01_as, mn02_as" in comments
    known = {label.name for label in AUDIOSET}
    assert [c for c in comments if c in known] == most_probable(tags, 10)
    assert {"seconds", "mel band", "probability"} <= {*comments}


def test_pdf(tagger: Tagger) -> None:
    source = clip("a.wav", 0.3)
    draw_tags(str(source), tags_of([0], [0.3], 0.3), tagger.extractors[0], Path("out.pdf"), top=2)
    data = Path("out.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")


# --- what is drawn ---


def test_the_parts(tagger: Tagger, figures: list[Figure]) -> None:
    source = clip("a.wav", 4.0)
    tags = tags_of([0, 1, 2], [2, 3, 4], 4.0)
    draw_tags(source, tags, tagger.extractors[0], "out.png", top=5)
    assert Path("out.png").read_bytes() == b"png"
    (figure,) = figures
    upper, lower, colours = figure.axes
    assert upper.get_title() == "a.wav: mn01_as, mn02_as"
    assert upper.get_ylabel() == "mel band"
    (spectrogram,) = upper.get_images()
    assert spectrogram.get_extent() == [0, 4.0, 0, 128]
    assert spectrogram.origin == "lower"
    np.testing.assert_array_equal(spectrogram.get_array(), plot._spectrogram(source, tagger.extractors[0], 4.0))
    assert [t.get_text() for t in lower.get_yticklabels()] == most_probable(tags, 5)
    assert lower.yaxis_inverted()  # the first one is on top
    assert lower.get_xlim() == upper.get_xlim() == (0, 4.0)
    assert lower.get_xlabel() == "seconds"
    assert colours.get_ylabel() == "probability"
    (mesh,) = lower.collections
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 1)
    classes = [next(i for i, label in enumerate(AUDIOSET) if label.name == name) for name in most_probable(tags, 5)]
    p = tags.probabilities[:, classes]
    expected = np.stack([p[0], (p[0] + p[1]) / 2, (p[1] + p[2]) / 2, p[2]])
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(5, 4), expected.T, rtol=1e-6)
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("top", [1, 527, 9999])
def test_any_number_of_classes(top: int, tagger: Tagger, figures: list[Figure]) -> None:
    source = clip("a.wav", 0.5)
    tags = tags_of([0], [0.5], 0.5)
    draw_tags(source, tags, tagger.extractors[0], "out.svg", top=top)
    assert [t.get_text() for t in figures[0].axes[1].get_yticklabels()] == most_probable(tags, top)
    # As high as the classes need, below a spectrogram that keeps its height.
    assert figures[0].get_size_inches().tolist() == pytest.approx([10, 3 + 0.28 * min(top, 527)])


def test_classes_whose_names_cannot_be_drawn(tagger: Tagger, figures: list[Figure]) -> None:
    """By number where the font has no glyphs; and none is a formula."""
    plain = tags_of([0], [0.5], 0.5)
    first, second, third = (
        AUDIOSET.index(label) for name in most_probable(plain, 3) for label in AUDIOSET if label.name == name
    )
    labels = list(AUDIOSET)
    labels[first], labels[third] = (replace(labels[i], name=name) for i, name in ((first, "鳥"), (third, "a$^$b")))
    tags = replace(plain, labels=tuple(labels))
    draw_tags(clip("a.wav", 0.5), tags, tagger.extractors[0], "out.png", top=3)
    lower = figures[0].axes[1]
    assert [t.get_text() for t in lower.get_yticklabels()] == [f"#{first + 1}", AUDIOSET[second].name, r"a\$^\$b"]
    assert lower.get_xlabel() == f"seconds ({EXPLAINED})"
    draw_tags(clip("b.wav", 0.5), plain, tagger.extractors[0], "out.png", top=3)
    assert figures[1].axes[1].get_xlabel() == "seconds"


def test_windows_that_do_not_touch_leave_gaps(tagger: Tagger, figures: list[Figure]) -> None:
    source = clip("a.wav", 5.0)
    tags = tags_of([0, 2, 4], [1, 3, 5], 5.0)
    draw_tags(source, tags, tagger.extractors[0], "out.png", top=3)
    (mesh,) = figures[0].axes[1].collections
    table = np.ma.asarray(mesh.get_array()).reshape(3, 5)
    assert np.ma.getmaskarray(table).tolist() == [[False, True, False, True, False]] * 3
    np.testing.assert_allclose(table[:, ::2].max(axis=1), np.sort(tags.probabilities.max(axis=0))[:-4:-1], rtol=1e-6)


def test_a_picture_with_gaps_can_be_read(tagger: Tagger) -> None:
    source = clip("a.wav", 1.0)
    draw_tags(source, tagger.tag_file(source, window=0.2, hop=0.4), tagger.extractors[0], "out.png", top=1)
    assert image.imread("out.png").shape[1] == 1200


def test_the_timeline() -> None:
    tags = tags_of([0, 2.5, 5], [10, 12.5, 15], 14.0)
    edges, table = plot._timeline(tags, np.arange(tags.logits.shape[1]))
    assert edges.tolist() == [0, 2.5, 5, 10, 12.5, 14]  # not beyond the clip
    p = tags.probabilities
    expected = [p[0], p[:2].mean(axis=0), p.mean(axis=0), p[1:].mean(axis=0), p[2]]
    np.testing.assert_allclose(table, expected, rtol=1e-6)
    whole = tags_of([0], [7.0], 7.0)
    edges, table = plot._timeline(whole, np.arange(527))
    assert edges.tolist() == [0, 7]
    np.testing.assert_array_equal(table, whole.probabilities)
    longer = tags_of([0], [10.0], 0.25)
    edges, table = plot._timeline(longer, np.arange(527))
    assert edges.tolist() == [0, 0.25]
    np.testing.assert_array_equal(table, longer.probabilities)


def test_the_timeline_is_the_mean_over_the_windows_that_see_a_moment(tagger: Tagger) -> None:
    for window, hop in ((1.0, 0.3), (0.5, 0.8), (0.7, 0.7), (2.0, None)):
        tags = tagger.tag_samples(signals.clip(4.1, RATE), RATE, window, hop)
        edges, table = plot._timeline(tags, np.arange(tags.logits.shape[1]))
        assert (edges[0], edges[-1]) == (0, pytest.approx(min(4.1, tags.ends.max())))
        assert (np.diff(edges) > 0).all()
        for moment in np.arange(0.013, 4.1, 0.037):
            seen = tags.probabilities[(tags.starts <= moment) & (moment < tags.ends)]
            column = table[min(np.searchsorted(edges, moment, side="right") - 1, len(table) - 1)]
            if len(seen):
                np.testing.assert_allclose(column, seen.mean(axis=0), rtol=1e-5)
            elif moment < edges[-1]:
                assert np.isnan(column).all()


# --- the spectrogram ---


def test_a_short_spectrogram_is_the_front_ends(tagger: Tagger) -> None:
    extractor = tagger.extractors[0]
    x = signals.clip(2.0, 48000, seed=1)
    soundfile.write("a.wav", x, 48000, subtype="FLOAT")
    converted = resample(torch.from_numpy(x), 48000, RATE).float()
    found = plot._spectrogram("a.wav", extractor, 2.0)
    assert found.shape == (128, 200)
    np.testing.assert_allclose(found, extractor.frontend(converted[None])[0].numpy(), atol=1e-4)


def test_columns_of_a_longer_one_are_means(tagger: Tagger) -> None:
    extractor = tagger.extractors[0]
    source = clip("a.wav", 25.01)
    x = torch.from_numpy(soundfile.read(source)[0]).float()
    frames = torch.cat([extractor.frontend(piece[None])[0] for piece in torch.split(x, 10 * RATE)], dim=1)
    assert frames.shape[1] == 2501
    found = plot._spectrogram(source, extractor, 25.01)
    assert found.shape == (128, 1251)
    pairs = frames[:, :2500].reshape(128, 1250, 2).mean(dim=2)
    np.testing.assert_allclose(found, np.concatenate([pairs, frames[:, 2500:]], axis=1), atol=1e-5)


@pytest.mark.parametrize("seconds", [15.9, 24.1, 31.0, 180.0])
def test_columns_and_memory_are_bounded(seconds: float, tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = tagger.extractors[0]
    source = clip("a.wav", seconds, 8000)
    lengths: list[int] = []
    handle = extractor.frontend.register_forward_pre_hook(lambda module, given: lengths.append(given[0].shape[1]))
    try:
        found = plot._spectrogram(source, extractor, seconds)
    finally:
        handle.remove()
    assert 800 <= found.shape[1] <= 3200
    assert np.isfinite(found).all()
    assert sum(lengths) == round(seconds * RATE)
    assert max(lengths) <= 10 * RATE


def test_three_minutes(tagger: Tagger) -> None:
    source = clip("a.wav", 180.0, 8000)
    tags = tags_of(np.arange(69) * 2.5, np.arange(69) * 2.5 + 10, 180.0)
    draw_tags(source, tags, tagger.extractors[0], "out.png")
    assert image.imread("out.png").shape[1] == 1200
    assert Path("out.png").stat().st_size < 2_000_000


@pytest.mark.parametrize(("n_samples", "rate"), [(1, RATE), (2, 48000), (100, 8000)])
def test_the_shortest_clips(n_samples: int, rate: int, tagger: Tagger, figures: list[Figure]) -> None:
    soundfile.write("a.wav", np.full(n_samples, 0.5), rate)
    draw_tags("a.wav", tagger.tag_file("a.wav"), tagger.extractors[0], "out.png")
    draw_tags("a.wav", tagger.tag_file("a.wav", window=10), tagger.extractors[0], "out.png")
    for figure in figures:
        assert figure.axes[1].get_xlim() == (0, n_samples / rate)
        assert figure.axes[0].get_images()[0].get_array().shape == (128, 2)


def test_the_shortest_clip_can_be_drawn(tagger: Tagger) -> None:
    soundfile.write("a.wav", np.full(1, 0.5), RATE)
    draw_tags("a.wav", tagger.tag_file("a.wav"), tagger.extractors[0], "out.png", top=1)
    assert image.imread("out.png").shape[1] == 1200


# --- failures ---


@pytest.mark.parametrize("name", ["out.gif", "out", "png", ".png", "out.png.jpg", ""])
def test_formats(name: str, tagger: Tagger) -> None:
    with pytest.raises(InvalidOption, match=r"the name must end in one of .png, .pdf, .svg"):
        check_plot(name)
    with pytest.raises(InvalidOption, match=r"the name must end in one of .png, .pdf, .svg"):
        draw_tags("nowhere.wav", tags_of([0], [1], 1.0), tagger.extractors[0], name)
    assert os.listdir() == []
    for good in ("a.png", "a.PNG", "d/a.b.Svg", Path("a.pdf")):
        check_plot(good)


@pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.figure"])
def test_without_matplotlib(missing: str, tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "matplotlib.figure":
        monkeypatch.delattr("matplotlib.figure")
    monkeypatch.setitem(sys.modules, missing, None)
    message = re.escape('install it with: pip install ".[plot]" in the folder of the clone')
    for attempt in (
        lambda: check_plot("out.png"),
        plot.require_matplotlib,
        lambda: draw_tags("nowhere.wav", tags_of([0], [1], 1.0), tagger.extractors[0], "out.png"),
    ):
        with pytest.raises(MissingExtra, match=message) as refused:
            attempt()
        assert (refused.value.package, refused.value.extra) == ("matplotlib", "plot")
        assert str(refused.value).startswith("drawing tags needs")
    assert os.listdir() == []


def test_a_source_that_cannot_be_read(tagger: Tagger) -> None:
    Path("bad.wav").write_bytes(b"no audio" * 99)
    for name in ("bad.wav", "nowhere.wav"):
        with pytest.raises(AudioFileError, match=name):
            draw_tags(name, tags_of([0], [1], 1.0), tagger.extractors[0], "out.png")
    assert os.listdir() == ["bad.wav"]


@pytest.mark.parametrize("when", ["drawing", "syncing", "renaming"])
@pytest.mark.parametrize("existing", [None, b"an older picture"])
def test_failures_leave_nothing(
    when: str, existing: bytes | None, tagger: Tagger, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip("a.wav", 0.5)
    if existing is not None:
        Path("out.png").write_bytes(existing)

    def draws_some(self: Figure, file: Any, **options: Any) -> None:
        file.write(b"some of it")
        raise MemoryError("no room")

    def disk_is_full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if when == "drawing":
            patch.setattr(Figure, "savefig", draws_some)
        else:
            patch.setattr(os, "fsync" if when == "syncing" else "replace", disk_is_full)
        kind, message = (
            (MemoryError, "no room") if when == "drawing" else (OutputError, "cannot write out.png: No space")
        )
        with pytest.raises(kind, match=message):
            draw_tags(source, tags_of([0], [0.5], 0.5), tagger.extractors[0], "out.png")
    assert sorted(os.listdir()) == ["a.wav", *(["out.png"] if existing is not None else [])]
    if existing is not None:
        assert Path("out.png").read_bytes() == existing


def test_targets_that_cannot_be_written(tagger: Tagger, figures: list[Figure]) -> None:
    source = clip("a.wav", 0.5)
    Path("folder.png").mkdir()
    for name, message in (("folder.png", "it is a folder"), ("nowhere/out.png", "the folder nowhere does not exist")):
        with pytest.raises(OutputError, match=message):
            draw_tags(source, tags_of([0], [0.5], 0.5), tagger.extractors[0], name)
    assert sorted(os.listdir()) == ["a.wav", "folder.png"]


# --- matplotlib is asked for pictures only ---


def test_tagging_does_not_import_matplotlib(tagging_folder: Path) -> None:
    clip("a.wav", 0.5)
    code = (
        "import sys\n"
        "import hear_edgel3\n"
        "from hear_edgel3.cli import main\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"assert main(['tag', 'a.wav', '-c', 'mn01_as', '--weights', {str(tagging_folder)!r}, '--top', '1']) == 0\n"
        "hear_edgel3.tag('a.wav', 'mn01_as', "
        f"weights={str(tagging_folder)!r}, window=0.2)\n"
        "import hear_edgel3.tagging.plot\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'matplotlib']\n"
        "print('none')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("none\n")
    assert done.stderr == ""


def test_no_window_system_is_touched(tagger: Tagger) -> None:
    """Figures are drawn without pyplot, which would choose a backend and keep them."""
    source = clip("a.wav", 0.5)
    before = "matplotlib.pyplot" in sys.modules
    draw_tags(source, tags_of([0], [0.5], 0.5), tagger.extractors[0], "out.png", top=1)
    assert before or "matplotlib.pyplot" not in sys.modules


# --- what once went wrong ---


@pytest.mark.parametrize("name", ["$_$.wav", os.fsdecode(b"caf\xe9.wav"), "音\x07.wav"])
def test_names_of_every_kind_can_be_drawn(name: str, tagger: Tagger) -> None:
    source = clip("plain.wav", 1.0).rename(name)
    draw_tags(source, tags_of([0], [1.0], 1.0), tagger.extractors[0], "out.png")
    assert image.imread("out.png").size


def test_a_clip_without_a_sample_at_the_nets_rate(tagger: Tagger) -> None:
    soundfile.write("one.wav", [0.5], 48000)
    draw_tags("one.wav", tagger.tag_file("one.wav"), tagger.extractors[0], "out.png")
    assert image.imread("out.png").size


def test_a_timeline_of_many_overlapping_windows_stays_small() -> None:
    n = 30_000
    starts = np.arange(n) * 0.1
    logits = np.zeros((n, 527), np.float32)
    tags = ClipTags(("mn01_as",), AUDIOSET, starts, starts + 1.03, logits, n * 0.1)
    edges, table = plot._timeline(tags, np.arange(10))
    assert table.shape == (len(edges) - 1, 10)
    np.testing.assert_allclose(table, 0.5, rtol=1e-6)

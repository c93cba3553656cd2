"""What goes into the page of a dataset: clips, map, spectrograms, tags, links. tests/test_explore_page.py opens it."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_clips
from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.errors import DatasetError, InvalidOption, MissingExtra, OutputError, UnknownConfiguration
from hear_edgel3.explore import projection, sounds, spectrograms
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.folders import below, common_folder
from hear_edgel3.explore.page import as_json
from hear_edgel3.explore.projection import project
from hear_edgel3.registry.labels import labels
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.space import Space
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.datasets import description, write_rows

SIZE = 8
PAGE = Path(__file__).parents[1] / "hear_edgel3" / "explore" / "page"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def vectors(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n, size).astype(np.float32)


def write_clip(name: str | Path, seconds: float = 0.5, rate: int = 16000, seed: int = 0) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # libsndfile's own opening of odd names is not what is tested
        data = io.BytesIO()
        soundfile.write(data, signals.clip(seconds, rate, seed=seed), rate, format=path.suffix[1:].upper())
        file.write(data.getvalue())
    return path


def write_dataset(names: list[str], seed: int = 0, **changes: Any) -> Path:
    made = description(SIZE, **changes)
    rows = [
        {"file": name, "embedding": row, "duration_s": 0.5, "sample_rate": 16000}
        for name, row in zip(names, vectors(len(names), seed=seed), strict=True)
    ]
    write_rows(Path("embeddings"), made, rows)
    return Path("embeddings")


def contents_of(page: str | Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', Path(page).read_text("utf-8"), re.S)
    assert found is not None
    contents: dict[str, Any] = json.loads(found[1])
    return contents


def table(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def thumbnails_of(page: str | Path, n: int) -> np.ndarray:
    blocks = re.findall(
        r'<script type="text/plain" id="spectrograms-\d+">(.*?)</script>', Path(page).read_text("utf-8")
    )
    raw = b"".join(zlib.decompress(base64.b64decode(block)) for block in blocks)
    differences = np.frombuffer(raw, np.uint8).reshape(n, spectrograms.BANDS, spectrograms.FRAMES)
    return np.cumsum(differences, axis=1, dtype=np.uint8)


# --- rows to clips ---


def test_a_clip_is_the_mean_of_its_rows_wherever_they_are() -> None:
    made = description(SIZE, hop_ms=50.0)
    rows, expected = [], {}
    for i, name in enumerate("dacb"):
        values = vectors(3 + i, seed=i)
        expected[name] = values.astype(np.float64).mean(axis=0)
        rows += [
            {"file": name, "timestamp_ms": 50.0 * k, "embedding": v, "duration_s": 1.0 + i, "sample_rate": 8000}
            for k, v in enumerate(values)
        ]
    np.random.RandomState(0).shuffle(rows)
    write_rows(Path("embeddings"), made, rows[:7], "part-0.parquet")
    write_rows(Path("embeddings"), made, rows[7:], "part-1.parquet")
    clips = read_clips(Dataset("embeddings"))
    assert sorted(clips.files) == list("abcd")
    assert clips.files == list(dict.fromkeys(row["file"] for row in rows))
    for i, name in enumerate(clips.files):
        assert np.allclose(clips.vectors[i], expected[name], atol=1e-6)
    by_name = dict(zip(clips.files, zip(clips.rows, clips.seconds, clips.sample_rates, strict=True), strict=True))
    assert by_name == {"d": (3, 1.0, 8000), "a": (4, 2.0, 8000), "c": (5, 3.0, 8000), "b": (6, 4.0, 8000)}


def test_many_files_in_many_batches() -> None:
    values = vectors(5000)
    rows = [{"file": f"{i % 2500}.wav", "embedding": value} for i, value in enumerate(values)]
    write_rows(Path("embeddings"), description(SIZE), rows)
    clips = read_clips(Dataset("embeddings"))
    assert clips.files == [f"{i}.wav" for i in range(2500)]
    assert np.allclose(clips.vectors, (values[:2500] + values[2500:]) / 2, atol=1e-6)
    assert np.isnan(clips.seconds).all()
    assert (clips.sample_rates == 0).all()


def test_errors_and_embeddings_that_are_not_finite_are_failures() -> None:
    overflown = np.full(SIZE, np.inf, np.float16)
    rows = [
        {"file": "bad.wav", "error": "AudioFileError: bad.wav is empty (0 bytes)"},
        {"file": "loud.wav", "embedding": overflown},
        {"file": "good.wav", "embedding": np.ones(SIZE, np.float16)},
        {"file": "strange.wav"},
    ]
    write_rows(Path("embeddings"), description(SIZE, dtype="float16"), rows)
    clips = read_clips(Dataset("embeddings"))
    assert clips.files == ["good.wav"]
    assert clips.vectors.dtype == np.float32
    assert clips.failed == [
        ("bad.wav", "AudioFileError: bad.wav is empty (0 bytes)"),
        ("strange.wav", "it has no embedding"),
        ("loud.wav", "its embedding is not finite"),
    ]


def test_a_dataset_of_failures_cannot_be_shown() -> None:
    write_rows(Path("embeddings"), description(SIZE), [{"file": "a.wav", "error": "AudioFileError: a.wav is odd"}])
    with pytest.raises(DatasetError, match=r"embeddings has no embeddings to show: 1 files failed.*a\.wav is odd"):
        explore("embeddings", "page.html")
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    ("files", "common", "folders"),
    [
        (["/x/a/1.wav", "/x/b/c/2.wav"], "/x", ["a", "b/c"]),
        (["x/1.wav", "x/2.wav"], "x", ["", ""]),
        (["1.wav", "a/2.wav"], "", ["", "a"]),
        (["/x/1.wav", "y/2.wav"], "", ["/x", "y"]),
        (["/a/1.wav", "/ab/2.wav"], "/", ["a", "ab"]),
        (["a/1.wav", "ab/2.wav"], "", ["a", "ab"]),
    ],
)
def test_folders_are_seen_from_the_common_one(files: list[str], common: str, folders: list[str]) -> None:
    assert common_folder(files) == common
    assert [below(common, file) for file in files] == folders


# --- the map ---


def test_principal_components_are_those_of_the_unit_vectors() -> None:
    values = vectors(60) * np.linspace(1, 3, SIZE) * np.linspace(1, 9, 60)[:, None]
    places, method = project(values, "pca")
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    for axis in range(2):
        assert abs(np.corrcoef(places[:, axis], u[:, axis] * s[axis])[0, 1]) > 0.99999
    assert method == "pca"
    assert places.dtype == np.float32
    assert np.abs(places).max() == pytest.approx(1)
    assert np.ptp(places, axis=0)[0] > np.ptp(places, axis=0)[1]
    assert np.array_equal(places, project(values, "pca")[0])


@pytest.mark.parametrize("values", [np.ones((1, 4)), np.ones((2, 4)), np.zeros((3, 4)), np.ones((3, 1)), vectors(15)])
def test_few_and_equal_vectors_have_a_map(values: np.ndarray) -> None:
    places, method = project(values.astype(np.float32), "auto")
    assert method == "pca"
    assert places.shape == (len(values), 2)
    assert np.isfinite(places).all()


def test_umap_keeps_clusters_apart_and_repeats() -> None:
    pytest.importorskip("umap")
    kind = np.arange(60) % 3
    values = (vectors(3, seed=1)[kind] * 8 + vectors(60)).astype(np.float32)
    places, method = project(values, "auto", seed=3)
    assert method == "umap"
    assert np.abs(places).max() == pytest.approx(1)
    middles = np.stack([places[kind == k].mean(axis=0) for k in range(3)])
    assert (np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1) == kind).all()
    assert np.array_equal(places, project(values, "umap", seed=3)[0])


def test_without_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection.importlib.util, "find_spec", lambda name: None)
    assert project(vectors(40), "auto")[1] == "pca"
    with pytest.raises(MissingExtra, match=r"umap-learn.*hear-edgel3\[explore\]"):
        explore(write_dataset(["a.wav"]), "page.html", projection="umap")
    assert not Path("page.html").exists()


def test_a_projection_that_is_not_known() -> None:
    with pytest.raises(InvalidOption, match="'tsne' is not known; use one of auto, pca, umap"):
        project(vectors(3), "tsne")


# --- spectrograms ---


def test_a_tone_is_a_bright_band_and_its_silence_is_dark() -> None:
    t = np.arange(2 * spectrograms.RATE) / spectrograms.RATE
    tone = np.where(t < 1, 0.5 * np.sin(2 * np.pi * 1000 * t), 0)
    levels = spectrograms.thumbnail(torch.from_numpy(tone).float())
    assert levels.shape == (spectrograms.BANDS, spectrograms.FRAMES)
    half = spectrograms.FRAMES // 2
    # 1 kHz is 1000 mel of 3515 at 15 kHz
    band = round(49 * 1000 / 3515) - 1
    assert (levels[band, 2 : half - 2] == spectrograms.LEVELS - 1).all()
    assert (levels[band + 15 :, 2 : half - 2] < spectrograms.LEVELS // 2).all()
    assert (levels[:, half + 3 :] == 0).all()


def test_silence_is_dark_and_loudness_does_not_count() -> None:
    assert (spectrograms.thumbnail(torch.zeros(8000)) == 0).all()
    tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(32000) / 32000)
    loud, soft = spectrograms.thumbnail(tone), spectrograms.thumbnail(tone / 2)
    well_above = loud > spectrograms.LEVELS // 4  # near silence the front end's floor is felt
    assert np.abs(loud.astype(int) - soft)[well_above].max() <= 1
    assert well_above.mean() > 0.1
    assert loud.max() == soft.max() == spectrograms.LEVELS - 1
    assert 0 < spectrograms.thumbnail(tone / 1e4).max() < 10


@pytest.mark.parametrize("n_samples", [0, 1, 600])
def test_the_shortest_clips_have_a_spectrogram(n_samples: int) -> None:
    assert spectrograms.thumbnail(torch.ones(n_samples)).shape == (spectrograms.BANDS, spectrograms.FRAMES)


def test_packing_can_be_undone_and_noise_takes_some_two_kilobytes() -> None:
    noise = [
        spectrograms.thumbnail(torch.from_numpy(signals.clip(2.0, spectrograms.RATE, seed=i)).float()) for i in range(9)
    ]
    text = spectrograms.pack(noise)
    assert len(text) / 9 < 4000
    Path("page").write_text(f'<script type="text/plain" id="spectrograms-0">{text}</script>')
    assert np.array_equal(thumbnails_of("page", 9), np.stack(noise))


# --- sounds ---


def test_links_name_every_byte() -> None:
    names = [
        b"100% #1?.wav",
        b"a:b.wav",
        b"\"<&>'.wav",
        b"new\nline.wav",
        b"\xff\xfe.wav",
        "ü声.wav".encode(),
        b"\\x41 b",
    ]
    for name in names:
        address = sounds.link(Path("/data/x y") / os.fsdecode(name), Path("/data/pages/page.html"))
        assert re.fullmatch(r"\.\./x%20y/[A-Za-z0-9%._~-]+", address)
        assert unquote_to_bytes(address.removeprefix("../x%20y/")) == name


def test_names_are_relative_to_the_folder_that_is_given() -> None:
    odd = Path(os.fsdecode(b"\xff.wav"))
    for name in ("a.wav", odd):
        write_clip(Path("audio") / name)
        assert sounds.audio_path(text_of_path(name), "audio") == Path("audio") / name
    assert sounds.audio_path("a.wav", None) == Path("a.wav")
    assert sounds.audio_path("/x/a.wav", "audio") == Path("/x/a.wav")


def test_a_preview_is_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32000) / 32000)
    formats = soundfile.available_formats()
    without = {name: text for name, text in formats.items() if name != "MP3"}
    for known, kind in ((formats, "audio/mpeg"), (without, "audio/ogg")):
        monkeypatch.setattr(soundfile, "available_formats", lambda known=known: known)
        head, text = sounds.preview(torch.from_numpy(tone).float()).split(",")
        assert head == f"data:{kind};base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
        assert rate == spectrograms.RATE
        spectrum = np.abs(np.fft.rfft(samples))
        assert abs(spectrum.argmax() * rate / len(samples) - 440) < 3


# --- the whole ---


def test_everything_that_goes_into_a_page() -> None:
    names = [f"audio/{kind}/{i}.wav" for kind in ("b", "a") for i in range(35)]
    for i, name in enumerate(names[:3] + names[-1:]):
        write_clip(name, 0.5 + i, seed=i)
    for name in names[3:-1]:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).symlink_to(Path(names[0]).resolve())
    Path("pages").mkdir()
    built = explore(write_dataset(names), "pages/page.html", projection="pca", title="Sounds & <more>")
    assert (built.n_clips, built.projection, built.n_failed, built.notes) == (70, "pca", 0, {})
    assert [p.name for p in Path("pages").iterdir()] == ["page.html"]
    assert "<title>Sounds &amp; &lt;more&gt;</title>" in Path("pages/page.html").read_text()
    found = contents_of("pages/page.html")
    assert found["title"] == "Sounds & <more>"
    assert (found["configuration"], found["size"], found["hop_ms"]) == ("tiny", SIZE, None)
    assert found["names"] == [Path(name).name for name in names]
    assert found["root"] == "audio"
    folder_of = table(found["folder_of"], "<u4")
    assert [found["folders"][k] for k in folder_of] == [Path(name).parent.name for name in names]
    assert found["links"] == [f"../{name}" for name in names]
    clips = read_clips(Dataset("embeddings"))
    assert np.array_equal(table(found["places"], "<f4").reshape(70, 2), project(clips.vectors, "pca")[0])
    alike = Space.fit([clips.vectors], clips.vectors.shape[1], len(clips.files)).place(clips.vectors)
    numbers, similarities = nearest(alike, found["n_neighbours"])
    assert found["n_neighbours"] == 8
    assert np.array_equal(table(found["neighbours"], "<i4").reshape(70, 8), numbers)
    assert np.array_equal(table(found["similarities"], "<f4").reshape(70, 8), similarities)
    seen = thumbnails_of("pages/page.html", 70)
    tagger = Tagger()
    tags = table(found["tags"], "<i4").reshape(70, 5)
    probabilities = table(found["probabilities"], "<f4").reshape(70, 5)
    for i in (0, 1, 69):
        samples, rate = soundfile.read(names[i], dtype="float32")
        expected = spectrograms.thumbnail(spectrograms.at_rate(torch.from_numpy(samples), rate))
        assert np.array_equal(seen[i], expected)
        top = tagger.tag_file(names[i]).top(5)
        assert [found["labels"][k] for k in tags[i]] == [tag.label for tag in top]
        assert np.allclose(probabilities[i], [tag.probability for tag in top])
    assert np.array_equal(seen[0], seen[5])
    assert not np.array_equal(seen[0], seen[1])
    assert found["tagged_by"] == "tiny"


def test_spectrograms_are_of_the_first_ten_seconds() -> None:
    write_clip("long.wav", 11.0)
    samples, rate = soundfile.read("long.wav", dtype="float32", frames=10 * 16000)
    explore(write_dataset(["long.wav"]), "page.html", tags=False)
    expected = spectrograms.thumbnail(spectrograms.at_rate(torch.from_numpy(samples), rate))
    assert np.array_equal(thumbnails_of("page.html", 1)[0], expected)


def test_clips_without_audio_stay_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    write_clip("good.wav")
    write_clip("old.au")
    Path("broken.wav").write_bytes(b"nothing")
    gone = [f"gone{i}.wav" for i in range(4)]
    folder = write_dataset(["good.wav", "old.au", "broken.wav", *gone])
    assert main(["explore", str(folder), "--no-tags", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == "embeddings.html\n"
    assert "6 of 7 clips lack sound, spectrogram or tags:" in err
    assert "gone0.wav does not exist" in err
    assert "and 1 more, which the page shows" in err
    found = contents_of("embeddings.html")
    assert found["links"] == ["good.wav", *[None] * 6]
    assert found["unseen"] == [2, 3, 4, 5, 6]
    assert found["notes"]["1"] == "Browsers do not play .au files; a page made with --embed-audio does."
    assert found["notes"]["2"].startswith("broken.wav cannot be read as audio")
    assert found["tagged_by"] is None
    seen = thumbnails_of("embeddings.html", 7)
    assert seen[0].any()
    assert seen[1].any()
    assert not seen[2:].any()


def test_a_clip_that_cannot_be_tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip("a.wav")
    write_clip("b.au")
    tag_file = Tagger.tag_file

    def fails(self: Tagger, path: Any) -> Any:
        if Path(path).name == "b.au":
            raise RuntimeError("out of memory")
        return tag_file(self, path)

    monkeypatch.setattr(Tagger, "tag_file", fails)
    explore(write_dataset(["a.wav", "b.au"]), "page.html")
    found = contents_of("page.html")
    assert found["notes"] == {
        "1": "Browsers do not play .au files; a page made with --embed-audio does. No tags: out of memory"
    }
    assert (table(found["tags"], "<i4").reshape(2, 5) >= 0).all(axis=1).tolist() == [True, False]


def test_embedded_audio_is_inside_and_nothing_is_linked() -> None:
    write_clip("a.wav", 0.7)
    write_clip("b.au", 12.0)
    folder = write_dataset(["a.wav", "b.au", "gone.wav"])
    built = explore(folder, "page.html", tags=False, embed_audio=True)
    assert list(built.notes) == ["gone.wav"]
    found = contents_of("page.html")
    assert found["links"] == [None, None, None]
    assert found["embedded_seconds"] == 10
    inside = re.findall(r'id="sound-(\d)">data:audio/mpeg;base64,(.*?)</script>', Path("page.html").read_text())
    assert [number for number, _ in inside] == ["0", "1"]
    lengths = [soundfile.info(io.BytesIO(base64.b64decode(text))).duration for _, text in inside]
    assert lengths == [pytest.approx(0.7, abs=0.1), pytest.approx(10, abs=0.1)]


def test_logits_are_the_tags_without_a_net(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.linspace(-4, 3, 527).astype(np.float32)
    made = description(527, configuration="mn04_as_logits", hop_ms=50.0)
    write_rows(Path("embeddings"), made, [{"file": "gone.wav", "embedding": logits + d} for d in (-1, 1)])
    monkeypatch.setattr(Tagger, "__init__", lambda *_: pytest.fail("a net was loaded"))
    explore("embeddings", "page.html")
    found = contents_of("page.html")
    assert found["tagged_by"] == "mn04_as_logits"
    named = [found["labels"][k] for k in table(found["tags"], "<i4")]
    assert named == [label.name for label in labels("audioset")[:-6:-1]]
    assert table(found["probabilities"], "<f4")[0] == pytest.approx(1 / (1 + np.exp(-3)))


def test_embeddings_of_a_folder_that_is_not_here_are_tagged_by_the_built_in_net() -> None:
    write_clip("a.wav")
    explore(write_dataset(["a.wav"], configuration="birds"), "page.html")
    assert contents_of("page.html")["tagged_by"] == "tiny"


def test_tags_of_another_net(mobilenetv3_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(p.stem for p in sorted(mobilenetv3_folder.iterdir()) if p.stem.endswith("_as"))
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(mobilenetv3_folder))
    write_clip("a.wav")
    assert main(["explore", str(write_dataset(["a.wav"])), "--tags", name, "-q", "-o", "page.html"]) == 0
    assert contents_of("page.html")["tagged_by"] == name


def test_relative_names_are_found_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip("there/a.wav")
    folder = write_dataset(["a.wav"])
    assert main(["explore", str(folder), "--audio", "there", "--no-tags", "-q", "-o", "page.html"]) == 0
    assert contents_of("page.html")["links"] == ["there/a.wav"]


def test_many_failures_are_counted_and_the_first_are_listed() -> None:
    rows: list[dict[str, Any]] = [{"file": f"{i}.wav", "error": "AudioFileError: bad"} for i in range(1200)]
    write_rows(Path("embeddings"), description(SIZE), [{"file": "a.wav", "embedding": np.ones(SIZE)}, *rows])
    assert explore("embeddings", "page.html", tags=False).n_failed == 1200
    found = contents_of("page.html")
    assert found["n_failed"] == 1200
    assert found["failed"] == [[f"{i}.wav", "AudioFileError: bad"] for i in range(1000)]


# --- safety ---


def test_data_cannot_end_its_element_or_look_like_the_template() -> None:
    names = ["a</script><b>.wav", "<!--<script>.wav", "{{scripts}}.wav", "{{data}}.wav", "&amp;\u2028.wav"]
    explore(write_dataset(names), "page.html", title="{{blocks}} {{style}} </title>", tags=False)
    text = Path("page.html").read_text("utf-8")
    assert contents_of("page.html")["names"] == ["script><b>.wav", *names[1:]]
    assert contents_of("page.html")["title"] == "{{blocks}} {{style}} </title>"
    assert "<title>{{blocks}} {{style}} &lt;/title&gt;</title>" in text
    assert text.count("</script>") == text.count("<script")


def test_json_has_no_markup() -> None:
    hostile = {"x": "</script><!-- & \ud800"}
    text = as_json(hostile)
    assert not set("<>&") & set(text)
    assert json.loads(text) == hostile


def test_the_page_names_no_place_in_the_network() -> None:
    explore(write_dataset(["a.wav"]), "page.html", tags=False)
    text = Path("page.html").read_text("utf-8")
    assert not re.findall(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text


# --- colours ---


def luminance(colour: str) -> float:
    """WCAG's relative luminance of ``#rrggbb``."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("theme", "start"), [("light", ":root {"), ("dark", ':root[data-theme="dark"] {')])
def test_text_and_dots_stand_out(theme: str, start: str) -> None:
    style = (PAGE / "page.css").read_text().split(start)[1].split("}")[0]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style))
    for ground in ("ground", "surface", "wash"):
        for ink in ("text", "muted", "note"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["text"], colours["bar"]) >= 4.5
    assert contrast(colours["accent"], colours["ground"]) >= 3
    script = (PAGE / "colours.js").read_text()
    grounds, palettes = (script.split(f"const {name} = ")[1].split("};")[0] for name in ("GROUNDS", "PALETTES"))
    ground = re.findall(rf'{theme}: "(#\w+)"', grounds)[0]
    assert ground == colours["ground"]
    palette = re.findall(r"#\w{6}", palettes.split(f"{theme}: [")[1].split("]")[0])
    assert len(set(palette)) == 10
    assert min(contrast(colour, ground) for colour in palette) >= 3
    assert nearest_colours(palette) >= 0.07


def nearest_colours(palette: list[str]) -> float:
    """The least distance of two colours in Oklab (0.02 is just seen), without and with missing red or green cones.

    The two matrices are those of Machado et al. 2009 for protanopia and deuteranopia.
    """
    value = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in palette]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    sights = [
        np.eye(3),
        np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
    ]
    to_cones = np.array(
        [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.6299787]]
    )
    to_lab = np.array(
        [
            [0.21045426, 0.79361779, -0.00407205],
            [1.9779985, -2.42859221, 0.45059371],
            [0.02590404, 0.78277177, -0.80867577],
        ]
    )
    least = np.inf
    for sight in sights:
        lab = np.cbrt(np.clip(linear @ sight.T, 0, 1) @ to_cones.T) @ to_lab.T
        apart = np.linalg.norm(lab[:, None] - lab, axis=2) + np.eye(len(palette))
        least = min(least, float(apart.min()))
    return least


# --- failures and the command line ---


def test_nothing_is_left_when_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dataset(["a.wav"])
    Path("page.html").write_text("older")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write page\.html: No space left"):
        explore(folder, "page.html", tags=False)
    assert Path("page.html").read_text() == "older"
    assert sorted(os.listdir()) == ["embeddings", "page.html"]


def test_a_page_that_cannot_be_written_is_found_out_before_the_work() -> None:
    with pytest.raises(OutputError, match="the folder nowhere does not exist"):
        explore("not read", "nowhere/page.html")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--tags", "mn04"], UnknownConfiguration),
        (["--tags", "sea_64"], InvalidOption),
        (["--projection", "tsne"], SystemExit),
        (["--seed", "-1"], SystemExit),
        (["--seed", str(2**32)], SystemExit),
        (["--tags", "tiny", "--no-tags"], SystemExit),
    ],
)
def test_wrong_usage(arguments: list[str], error: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(["a.wav"])
    if error is SystemExit:
        with pytest.raises(SystemExit) as left:
            main(["explore", str(folder), *arguments])
        assert left.value.code == 2
    else:
        assert main(["explore", str(folder), *arguments]) == 2
    assert capsys.readouterr().out == ""
    assert os.listdir() == ["embeddings"]


def test_what_is_said_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    write_clip("a.wav")
    write_rows(Path("embeddings"), description(SIZE), [{"file": "b.wav", "error": "E: bad"}], "part-1.parquet")
    folder = write_dataset(["a.wav"])
    assert main(["explore", f"{folder}/", "--projection", "pca", "--title", "T"]) == 0
    out, err = capsys.readouterr()
    assert out == "embeddings.html\n"
    assert "1/1" in err
    assert "1 clips, laid out by PCA; 1 files have no embedding" in err


def test_the_command_is_cheap_to_import() -> None:
    code = (
        "import sys, hear_edgel3.cli.explore; sys.exit(str({'torch', 'pyarrow', 'umap', 'soundfile'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr == "set()\n"

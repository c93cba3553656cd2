"""Everything that goes into the page of a dataset; test_page.py opens it."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.dataset.file_means import read_file_means
from hear_edgel3.errors import AudioWarning
from hear_edgel3.explore import spectrograms
from hear_edgel3.explore.build import explore
from hear_edgel3.explore.projection import project
from hear_edgel3.registry.labels import labels
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.whitening import Whitening
from hear_edgel3.tagging.tagger import Tagger
from support.datasets import description, write_rows
from support.pages import SIZE, contents_of, decoded, thumbnails_of, write_dataset, write_odd_clip
from support.states import strange_state


def test_what_the_caller_has_asked_torch_for_does_not_matter() -> None:
    folder = write_dataset(["a.wav", "b.wav"])
    for i, name in enumerate(("a.wav", "b.wav")):
        write_odd_clip(name, seed=i)
    explore(folder, "usual.html", projection="pca")
    with strange_state():
        explore(folder, "strange.html", projection="pca")
    assert Path("strange.html").read_bytes() == Path("usual.html").read_bytes()


def test_everything_that_goes_into_a_page() -> None:
    names = [f"audio/{kind}/{i}.wav" for kind in ("b", "a") for i in range(35)]
    for i, name in enumerate(names[:3] + names[-1:]):
        write_odd_clip(name, 0.5 + i, seed=i)
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
    folder_of = decoded(found["folder_of"], "<u4")
    assert [found["folders"][k] for k in folder_of] == [Path(name).parent.name for name in names]
    assert found["links"] == [f"../{name}" for name in names]
    clips = read_file_means(Dataset("embeddings"))
    assert np.array_equal(decoded(found["places"], "<f4").reshape(70, 2), project(clips.vectors, "pca")[0])
    alike = Whitening.fit([clips.vectors], clips.vectors.shape[1], len(clips.files)).apply(clips.vectors)
    numbers, similarities = nearest(alike, found["n_neighbours"])
    assert found["n_neighbours"] == 8
    assert np.array_equal(decoded(found["neighbours"], "<i4").reshape(70, 8), numbers)
    assert np.array_equal(decoded(found["similarities"], "<f4").reshape(70, 8), similarities)
    seen = thumbnails_of("pages/page.html", 70)
    tagger = Tagger()
    tags = decoded(found["tags"], "<i4").reshape(70, 5)
    probabilities = decoded(found["probabilities"], "<f4").reshape(70, 5)
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
    write_odd_clip("long.wav", 11.0)
    samples, rate = soundfile.read("long.wav", dtype="float32", frames=10 * 16000)
    explore(write_dataset(["long.wav"]), "page.html", tags=False)
    expected = spectrograms.thumbnail(spectrograms.at_rate(torch.from_numpy(samples), rate))
    assert np.array_equal(thumbnails_of("page.html", 1)[0], expected)


def test_clips_without_audio_stay_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    write_odd_clip("good.wav")
    write_odd_clip("old.au")
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
    write_odd_clip("a.wav")
    write_odd_clip("b.au")
    tag_opened = Tagger.tag_opened

    def fails(self: Tagger, file: Any) -> Any:
        if Path(file.path).name == "b.au":
            raise RuntimeError("out of memory")
        return tag_opened(self, file)

    monkeypatch.setattr(Tagger, "tag_opened", fails)
    explore(write_dataset(["a.wav", "b.au"]), "page.html")
    found = contents_of("page.html")
    assert found["notes"] == {
        "1": "Browsers do not play .au files; a page made with --embed-audio does. No tags: out of memory"
    }
    assert (decoded(found["tags"], "<i4").reshape(2, 5) >= 0).all(axis=1).tolist() == [True, False]


def test_sounds_that_were_cut_off_since_are_said() -> None:
    """By their header, or by what their embeddings are of. They stay on the map, and can be seen as far as they go."""
    for name in ("whole.wav", "half.wav", "nearly.wav", "half.mp3", "shorter.wav"):
        path = write_odd_clip(name, 0.25 if name == "shorter.wav" else 0.5)
        data = path.read_bytes()
        path.write_bytes(data[: int({"half": 0.5, "nearly": 0.994}.get(path.stem, 1) * len(data))])
    names = ["whole.wav", "half.wav", "nearly.wav", "half.mp3", "shorter.wav"]
    with pytest.warns(AudioWarning, match=r"nearly\.wav: its end or another part is missing"):
        built = explore(write_dataset(names), "page.html")
    ends = "truncated: its embeddings are of sound up to 0.50 s, it ends at"
    assert list(built.notes) == ["half.wav", "half.mp3", "shorter.wav"]
    said = "half.wav is truncated: its header says 0.50 s, 0.25 s could be decoded"
    assert built.notes["half.wav"] == f"{said}. No tags."
    assert re.match(rf"half\.mp3 is {ends} 0\.\d\d s\. No tags: half\.mp3 is truncated: ", built.notes["half.mp3"])
    assert built.notes["shorter.wav"] == f"shorter.wav is {ends} 0.25 s."
    found = contents_of("page.html")
    assert found["unseen"] == []
    assert found["links"] == names


def test_embedded_audio_is_inside_and_nothing_is_linked() -> None:
    write_odd_clip("a.wav", 0.7)
    write_odd_clip("b.au", 12.0)
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
    named = [found["labels"][k] for k in decoded(found["tags"], "<i4")]
    assert named == [label.name for label in labels("audioset")[:-6:-1]]
    assert decoded(found["probabilities"], "<f4")[0] == pytest.approx(1 / (1 + np.exp(-3)))


def test_embeddings_of_a_folder_that_is_not_here_are_tagged_by_the_built_in_net() -> None:
    write_odd_clip("a.wav")
    explore(write_dataset(["a.wav"], configuration="birds"), "page.html")
    assert contents_of("page.html")["tagged_by"] == "tiny"


def test_tags_of_another_net(mobilenetv3_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(p.stem for p in sorted(mobilenetv3_folder.iterdir()) if p.stem.endswith("_as"))
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(mobilenetv3_folder))
    write_odd_clip("a.wav")
    assert main(["explore", str(write_dataset(["a.wav"])), "--tags", name, "-q", "-o", "page.html"]) == 0
    assert contents_of("page.html")["tagged_by"] == name


def test_relative_names_are_found_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    write_odd_clip("there/a.wav")
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

"""The runtime without PyTorch: one file, copied out of the package, that gives the package's numbers."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3 import lite
from hear_edgel3.audio.resample import resample
from hear_edgel3.exporting.run import Exported
from support import signals

Detectors = Callable[[str, str], tuple[Path, Exported]]

LITE = Path(lite.__file__)
# Imports nothing but what the file says that it needs, and not this package either.
ALONE = """
import importlib.abc, sys
class Forbidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "hear_edgel3", "onnx", "safetensors"}:
            raise ImportError(f"{name} is forbidden")
sys.meta_path.insert(0, Forbidden())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds, stereo, at a rate of which 32 kHz is no simple fraction."""
    path = tmp_path_factory.mktemp("recording") / "r.wav"
    soundfile.write(path, signals.clip(11.3, 44100, channels=2).T.reshape(-1, 2), 44100, subtype="FLOAT")
    return path


def test_it_is_short_and_needs_little() -> None:
    text = LITE.read_text()
    assert len(text.splitlines()) <= 150
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "." for n in nodes if isinstance(n, ast.ImportFrom)}
    assert {name for name in names if name not in sys.stdlib_module_names} == {"numpy", "onnxruntime", "soundfile"}


def test_without_torch(tiny_file: Exported, recording: Path, tmp_path: Path) -> None:
    alone = tmp_path / "lite.py"
    shutil.copy(LITE, alone)
    words = [str(alone), str(tiny_file.path), str(recording), "--embeddings", str(tmp_path / "e.npy"), "--hop", "0.5"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    tags = hear_edgel3.Tagger("tiny").tag_file(recording)
    best = np.argsort(-tags.probabilities[0], kind="stable")[:5]
    expected = [f"{tags.probabilities[0][i]:7.3f}  {tags.labels[i].name}" for i in best]
    assert done.stdout.splitlines() == expected
    embeddings = hear_edgel3.embed_file(recording, "tiny", hop_size=0.5).embedding
    np.testing.assert_allclose(np.load(tmp_path / "e.npy"), embeddings, atol=1e-4 * np.abs(embeddings).max())


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 32000), (48000, 8000), (22050, 48000), (8000, 32000), (32000, 32000), (44101, 48000)]
)
def test_the_same_samples(old: int, new: int) -> None:
    x = np.random.default_rng(0).standard_normal(old // 4 + 17)
    expected = resample(torch.from_numpy(x)[None], old, new)[0].numpy()
    np.testing.assert_allclose(lite.resample(x, old, new), expected, rtol=0, atol=1e-12)


def test_scenes_and_timestamps(
    tiny_file: Exported, sea_exported: Exported, weights_folder: Path, tmp_path: Path
) -> None:
    """Of clips that are shorter than a window, too, and longer than what is one pass."""
    for done, name in ((tiny_file, "tiny"), (sea_exported, "sea_64")):
        model = lite.Model(str(done.path))
        rate = done.card["sample_rate"]
        folder = None if name == "tiny" else weights_folder
        extractor = hear_edgel3.load(name, folder, sample_rate=rate, engine="eager")
        for seconds in (0.05, 1.7, 11.0):
            path = tmp_path / f"{seconds}.wav"
            samples = signals.clip(seconds, rate)
            soundfile.write(path, samples, rate, subtype="FLOAT")
            audio = torch.from_numpy(samples)[None]
            expected, times = (values[0].numpy() for values in extractor.timestamp_embeddings(audio, 200.0))
            found, at = model.embed(str(path), 200.0)
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
            np.testing.assert_allclose(at, times)
            scene = extractor.scene_embeddings(audio)[0].numpy()
            np.testing.assert_allclose(model.scene(str(path)), scene, atol=1e-4 * np.abs(scene).max())


@pytest.mark.parametrize(("kind", "targets"), [("small", "single"), ("small_l3", "several"), ("small", "numbers")])
def test_classes_of_somebodys_own(kind: str, targets: str, detector_file: Detectors, recording: Path) -> None:
    folder, done = detector_file(kind, targets)
    model = lite.Model(str(done.path))
    tags = hear_edgel3.Tagger(folder).tag_file(recording)
    expected = tags.probabilities[0]
    np.testing.assert_allclose(model.tag(str(recording)), expected, atol=1e-3 * max(1, np.abs(expected).max()))


def test_what_goes_wrong_is_said(tiny_file: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no model")
    (tmp_path / "no.wav").write_bytes(b"no sound")
    model = str(tiny_file.path)
    for words in (["nowhere.onnx", "x"], [str(tmp_path / "no.onnx"), "x"], [model, str(tmp_path / "no.wav")]):
        monkeypatch.setattr(sys, "argv", ["lite.py", *words])
        with pytest.raises(SystemExit, match="lite: "):
            lite.main()
    with pytest.raises(ValueError, match="hop must be positive"):
        lite.Model(model).embed("x", -1)


def test_recordings_that_are_cut_off(tiny_file: Exported, tmp_path: Path) -> None:
    """As in the package: the tags of a part would pass for those of the whole. Lengths that pipes leave are none."""
    path, model = tmp_path / "r.wav", lite.Model(str(tiny_file.path))
    soundfile.write(path, signals.clip(1, 32000)[:32000], 32000)
    whole = path.read_bytes()
    for size, rest, ok in (
        (64000, 30001, False),
        (64000, 63800, True),
        (0xFFFFFFFF, 64000, True),
        (0x7FFFF000, 64000, True),
    ):
        path.write_bytes(whole[:40] + size.to_bytes(4, "little") + whole[44 : 44 + rest])
        if ok:
            assert len(model.read(str(path))[0]) == rest // 2
        else:
            with pytest.raises(ValueError, match=r"r\.wav is truncated: its header says 64000 bytes"):
                model.read(str(path))


def test_a_recording_that_is_replaced_while_it_is_read(
    tiny_file: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said of it is what was read, not what has taken its place since."""
    path, whole, model = tmp_path / "r.wav", tmp_path / "whole.wav", lite.Model(str(tiny_file.path))
    soundfile.write(whole, signals.clip(1, 32000)[:32000], 32000)
    path.write_bytes(whole.read_bytes()[: 44 + 30001])
    read = soundfile.SoundFile.read

    def and_replaced(*given: object, **named: object) -> np.ndarray:
        samples: np.ndarray = read(*given, **named)
        whole.replace(path)
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", and_replaced)
    with pytest.raises(ValueError, match=r"r\.wav is truncated"):
        model.read(str(path))


def test_what_is_damaged_is_named(tiny_file: Exported, tmp_path: Path) -> None:
    import onnx

    whole = tiny_file.path.read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(whole[: len(whole) // 2])
    model = onnx.load_from_string(whole)
    entry = next(one for one in model.metadata_props if one.key == "hear_edgel3")
    entry.value = entry.value.replace('"hop_ms"', '"hop"')
    incomplete = tmp_path / "incomplete.onnx"
    onnx.save(model, incomplete)
    entry.value = entry.value[:40]
    no_json = tmp_path / "no_json.onnx"
    onnx.save(model, no_json)
    for path, what in ((cut, "arsing|rotobuf"), (incomplete, "hop_ms"), (no_json, "column")):
        with pytest.raises(ValueError, match=rf"{path.name} is damaged, .*: .*({what})"):
            lite.Model(str(path))


def test_nets_without_classes(
    tiny_file: Exported,
    sea_exported: Exported,
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing would be said, and nothing written."""
    words = ["lite.py", str(sea_exported.path), str(recording)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="lite: sea_64 has no classes; --embeddings writes"):
        lite.main()
    monkeypatch.setattr(sys, "argv", [*words, "--embeddings", str(tmp_path / "e.npy")])
    lite.main()
    assert (tmp_path / "e.npy").is_file()
    monkeypatch.setattr(sys, "argv", ["lite.py", str(tiny_file.path), str(recording), "--top", "-1"])
    lite.main()
    assert capsys.readouterr().out == ""

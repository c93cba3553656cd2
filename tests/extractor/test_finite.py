"""A finite input whose embedding is not finite is an error that names it, in every way there is to embed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ComputationError, InvalidAudio
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.engines import ENGINES, SMALL, make_net

# That they are loud is said, too; what is looked at here is what is done with them.
pytestmark = pytest.mark.filterwarnings("ignore::hear_edgel3.errors.AudioWarning")

RATE = 48000
TOO_LOUD = r"is too loud for tiny.* \(a sample of [\d.]+e\+1[78]\).*floats are meant to be in \[-1, 1\]"


def loud(gain: float = 1e18, seconds: float = 1.0) -> np.ndarray:
    clip = signals.clip(seconds, RATE)
    return (clip / np.abs(clip).max() * gain * 1.2).astype(np.float32)


@pytest.fixture
def loud_file(here: Path) -> Path:
    soundfile.write("loud.wav", loud(), RATE, subtype="FLOAT")
    return Path("loud.wav")


@pytest.mark.parametrize("gain", [1.0, 1e6, 1e15])
def test_louder_than_it_should_be_is_still_fine(gain: float, tiny: Extractor) -> None:
    assert bool(torch.isfinite(tiny.scene_embeddings(loud(gain)[None])).all())


@pytest.mark.parametrize("engine", ENGINES)
def test_arrays(engine: str) -> None:
    """The engines that are not ours may make numbers of NaN; none lets it through."""
    model = hear_edgel3.load("tiny", engine=engine)
    for method in (model.scene_embeddings, model.timestamp_embeddings):
        with pytest.raises(InvalidAudio, match=f"audio {TOO_LOUD}"):
            method(loud()[None])
        with pytest.raises(InvalidAudio, match=f"clip 2 of audio {TOO_LOUD}"):
            method(np.stack([loud(0.1), loud(0.2), loud()]))
    assert bool(torch.isfinite(model.scene_embeddings(loud(0.1)[None])).all())


class Hiding(torch.nn.Module):
    """A front end that makes numbers of NaN."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return self.inner(torch.nan_to_num(windows, 0.0, 0.0, 0.0).clamp(-1, 1))


def test_samples_are_checked_whatever_a_front_end_makes_of_them() -> None:
    model = hear_edgel3.load("tiny", engine="torch")
    model.frontend = Hiding(model.frontend)
    steps = np.where(np.arange(RATE) // 100 % 2, 3.4e38, -3.4e38).astype(np.float32)[None]
    for embed in (model.scene_embeddings, model.timestamp_embeddings):
        embed(steps, sample_rate=model.net_sample_rate)  # all of them are finite
        with pytest.raises(InvalidAudio, match="audio is too loud for tiny"):
            embed(steps, sample_rate=RATE)  # what they are at the net's rate is not
    windows = torch.zeros(2, model.window)
    windows[1, 5] = torch.inf
    with pytest.raises(InvalidAudio, match="the audio is too loud for tiny"):
        model.embed_windows(windows)


def test_files_are_named(loud_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidAudio, match=f"loud.wav: the audio {TOO_LOUD}"):
        hear_edgel3.embed_file(loud_file)
    with pytest.raises(InvalidAudio, match=f"loud.wav: the audio {TOO_LOUD}"):
        hear_edgel3.tag(loud_file)
    for command in (["embed", "loud.wav"], ["tag", "loud.wav"], ["tag", "--json", "loud.wav"]):
        assert main(command) == 1
        captured = capsys.readouterr()
        assert "loud.wav" in captured.err
        assert "is too loud for tiny" in captured.err
        assert "nan" not in captured.out.lower()
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["loud.wav"]


def test_streams(tiny: Extractor) -> None:
    stream = tiny.stream()
    stream.feed(loud(0.1, 0.5))
    with pytest.raises(InvalidAudio, match=f"the audio {TOO_LOUD}"):
        stream.feed(loud())


def test_a_dataset_has_an_error_row_for_it_alone(loud_file: Path) -> None:
    """Though its windows run through the net together with those of the others."""
    pq = pytest.importorskip("pyarrow.parquet")
    for name, gain in (("a", 0.1), ("m", 0.2), ("z", 0.3)):
        soundfile.write(f"{name}.wav", loud(gain), RATE)
    done = hear_edgel3.extract(["a.wav", "loud.wav", "m.wav", "z.wav"], "out", workers=1)
    assert not done.all_well
    rows = {r["file"]: r for r in pq.read_table(next(Path("out").glob("part-*.parquet"))).to_pylist()}
    assert [name for name, row in rows.items() if row["error"]] == ["loud.wav"]
    assert "is too loud for tiny" in rows["loud.wav"]["error"]
    for name in ("a", "m", "z"):
        alone = hear_edgel3.load().scene_embeddings(soundfile.read(f"{name}.wav", dtype="float32")[0][None])[0]
        np.testing.assert_allclose(rows[f"{name}.wav"]["embedding"], alone, atol=1e-5)


def test_listen_prints_no_nan(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    import io
    import sys

    data = np.concatenate([loud(0.1, 1.5), loud()]).tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["listen", "--rate", str(RATE), "--format", "f32le"]) == 1
    captured = capsys.readouterr()
    assert "is too loud for tiny" in captured.err
    for line in captured.out.splitlines():
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("engine", ["eager", "torch", "numba"])
@pytest.mark.parametrize("what", ["weight", "bias", "infinite"])
def test_a_net_that_is_damaged_after_loading(engine: str, what: str, weights_folder: Path) -> None:
    """The sound is ordinary, so it is not said to be the sound's fault."""
    model = hear_edgel3.load("sea_64", weights_folder, engine=engine)
    with torch.no_grad():
        if what == "weight":
            model.net.convs[2].weight[3, 4, 1, 1] = float("nan")
        elif what == "bias":
            model.net.convs[5].bias[0] = float("nan")
        else:
            model.net.convs[4].weight.fill_(1e38)
    with pytest.raises(ComputationError, match=r"sea_64 gives values that are not finite for ordinary audio"):
        model.scene_embeddings(torch.from_numpy(signals.clip(0.5, 16000))[None])


@pytest.mark.parametrize("place", [(0, 0), (17, 20), (31, 45), (63, 49)])
@pytest.mark.parametrize("zeros", [0.0, 0.8])
def test_one_nan_in_an_image_comes_through_the_kernels(place: tuple[int, int], zeros: float) -> None:
    """Wherever it is: a maximum that kept the number beside it would lose it."""
    pytest.importorskip("numba")
    from hear_edgel3.engine.runner import Runner

    net = make_net(SMALL, zeros)
    image = 20 * torch.randn(1, 64, 50) - 40
    image[0][place] = float("nan")
    with torch.no_grad():
        expected = torch.isnan(net(image))
        found = torch.isnan(Runner("numba")(net, image))
    assert bool(expected.any())
    assert bool((found >= expected).all())


def test_maxima_of_vectors_keep_nan() -> None:
    """Each of the primitives, with a NaN in every one of its places."""
    pytest.importorskip("numba")
    from support.maxima import larger_of_two, largest_of_four, pooled_two_by_two

    for count, function in ((2, larger_of_two), (4, largest_of_four), (4, pooled_two_by_two)):
        for place in range(count):
            values = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
            values[place, 2] = np.nan
            found = function(values)
            assert np.isnan(found).tolist() == [False, False, True, False], (function, place)
            assert found[[0, 1, 3]].tolist() == values[-1, [0, 1, 3]].tolist()

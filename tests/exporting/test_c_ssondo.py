"""Libraries in C with S-SONDO's front end: its images, what nets make of them, its heads, and what is refused."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting import c as target
from hear_edgel3.exporting import c_code
from hear_edgel3.exporting.folders import read_folder_facts
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from support import signals, ssondo_files
from support.compiling import needed, run
from support.detectors import write_net
from support.libraries import check, memory_of, program
from support.mobilenetv3_files import pt
from weights_convert.heads import make_head_folder

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")
# Less than a frame, a frame, the last sample before a second one and that of it, odd and even frames, over a second.
LENGTHS = (1, 1023, 1024, 1025, 1535, 1536, 5120, 9001, 33000)
# Of a DyMN's weights: with more of it roundings grow, in PyTorch as much.
_GAIN = 2.3
WORDS = {"small": "mel_avgs_b0_3_15_se4_clf1_logits", "small_dymn": "mel_avgs_b0_3_15_ctx4_clf1_logits"}


def small(folder: Path, kind: str, frontend: dict[str, Any], words: str = "") -> Extractor:
    """A small net of a kind whose front end is S-SONDO's; the published ones are of width 1."""
    made = SsondoMelSpectrogram(**{"n_mels": 128, **frontend})
    net = write_net(folder, kind, words or WORDS[kind], _GAIN, n_mels=made.n_mels)
    found = hear_edgel3.load(net, engine="torch")
    found.frontend = made
    return found


def sounds(n: int) -> np.ndarray:
    """Two tones, noise, a click at the very end, something quiet, and silence."""
    t = np.arange(n) / 32000
    noise = signals.clip(n / 32000 + 0.1, 32000, seed=n)[:n]
    tones = [0.9 * np.sin(2 * np.pi * hertz * t) for hertz in (880, 4000)]
    return np.stack([*tones, noise, np.eye(1, n, n - 1)[0], 1e-3 * noise, np.zeros(n)]).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [{}, {"n_fft": 512, "hop_length": 200, "n_mels": 40, "fmin": 0.0, "fmax": 9000.0}, {"hop_length": 1500}],
    ids=["usual", "other", "with gaps"],
)
def test_images(settings: dict[str, Any], tmp_path: Path) -> None:
    """The front end alone, which a library does not put out: nearer to float64 than a float can tell."""
    needed("gcc")
    extractor = small(tmp_path / "net", "small", settings, "b0")
    frontend: Any = extractor.frontend
    with program(extractor) as made:
        target.write(made, tmp_path / "c")
    text = """
#include "small.c"
void images(const float *x, size_t n, float *out)
{
    double fft[FFT_SIZE + 2];
    size_t t;
    for (t = 0; t < SMALL_FRAMES(n); t++)
        make_frame(x, n, t, fft, out + t * SMALL_MELS);
}
"""
    (tmp_path / "images.c").write_text(text)
    library = tmp_path / "images.so"
    run(
        ["gcc", "-O1", "-shared", "-fPIC", f"-I{tmp_path / 'c'}", "-o", str(library), str(tmp_path / "images.c"), "-lm"]
    )
    images = ctypes.CDLL(str(library)).images
    images.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    for n in LENGTHS:
        x = sounds(n)
        expected = frontend.in_float64(torch.from_numpy(x)).numpy()
        for one, image in zip(x, expected, strict=True):
            # Filled with what is no number, so that frames too few are seen.
            found = np.full((frontend.n_frames(n) + 1, frontend.n_mels), np.nan, np.float32)
            images(one.ctypes.data, n, found.ctypes.data)
            np.testing.assert_allclose(found[:-1], image.T, rtol=1e-7, atol=1e-7, err_msg=f"{n} samples")
            assert np.isnan(found[-1]).all()


@pytest.mark.parametrize("kind", WORDS)
def test_clips_of_any_length(kind: str, tmp_path: Path) -> None:
    """Of both kinds of nets that S-SONDO has, with all that they put out."""
    with program(small(tmp_path / "net", kind, {})) as made:
        target.write(made, tmp_path / "c")
        session = target.open_file(tmp_path / "c")
        for n in LENGTHS:
            check(session, made, sounds(n))


@pytest.mark.parametrize("kind", WORDS)
def test_working_memory(kind: str, tmp_path: Path) -> None:
    """What the header states is enough, and little more than what is taken, for frames as they are here."""
    needed("gcc")
    with program(small(tmp_path / "net", kind, {})) as made:
        target.write(made, tmp_path / "c")
    one, two = memory_of(tmp_path / "c", tmp_path)
    said = (tmp_path / "c" / "README.md").read_text()
    assert f"working memory {one / 1000:.0f} KB for a second and {two / 1000:.0f} KB for two" in said


def test_a_proof_in_eight_bits(tmp_path: Path) -> None:
    done = export(small(tmp_path / "net", "small_dymn", {}, "b15"), tmp_path / "c", to="c", quantize="int8", length=0.2)
    assert done.proof.passed
    assert done.card["quantization"]["method"] == "weights"
    assert done.proof.float_size is not None
    assert done.proof.size < 0.6 * done.proof.float_size
    header = (tmp_path / "c" / "small.h").read_text()
    assert "#define SMALL_LENGTH 6400 " in header
    assert "#define SMALL_INT8 1 " in header


def test_streams_keep_frames(c_ssondo: Exported) -> None:
    """Where a hop is a multiple of the front end's: the exported test asks for it, and is run elsewhere."""
    header = (c_ssondo.path / "small.h").read_text()
    assert "#define SMALL_FRAME_HOP 512 " in header
    assert "#define SMALL_MINIMUM 1024 " in header
    assert read_folder_facts(c_ssondo.path)["window_samples"] == 5120


def test_a_published_net_with_a_head(tmp_path: Path) -> None:
    """A segment of 10 s with zeros behind it, as the package hears a shorter clip."""
    name = "ssondo_matpac_mn"
    (tmp_path / f"{name}.safetensors").write_bytes(ssondo_files.converted(name))
    (tmp_path / "gtzan.pth").write_bytes(pt(ssondo_files.head("gtzan")))
    folder = make_head_folder("gtzan", tmp_path / "gtzan.pth", tmp_path / "gtzan", tmp_path)
    with program(hear_edgel3.load(folder, engine="torch")) as made:
        target.write(made, tmp_path / "c")
        session = target.open_file(tmp_path / "c")
        for n in (1, 5120, 30_000):
            check(session, made, sounds(n)[1:4])
    path = tmp_path / "a.wav"
    soundfile.write(path, signals.clip(7.3, 32000), 32000, subtype="FLOAT")
    samples = soundfile.read(path, dtype="float32")[0]
    found = session(np.pad(samples, (0, 320_000 - len(samples)))[None])
    tags = hear_edgel3.Tagger(str(folder)).tag_file(path)
    np.testing.assert_allclose(found["probabilities"], tags.probabilities, rtol=0, atol=1e-4)
    scene = hear_edgel3.embed_scene(path, str(folder))
    np.testing.assert_allclose(found["embedding"][0], scene, rtol=0, atol=2e-5 * np.abs(scene).max())


def test_too_many_weights(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_code, "_MOST_PARAMETERS", 2_000_000)
    name = "ssondo_matpac_mn"
    (here / f"{name}.safetensors").write_bytes(ssondo_files.converted(name))
    with pytest.raises(InvalidOption, match=r"_mn has 3 million weights; a C library has 2 million at most"):
        export(name, to="c", weights=here)
    assert [one.name for one in here.iterdir()] == [f"{name}.safetensors"]


@pytest.mark.parametrize("own", [False, True])
def test_other_front_ends_are_refused(own: bool, here: Path) -> None:
    class Own(SsondoMelSpectrogram):
        def portable(self, float64: bool) -> torch.nn.Module | None:
            return SsondoMelSpectrogram(n_mels=self.n_mels).portable(float64)

    extractor = small(here / "net", "small", {} if own else {"n_fft": 800, "hop_length": 320})
    if own:
        extractor.frontend = Own()
    with pytest.raises(InvalidOption, match=r"the front end of small.* has no form in C.* power of two points"):
        export(extractor, to="c")
    assert [one.name for one in here.iterdir()] == ["net"]

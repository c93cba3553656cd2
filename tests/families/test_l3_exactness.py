"""The golden references: one set of numbers, every implementation, each with its tolerance and the reason for it.

Without the folder of the originals' outputs the references are the float64 oracle's (tests/data/golden.npz, made by
tests/support/make_data.py); with it they are also those of edgel3 0.2.1 itself, with the authors' SEA-64 checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.l3.frontend import mel_filter_bank
from hear_edgel3.weights.convert import convert
from support import oracle, signals, synthetic
from support.engines import ENGINES
from support.paths import DATA

# Against float64 on noise-like sounds the net's float32 sums are all that differs: observed at most 2.0e-5 (SEA) and
# 1.5e-5 (sparse) over every engine but OpenVINO, on embeddings up to 20. Twice that is allowed.
FLOAT64_TOLERANCE = dict.fromkeys(ENGINES, 4e-5)
# It has an order of sums of its own: observed at most 4.0e-5 (sea_512).
FLOAT64_TOLERANCE["openvino"] = 8e-5
# Unfolded, torch's convolutions sum otherwise on processors without AVX-512: observed 5.7e-5 (one value of sea_512).
FLOAT64_TOLERANCE["eager"] = 8e-5


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(DATA / "golden.npz") as file:
        return dict(file)


def embed(extractor: Extractor, windows: np.ndarray) -> np.ndarray:
    """Windows through front end and engine, without framing."""
    with torch.no_grad():
        return extractor.embed_windows(torch.from_numpy(windows)).numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", synthetic.NAMES)
def test_embeddings_equal_the_float64_oracle(name: str, engine: str, load, golden) -> None:
    extractor = load(name, engine=engine)
    found = embed(extractor, signals.windows(extractor.window))
    np.testing.assert_allclose(found, golden[f"emb__{name}"], rtol=0, atol=FLOAT64_TOLERANCE[engine])


@pytest.mark.parametrize("name", ["sea_64", "sparse_95"])
def test_decibels_equal_the_float64_oracle(name: str, load, golden) -> None:
    extractor = load(name)
    found = extractor.frontend(torch.from_numpy(signals.windows(extractor.window)))[-1, ::4, ::4]
    # In dB. The oracle rounds the DFT kernels to float32 as kapre does, we do not: observed 6e-5.
    np.testing.assert_allclose(found.numpy(), golden[f"db__{name}"], rtol=0, atol=2e-4)


def test_the_golden_file_is_what_the_oracle_computes(golden) -> None:
    windows = signals.windows(8000)[:2]
    again = oracle.forward(synthetic.oracle_weights("sea_128"), windows.astype(np.float64))
    np.testing.assert_allclose(again, golden["emb__sea_128"][:2], rtol=0, atol=1e-5)  # stored in float32


@pytest.mark.parametrize("name", synthetic.NAMES)
def test_the_mel_bank_is_bit_exact(name: str) -> None:
    arguments = synthetic.row(name).frontend.arguments
    found = mel_filter_bank(arguments["sample_rate"], arguments["n_fft"], arguments["n_mels"]).numpy()
    np.testing.assert_array_equal(found, synthetic.mel_weights(name)[2])


@pytest.fixture(scope="module")
def reference(shared: Path) -> Callable[[str], dict[str, np.ndarray]]:
    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(shared / "reference" / "l3" / f"{name}.npz") as file:
            return dict(file)

    return read


@pytest.fixture(scope="module")
def real_sea_64(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "sea_64.safetensors"
    convert(synthetic.row("sea_64"), shared / "checkpoints" / "edgel3_sea_ust_audio_emb_64.h5.gz").write(path)
    return path


def tolerance(clip: str) -> float:
    """Real audio: 2e-4. A pure chirp leaves most mel bands to the rounding noise of the original's own DFT: 2e-2."""
    return 2e-2 if clip.startswith("chirp") else 2e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_original_windows_sea_64(engine: str, reference, real_sea_64: Path) -> None:
    extractor = hear_edgel3.load("sea_64", real_sea_64, engine=engine)
    original = reference("sea64_raw_predict")
    names = [key.removeprefix("pcm8k__") for key in original if key.startswith("pcm8k__")]
    assert len(names) == 9
    for name in names:
        pcm, expected = original[f"pcm8k__{name}"], original[f"emb__{name}"]
        windows = np.stack([pcm[i * 4000 : i * 4000 + 8000] for i in range(len(expected))]) / np.float32(32768)
        found = embed(extractor, windows)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance(name), err_msg=name)
        assert cosine(found, expected) >= 0.999999
    noise = embed(extractor, original["x_noise"].astype(np.float32))
    np.testing.assert_allclose(noise, original["emb_noise"], rtol=0, atol=4e-5)  # observed 1.1e-5
    impulses = np.zeros((3, 8000), np.float32)
    impulses[[0, 1, 2], [0, 4000, 7999]] = 1
    np.testing.assert_allclose(
        embed(extractor, impulses), original["emb_impulse_at_0_4000_7999"], rtol=0, atol=tolerance("impulse")
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_original_files_sea_64(engine: str, reference, real_sea_64: Path, shared: Path) -> None:
    """17 clips, six rates, mono and stereo, centred or not, three hops: decoding to embedding."""
    extractor = hear_edgel3.load("sea_64", real_sea_64, engine=engine)
    original = reference("sea64_get_embedding")
    cases = [key for key in original if key.startswith("emb__")]
    assert len(cases) == 17 * 2 * 3
    for case in cases:
        _, clip, centre, hop = case.split("__")
        path = shared / "reference" / "l3" / "audio" / f"{clip}.flac"
        result = hear_edgel3.embed_file(path, extractor, hop_size=float(hop[1:]), center=centre == "c1")
        np.testing.assert_array_equal(result.timestamps, original[case.replace("emb", "ts", 1)])
        np.testing.assert_allclose(result.embedding, original[case], rtol=0, atol=tolerance(clip), err_msg=case)
        assert cosine(result.embedding, original[case]) >= 0.999999, case


def test_original_intermediates_sea_64(reference, real_sea_64: Path) -> None:
    extractor = hear_edgel3.load("sea_64", real_sea_64)
    original = reference("sea64_intermediates")
    net = extractor.net
    with torch.no_grad():
        x = extractor.frontend(torch.from_numpy(original["pcm"] / np.float32(32768)))
        stages = {"melspectrogram_1": x[:, None], "batch_normalization_1": net.input_norm(x[:, None])}
        y = stages["batch_normalization_1"]
        for i, conv in enumerate(net.convs):
            y = conv(y)
            if i == 0:
                stages["conv2d_1"] = y[:, :, ::4, ::5]
            if i == 7:
                stages["audio_embedding_layer"] = y
            y = torch.relu(net.norms[i](y))
            if i == 0:
                stages["activation_1"] = y[:, :, ::4, ::5]
            if i in (1, 3, 5):
                y = torch.nn.functional.max_pool2d(y, 2)
                stages[f"max_pooling2d_{i // 2 + 1}"] = y
        stages["flatten_1"] = y.amax(dim=(2, 3))
    # Decibels: float32 DFT in the original, float64 here. In bands 50 dB (of amplitude; 1e-10 of the power) below the
    # peak that is worth 9e-4 dB, and through the first layers 3e-4. The maxima after them forget such bands: 3e-5.
    allowed = {"melspectrogram_1": 2e-3, "audio_embedding_layer": 1e-4, "flatten_1": 1e-4}
    for name, found in stages.items():
        nhwc = found.permute(0, 2, 3, 1) if found.ndim == 4 else found
        atol = allowed.get(name, 6e-4)
        np.testing.assert_allclose(nhwc.numpy(), original[name], rtol=0, atol=atol, err_msg=name)


# The original's float32 itself is off by up to 4.7e-4 (sparse) on `dog`, whose upper bands are nearly empty.
SEEDED = [
    ("sparse_95", "sparse9545", 5e-4),
    ("sea_512", "sea512", 2e-4),
    ("sea_128", "sea128", 2e-4),
    ("sea_256", "sea256", 2e-4),
]


# Two engines run all of them, and all engines the largest two.
@pytest.mark.parametrize(
    ("engine", "name", "stem", "atol"),
    [(engine, *one) for engine in ENGINES for one in (SEEDED if engine in ("torch", "numba") else SEEDED[:2])],
)
def test_original_program_with_seeded_weights(
    name: str, stem: str, atol: float, engine: str, reference, shared: Path, tmp_path: Path
) -> None:
    row = synthetic.row(name)
    weights = tmp_path / row.filename
    packed = row.upstream.filename  # for sparse_95 the seeded file has the name of the fine-tuned one
    convert(row, shared / "reference" / "l3" / "random_weights" / packed).write(weights)
    extractor = hear_edgel3.load(name, weights, engine=engine)
    original = reference(f"random_{stem}_refs")
    for clip in ("speech_32k", "dog_16k"):
        found = embed(extractor, original[f"pcm__{clip}"] / np.float32(32768))
        np.testing.assert_allclose(found, original[f"emb__{clip}"], rtol=0, atol=atol, err_msg=clip)
        assert cosine(found, original[f"emb__{clip}"]) >= 0.999999
    # Whole files. The chirp is above 2e-2 and the 22 kHz clip (bands above 11 kHz empty in a 48 kHz net) above 5e-4
    # even with the original's own float32 DFT kernels, summed in float64: what is compared is its rounding noise.
    limits = {"chirp_mono": 4e-2, "mix_stereo_22k": 2e-3 if name == "sparse_95" else atol}
    for clip, centre, hop in (("chirp_mono", "False", "0.5"), ("mix_stereo_22k", "True", "0.33")):
        key = f"api__{clip}__c{centre}__h{hop}"
        result = hear_edgel3.embed_file(
            shared / "reference" / "l3" / "audio" / f"{clip}.flac",
            extractor,
            hop_size=float(hop),
            center=centre == "True",
        )
        np.testing.assert_array_equal(result.timestamps, original[f"ts_{key}"])
        np.testing.assert_allclose(result.embedding, original[f"emb_{key}"], rtol=0, atol=limits[clip], err_msg=key)
        assert cosine(result.embedding, original[f"emb_{key}"]) >= (0.99999 if clip == "chirp_mono" else 0.999999)

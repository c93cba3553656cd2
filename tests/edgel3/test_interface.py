"""Every name that edgel3's documents and public tests use, and what models answer."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import hear_edgel3
from hear_edgel3 import edgel3
from hear_edgel3.edgel3.models import configuration_name, load_embedding_model, load_embedding_model_path
from hear_edgel3.errors import InvalidAudio, InvalidOption, WeightsNotFound
from hear_edgel3.weights.convert import convert
from support import signals, synthetic

# Where edgel3 0.2.1 has each public name; what starts with an underscore there is private.
NAMES = {
    "": ["__version__", "get_embedding", "get_output_path", "process_file", "core", "models", "version"],
    "cli": ["get_file_list", "main", "parse_args", "positive_float", "run"],
    "core": [
        "EdgeL3Error",
        "EdgeL3Warning",
        "get_embedding",
        "get_output_path",
        "load_embedding_model",
        "process_file",
    ],
    "edgel3_exceptions": ["EdgeL3Error"],
    "edgel3_warnings": ["EdgeL3Warning"],
    "models": ["load_embedding_model", "load_embedding_model_path"],
    "version": ["short_version", "version"],
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_where_they_were(module: str) -> None:
    found = importlib.import_module(f"hear_edgel3.edgel3.{module}".rstrip("."))
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []


def test_one_error_and_one_warning() -> None:
    exceptions = importlib.import_module("hear_edgel3.edgel3.edgel3_exceptions")
    warnings = importlib.import_module("hear_edgel3.edgel3.edgel3_warnings")
    assert exceptions.EdgeL3Error is edgel3.EdgeL3Error is edgel3.core.EdgeL3Error is hear_edgel3.HearEdgeL3Error
    assert warnings.EdgeL3Warning is edgel3.EdgeL3Warning is edgel3.core.EdgeL3Warning
    assert issubclass(edgel3.EdgeL3Warning, Warning)
    assert not issubclass(ArgumentTypeError, edgel3.EdgeL3Error)  # what get_file_list raises for what is no list


def test_the_version_is_of_the_interface() -> None:
    assert edgel3.__version__ == edgel3.version.version == "0.2.1"
    assert edgel3.version.version.startswith(edgel3.version.short_version)


def test_run_has_the_documented_arguments() -> None:
    arguments = [(name, p.default) for name, p in inspect.signature(edgel3.cli.run).parameters.items()]
    assert arguments[:10] == [
        ("inputs", inspect.Parameter.empty),
        ("output_dir", None),
        ("suffix", None),
        ("model_type", "sparse"),
        ("emb_dim", 128),
        ("retrain_type", "ft"),
        ("sparsity", 95.45),
        ("center", True),
        ("hop_size", 0.1),
        ("verbose", False),
    ]
    assert arguments[10:] == [("weights", None)]


def test_importing_and_usage_errors_need_no_torch() -> None:
    code = (
        "import sys\n"
        "import hear_edgel3.edgel3 as edgel3\n"
        "from hear_edgel3.edgel3 import cli, core, edgel3_exceptions, edgel3_warnings, models, version\n"
        "try: edgel3.models.load_embedding_model('sea', 65)\n"
        "except edgel3.EdgeL3Error as error: assert 'invalid emb_dim 65' in str(error), error\n"
        "else: raise AssertionError\n"
        "for arguments in (['nothing.wav'], [cli.__file__, '--suffix', 'a/b'], ['--emb-dim', '5', 'x.wav']):\n"
        "    try: cli.main(arguments)\n"
        "    except SystemExit as stopped: assert stopped.code, arguments\n"
        "    else: raise AssertionError(arguments)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "nothing.wav' does not exist" in result.stderr


# --- models ---


@pytest.mark.parametrize(("size", "rate"), [(64, 8000), (128, 8000), (256, 8000), (512, 8000), (None, 48000)])
def test_shapes_of_models(size: int | None, rate: int, weights_folder: Path) -> None:
    model_type = "sparse" if size is None else "sea"
    model = load_embedding_model(model_type, size, "ft", 95.45, weights=weights_folder)
    assert model.output_shape == (None, size or 512)
    assert model.output_shape[1] == model.timestamp_embedding_size
    assert model.input_shape == (None, 1, rate)
    assert isinstance(model, hear_edgel3.Extractor)
    assert not model.training
    assert model.weights is not None
    assert model.weights.path == load_embedding_model_path(model_type, size, "ft", 95.45, weights=weights_folder)


@pytest.mark.parametrize("retrain_type", ["ft", "kd"])
@pytest.mark.parametrize("sparsity", [53.5, 63.5, 72.3, 73.5, 81.0, 87.0, 90.5, 95.45])
def test_every_sparse_model(
    sparsity: float, retrain_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = configuration_name("sparse", None, retrain_type, sparsity)
    file = tmp_path / f"{name}.safetensors"
    save_file(synthetic.state("sparse_95"), file, {"hear_edgel3": json.dumps({"configuration": name})})
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    try:
        path = load_embedding_model_path("sparse", 128, retrain_type, sparsity)
        assert path == str(file)
        model = load_embedding_model("sparse", 128, retrain_type, sparsity)
        assert model.output_shape == (None, 512)
        assert model.configuration.name == name
        again = load_embedding_model("sparse", 128, retrain_type, sparsity, weights=path)
        assert again.weights == model.weights
    finally:
        file.unlink()  # 18 MB each


def test_the_path_is_of_the_file_that_would_be_loaded(
    weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_embedding_model_path("sea", 64, weights=weights_folder) == str(weights_folder / "sea_64.safetensors")
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    path = load_embedding_model_path("sea", 64, "ft", 95.45)
    assert isinstance(path, str)
    assert Path(path).is_file()
    loaded = load_embedding_model("sea", 64)
    assert loaded.weights is not None
    assert loaded.weights.path == path
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFound, match="python -m weights_convert sea_64"):
        load_embedding_model_path("sea", 64)
    with pytest.raises(InvalidOption, match="invalid retrain_type 'xx'"):
        load_embedding_model_path("sparse", 128, "xx", 95.45)


def test_the_model_is_the_extractor_of_that_name(weights_folder: Path) -> None:
    model = load_embedding_model("sea", 64, weights=weights_folder)
    extractor = hear_edgel3.load("sea_64", weights=weights_folder)
    assert (model.engine, model.sample_rate, model.hop_ms) == (
        extractor.engine,
        extractor.sample_rate,
        extractor.hop_ms,
    )
    assert model.contract == extractor.contract
    audio = signals.clip(1.0, 8000)[None]
    torch.testing.assert_close(
        model.timestamp_embeddings(audio)[0], extractor.timestamp_embeddings(audio)[0], rtol=0, atol=0
    )
    # and the drop-in takes either
    expected, _ = edgel3.get_embedding(audio[0], 8000, model, hop_size=0.5)
    np.testing.assert_array_equal(edgel3.get_embedding(audio[0], 8000, extractor, hop_size=0.5)[0], expected)


def test_predict_embeds_windows(weights_folder: Path) -> None:
    model = load_embedding_model("sea", 64, weights=weights_folder)
    n = model.windows_at_once(model.window) + 3  # more than one group
    windows = np.stack([signals.clip(1.0, 8000, seed=i) for i in range(n)])[:, None]
    found = model.predict(windows, batch_size=2, verbose=1)
    assert (found.shape, found.dtype) == ((n, 64), np.float32)
    for i in (0, n - 1):
        expected, _ = edgel3.get_embedding(windows[i, 0], 8000, model, center=False)
        np.testing.assert_allclose(found[i : i + 1], expected, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(model.predict((windows[:1] * 32768).astype(np.int16)), model.predict(windows[:1]))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 8000)), r"x must have shape \(n, 1, 8000\) and n be at least 1, got \(2, 8000\)"),
        (np.zeros((2, 1, 7999)), r"got \(2, 1, 7999\)"),
        (np.zeros((2, 8000, 1)), r"got \(2, 8000, 1\)"),
        (np.zeros((0, 1, 8000)), r"got \(0, 1, 8000\)"),
        (np.full((1, 1, 8000), np.nan), "x: .* is NaN"),
        (None, "x must be an array of samples, got None"),
    ],
    ids=["2-D", "short", "transposed", "none", "NaN", "None"],
)
def test_predict_refuses_what_are_no_windows(x: Any, message: str, weights_folder: Path) -> None:
    with pytest.raises(InvalidAudio, match=message):
        load_embedding_model("sea", 64, weights=weights_folder).predict(x)


def test_predict_is_the_originals(shared: Path, tmp_path: Path) -> None:
    source = shared / "checkpoints" / "edgel3_sea_ust_audio_emb_64.h5.gz"
    convert(synthetic.row("sea_64"), source).write(tmp_path / "sea_64.safetensors")
    model = load_embedding_model("sea", 64, weights=tmp_path)
    with np.load(shared / "reference" / "l3" / "sea64_raw_predict.npz") as original:
        names = [key.removeprefix("pcm8k__") for key in original.files if key.startswith("pcm8k__")]
        assert names
        for name in names:
            if "chirp" in name:  # near-empty bins: the original's own float32 is 1e-2 from float64 there
                continue
            pcm, expected = original[f"pcm8k__{name}"], original[f"emb__{name}"]
            windows = np.stack([pcm[4000 * i : 4000 * i + 8000] for i in range(len(expected))])[:, None] / 32768
            np.testing.assert_allclose(model.predict(windows), expected, rtol=0, atol=2e-4, err_msg=name)
        np.testing.assert_allclose(
            model.predict(original["x_noise"][:, None]), original["emb_noise"], rtol=0, atol=2e-4
        )


def test_the_callers_default_device_and_mode_do_not_matter(weights_folder: Path) -> None:
    with torch.device("meta"), torch.inference_mode():
        model = load_embedding_model("sea", 64, weights=os.fspath(weights_folder))
    assert all(p.device.type == "cpu" and not p.is_inference() for p in model.parameters())

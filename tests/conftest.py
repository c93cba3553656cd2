"""What every test has: a home of its own, no network but loopback, and seeded weights of every shape to ask for."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Small nets gain nothing from a second thread, and beside another busy process its waiting costs twenty times the work.
# Said to OpenMP before it is loaded, as threads that tests start (autograd's) and programs of their own have it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import hear_edgel3
from hear_edgel3.audio.resample import resample
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.weights.convert import convert
from support import synthetic
from support.mobilenetv3_files import pt, with_upstream
from support.mobilenetv3_files import state as mobilenetv3_state
from support.paths import REPOSITORY
from support.tagging import write_tagging_nets
from support.write_weights import write_mobilenetv3, write_weights

torch.set_num_threads(1)

if importlib.util.find_spec("numba") is not None:
    from hear_edgel3.compiled import jit

    # What a process says once, in whichever test compiles first, would be in the way of those that read stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        jit._say_once()

# Compiled kernels are kept from run to run where pytest keeps things, for all of its processes and what they start:
# each would compile for half a minute otherwise.
_KERNELS = REPOSITORY / ".pytest_cache" / "kernels"
_SHARED = Path(os.environ.get("HEAR_EDGEL3_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session", autouse=True)
def _warm_kernels() -> None:
    """Compiles what commands need before any test, so that none finds the line on stderr that says so."""
    if importlib.util.find_spec("numba") is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEAR_EDGEL3_KERNELS", str(_KERNELS))
        extractor = hear_edgel3.load("tiny", engine="numba")
        for seconds in (0.1, 1, 5, 10, 30):
            extractor.scene_embeddings(torch.zeros(1, int(seconds * 32000)))
        extractor.timestamp_embeddings(torch.zeros(1, 32000 * 5))
        extractor.embed_windows(torch.zeros(16, 640))  # of few frames, whose rows no other window has
        for rate in (48000, 64000):  # of more filters than one, and of one
            for dtype in (torch.float32, torch.float64):  # arrays, and files
                resample(torch.zeros(1, rate, dtype=dtype), rate, 32000)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every test has a home of its own and no network but loopback."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(home / "cache"))
    monkeypatch.setenv("HEAR_EDGEL3_KERNELS", str(_KERNELS))
    for name in ("HEAR_EDGEL3_WEIGHTS", "HEAR_EDGEL3_MIRROR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    connect = socket.socket.connect

    def only_loopback(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert isinstance(address, tuple)
            assert address[0] in ("127.0.0.1", "::1"), f"a test tried to reach {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder that a test runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes it look as if a package were not installed."""

    def hide(package: str) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name))

    return hide


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the authors' real checkpoints and the outputs of the original programs."""
    if not (_SHARED / "reference" / "l3").is_dir():
        pytest.skip(f"the reference outputs of the original programs are not at {_SHARED} (set HEAR_EDGEL3_SHARED)")
    return _SHARED


@pytest.fixture(scope="session")
def efficientat(shared: Path) -> Path:
    """The folder with what EfficientAT and EfficientAT_HEAR gave."""
    found = shared / "reference" / "mobilenetv3"
    if not found.is_dir():
        pytest.skip(f"the outputs of EfficientAT are not at {found}")
    return found


@pytest.fixture(scope="session")
def published_mn04_as(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published checkpoint of mn04_as, converted."""
    source = shared / "checkpoints" / "mn04_as_mAP_432.pt"
    if not source.is_file():
        pytest.skip(f"the published checkpoint of mn04_as is not at {source}")
    path = tmp_path_factory.mktemp("real") / "mn04_as.safetensors"
    converted = convert(synthetic.row("mn04_as"), source)
    assert converted.published is True
    converted.write(path)
    return path


# --- seeded weights in this package's format ---


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one checkpoint of each shape, as <name>.safetensors."""
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder


@pytest.fixture(scope="session")
def mobilenetv3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of some of the MobileNetV3 family, as <name>.safetensors."""
    folder = tmp_path_factory.mktemp("mobilenetv3")
    write_mobilenetv3(folder)
    return folder


@pytest.fixture(scope="session")
def tagging_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of nets whose logits depend on the sound."""
    folder = tmp_path_factory.mktemp("tagging")
    write_tagging_nets(folder)
    return folder


@pytest.fixture
def seeded_weights(here: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder and find the seeded weights."""
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return weights_folder


@pytest.fixture
def tagging_weights(here: Path, tagging_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder and find the weights of nets that hear something."""
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tagging_folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tagging_folder


# --- models with them ---


@pytest.fixture(scope="session")
def load(weights_folder: Path, mobilenetv3_folder: Path) -> Callable[..., Extractor]:
    """`load(name, **options)`, of any name whose weights are at hand."""

    def loaded(name: str, **options: Any) -> Extractor:
        if name == "tiny":
            return hear_edgel3.load(name, **options)
        folder = mobilenetv3_folder if name.startswith("mn") else weights_folder
        return hear_edgel3.load(name, folder, **options)

    return loaded


@pytest.fixture(scope="session")
def load_native(mobilenetv3_folder: Path) -> Callable[..., Extractor]:
    """`load_native(name, sample_rate, **options)` of the MobileNetV3 family, fed at the rate of its nets."""

    def loaded(name: str, sample_rate: int | None = 32000, **options: Any) -> Extractor:
        return hear_edgel3.load(name, mobilenetv3_folder, sample_rate=sample_rate, **options)

    return loaded


@pytest.fixture(scope="module")
def sea(weights_folder: Path) -> Extractor:
    """sea_64. Nobody changes it."""
    return hear_edgel3.load("sea_64", weights_folder)


@pytest.fixture
def own_sea(weights_folder: Path) -> Extractor:
    """sea_64, fresh for every test, because tests change it."""
    return hear_edgel3.load("sea_64", weights_folder)


@pytest.fixture(scope="module")
def mn01(load_native) -> Extractor:
    return load_native("mn01_as")


@pytest.fixture(scope="module")
def mn04(load_native) -> Extractor:
    return load_native("mn04_as")


@pytest.fixture(scope="module")
def framed(load_native) -> Extractor:
    """Fed at 32000 Hz, with nothing behind the front end."""
    return load_native("mn01_as_mel_avgs")


# --- seeded files in the authors' formats ---


@pytest.fixture(scope="session")
def plain() -> bytes:
    """sea_64 as .h5."""
    return synthetic.h5_bytes("sea_64", packed=False)


@pytest.fixture(scope="session")
def packed() -> bytes:
    """sea_64 as .h5.gz."""
    return synthetic.h5_bytes("sea_64")


@pytest.fixture(scope="session")
def l3_downloads(tmp_path_factory: pytest.TempPathFactory, packed: bytes) -> Path:
    """A folder of downloads: sea_64 and sparse_95 gzipped, sea_128 unpacked, under the authors' names."""
    folder = tmp_path_factory.mktemp("downloads")
    (folder / synthetic.row("sea_64").upstream.filename).write_bytes(packed)
    (folder / synthetic.row("sparse_95").upstream.filename).write_bytes(synthetic.h5_bytes("sparse_95"))
    unpacked = synthetic.row("sea_128").upstream.filename.removesuffix(".gz")
    (folder / unpacked).write_bytes(synthetic.h5_bytes("sea_128", packed=False))
    return folder


@pytest.fixture(scope="session")
def sea_file(l3_downloads: Path) -> Path:
    """sea_64 under the authors' name."""
    return l3_downloads / synthetic.row("sea_64").upstream.filename


@pytest.fixture(scope="session")
def smallest() -> bytes:
    """mn01_as as .pt."""
    return pt(mobilenetv3_state("mn01_as"))


@pytest.fixture(scope="session")
def mobilenetv3_downloads(tmp_path_factory: pytest.TempPathFactory, smallest: bytes) -> Path:
    """A folder of downloads of the MobileNetV3 family, under the authors' names."""
    folder = tmp_path_factory.mktemp("downloads")
    (folder / synthetic.row("mn01_as").upstream.filename).write_bytes(smallest)
    for name in ("mn04_as", "mn10_as", "mn10_as_fc"):
        (folder / synthetic.row(name).upstream.filename).write_bytes(pt(mobilenetv3_state(name)))
    twin = folder / synthetic.row("mn10_as_mels_40").upstream.filename
    os.link(folder / synthetic.row("mn10_as").upstream.filename, twin)
    return folder


@pytest.fixture
def mn01_file(smallest: bytes, tmp_path: Path) -> Path:
    """mn01_as under the authors' name."""
    path = tmp_path / "in" / "mn01_as_mAP_298.pt"
    path.parent.mkdir()
    path.write_bytes(smallest)
    return path


@pytest.fixture
def without_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """These rows are tested as rows without a known checksum, even once theirs are known."""
    from support.loopback import put_in_table

    for name in ("mn01_as", "mn01_im", "mn04_im", "mn10_as_fc", "mn10_as_mels_40"):
        put_in_table(monkeypatch, with_upstream(name, git_blob=None, sha256=None))

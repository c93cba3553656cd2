from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import socket
from pathlib import Path

import pytest
import torch

from support.write_weights import write_mobilenetv3, write_weights

# Small nets gain nothing from a second thread, and beside another busy process its waiting costs twenty times the work.
torch.set_num_threads(1)

if importlib.util.find_spec("numba") is not None:
    from hear_edgel3.engine.kernels import jit as compiled

    # What a process says once, in whichever test compiles first, would be in the way of those that read stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        compiled._say_once()

_SHARED = Path(os.environ.get("HEAR_EDGEL3_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every test has a home of its own and no network but loopback."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(home / "cache"))
    for name in ("HEAR_EDGEL3_WEIGHTS", "HEAR_EDGEL3_MIRROR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    connect = socket.socket.connect

    def only_loopback(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert isinstance(address, tuple)
            assert address[0] in ("127.0.0.1", "::1"), f"a test tried to reach {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of one checkpoint of each shape, as <name>.safetensors."""
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder


@pytest.fixture(scope="session")
def mobilenetv3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of some of the MobileNetV3 family, as <name>.safetensors."""
    folder = tmp_path_factory.mktemp("mobilenetv3")
    write_mobilenetv3(folder)
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the authors' real checkpoints and the outputs of the original programs."""
    if not (_SHARED / "reference" / "l3").is_dir():
        pytest.skip(f"the reference outputs of the original programs are not at {_SHARED} (set HEAR_EDGEL3_SHARED)")
    return _SHARED

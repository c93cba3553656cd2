"""The stub file that type checkers read must say what the registry says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hear_edgel3
from support import make_stub
from support.paths import PACKAGE, REPOSITORY


def test_the_stub_is_the_generated_one() -> None:
    assert make_stub.STUB.read_text() == make_stub.stub()


def test_users_code_type_checks(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(
        "import torch\n"
        "import hear_edgel3\n"
        "from hear_edgel3 import sparse_95\n"
        "model = sparse_95.load_model('weights.safetensors', hop_ms=25)\n"
        "embeddings, timestamps = sparse_95.get_timestamp_embeddings(torch.zeros(1, 48000), model)\n"
        "reveal_type(embeddings)\n"
        "rate: int = hear_edgel3.load('sea_64').sample_rate\n"
        + "".join(f"hear_edgel3.{room}\n" for room in hear_edgel3._ROOMS)
        + "dataset: hear_edgel3.dataset.Dataset\n"
        + "hear_edgel3.sea_65\n"
    )
    home = PACKAGE.parent
    # mypy finds what is installed by itself; an editable install has to be pointed out to it
    path = {} if home.name == "site-packages" else {"MYPYPATH": str(home)}
    # What mypy knows of PyTorch is kept from run to run: it reads it for most of a minute.
    cache = REPOSITORY / ".pytest_cache" / "mypy"
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "user.py"],
        cwd=tmp_path,
        env=os.environ | path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Revealed type is "torch._tensor.Tensor"' in result.stdout, result.stdout + result.stderr
    assert 'Module has no attribute "sea_65"' in result.stdout
    # (an editable install is checked along as source, without this project's settings: only the user's file counts)
    assert len([line for line in result.stdout.splitlines() if line.startswith("user.py") and " error: " in line]) == 1

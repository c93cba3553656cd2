"""Jobs by Ray: the same rows; clusters that are not there, and Ctrl-C, are waited for a short time only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hear_edgel3
from support.files import write_clip
from support.jobs import table
from support.paths import PACKAGE

pytest.importorskip("ray")
pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.skipif(sys.platform == "win32", reason="signals")]

_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where these tests run in the background
from hear_edgel3.cli import main
from hear_edgel3.jobs import ray
ray._PATIENCE_S = float(sys.argv[1])
sys.exit(main(["extract", "in", "-o", "out", "--runner", "ray", "-q"]))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Where Ray keeps its files; names of its sockets may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def start(place: Path, patience: float, **environment: str) -> subprocess.Popen[str]:
    write_clip("in/0.wav")
    write_clip("in/1.wav", seed=1)
    more = {"RAY_TMPDIR": str(place), "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", **environment}
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(patience)], env={**kept, **more}, stderr=subprocess.PIPE, text=True
    )


def test_the_same_rows_whatever_cluster_was_here_last(place: Path, silent: str) -> None:
    """A cluster that was killed leaves its address, at which Ray would wait for ever."""
    (place / "ray").mkdir()
    (place / "ray" / "ray_current_cluster").write_text(silent)
    _, err = (process := start(place, 60.0)).communicate(timeout=120)
    assert process.returncode == 0, err
    hear_edgel3.extract("in", "expected", workers=1)
    assert table().equals(table("expected"))


def test_a_cluster_that_does_not_answer(place: Path, silent: str) -> None:
    _, err = (process := start(place, 3.0, RAY_ADDRESS=silent)).communicate(timeout=60)
    assert process.returncode == 1
    what = f"hear-edgel3: the Ray cluster at {silent} (RAY_ADDRESS) did not answer within 3 s; start it, or unset"
    assert what in err
    assert "Traceback" not in err


def test_ctrl_c_while_a_cluster_does_not_answer(place: Path, silent: str) -> None:
    process = start(place, 60.0, RAY_ADDRESS=silent)
    for _ in range(600):  # the job is begun just before
        if os.path.isdir("out/_job/00000"):
            break
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(3)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    took = time.monotonic() - begun
    assert process.returncode == 130
    assert err.endswith("hear-edgel3: interrupted\n")
    assert took < 2

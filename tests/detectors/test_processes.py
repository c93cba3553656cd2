"""Fine-tuning in processes of its own: killed and gone on with, and two that share the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hear_edgel3
from support.labelled_sounds import make_labelled, same, tune
from support.paths import REPOSITORY

# Kills its own process just before file number N (from 0) is in its place; -1 for never.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import torch
import hear_edgel3
from support.labelled_sounds import make_labelled, tune

folder, weights, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
replace, done = os.replace, []

def fatal(source, target):
    if str(target).startswith(str(folder / "out")):
        if len(done) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(target)
    replace(source, target)

os.replace = fatal
if __name__ == "__main__":
    small = hear_edgel3.load("mn01_as", weights)
    tuned = tune(make_labelled(folder / "made"), small, folder / "out", epochs=3)
    torch.save((tuned.net_state, tuned.metrics), folder / f"result-{os.environ.get('RANK', '0')}.pt")
"""


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def write_program(folder: Path) -> Path:
    path = folder / "program.py"
    path.write_text(PROGRAM)
    return path


def test_killed(mobilenetv3_folder: Path, tmp_path: Path) -> None:
    """Between an epoch's state and its table, which is put right."""
    arguments = [sys.executable, str(write_program(tmp_path)), str(tmp_path), str(mobilenetv3_folder), "3"]
    process = subprocess.run(arguments, env=environment(), capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert torch.load(tmp_path / "out" / "training.pt", weights_only=True)["progress"]["epoch"] == 2
    assert (tmp_path / "out" / "metrics.csv").read_text().count("\n") == 3  # a head, the start, an epoch
    small = hear_edgel3.load("mn01_as", mobilenetv3_folder)
    labelled = make_labelled(tmp_path / "made")
    again = tune(labelled, small, tmp_path / "out", epochs=3)
    assert (tmp_path / "out" / "metrics.csv").read_text().count("\n") == 5
    assert same(again, tune(labelled, small, tmp_path / "straight", epochs=3))


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes(mobilenetv3_folder: Path, tmp_path: Path) -> None:
    """Both have the same net in the end, and the files are there once; what is learnt is not that of one process."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = [sys.executable, *launch, str(write_program(tmp_path)), str(tmp_path), str(mobilenetv3_folder), "-1"]
    process = subprocess.run(arguments, env=environment(), capture_output=True, check=False, timeout=500)
    assert process.returncode == 0, process.stderr.decode()[-3000:]
    (first, rows), (second, other_rows) = (torch.load(tmp_path / f"result-{i}.pt", weights_only=True) for i in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert [row.get("balanced_accuracy") for row in rows] == [row.get("balanced_accuracy") for row in other_rows]
    assert len(rows) == 4
    assert (tmp_path / "out" / "metrics.csv").read_text().count("\n") == 5
    alone = tune(
        make_labelled(tmp_path / "made"), hear_edgel3.load("mn01_as", mobilenetv3_folder), tmp_path / "alone", epochs=3
    )
    assert alone.metrics[0]["balanced_accuracy"] == rows[0]["balanced_accuracy"]
    assert alone.metrics[-1]["train_loss"] != rows[-1]["train_loss"]

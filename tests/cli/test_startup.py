"""What a command needs to say that it is used wrongly: neither torch nor the other commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hear_edgel3.cli

HEAVY = {"torch", "numpy", "pyarrow", "soundfile", "safetensors", "huggingface_hub", "h5py", "weights_convert", "numba"}
# In a folder that has a.wav, and nothing else; with the right exit status.
CHEAP: list[tuple[str, int]] = [
    ("--help", 0),
    ("--version", 0),
    ("bogus", 2),
    ("embed --help", 0),
    ("list --json", 0),
    ("info sea_64", 0),
    ("info sea_64 --json", 0),
    ("info sea64", 2),
    ("embed a.wav --config sea64", 2),
    ("embed nowhere.wav", 1),
    ("embed nowhere.wav nowhere/either", 1),
    ("embed a.wav --engine steam", 2),
    ("embed a.wav --hop 0", 2),
    ("embed a.wav --hop 0.00001", 2),
    ("embed a.wav --no-centering", 2),
    ("embed a.wav --weights nowhere.safetensors", 1),
    ("tag nowhere.wav", 1),
    ("tag a.wav --config sea_64", 2),
    ("tag a.wav --hop 1", 2),
    ("tag a.wav --weights nowhere.safetensors", 1),
    ("tag a.wav --output tags.txt", 2),
    ("tag a.wav --output nowhere/tags.csv", 1),
    ("predict a.wav --config sea_64", 2),
    ("predict a.wav --config nowhere/there", 2),
    ("predict nowhere.wav --config tiny", 1),
    ("events nowhere.wav", 1),
    ("events a.wav --config sea_64", 2),
    ("events a.wav --classes brid", 2),
    ("events a.wav --output events.txt", 2),
    ("events a.wav --output nowhere/events.csv", 1),
    ("events a.wav --time-zone Mars/Olympus", 2),
    ("events a.wav --hop 2", 2),
    ("extract nowhere --output out", 1),
    ("extract a.wav --output out --config sea64", 2),
    ("extract a.wav --output out --hop 1", 2),
    ("extract a.wav --output out --timestamps --hop 0.00001", 2),
    ("extract a.wav --output out --engine steam", 2),
    ("extract a.wav --output out --weights nowhere.safetensors", 1),
    ("listen --config sea64", 2),
    ("listen --config sea_64 --top 1", 2),
    ("listen --weights nowhere.safetensors", 1),
    ("search nowhere a.wav", 1),
    ("search . a.wav", 1),
    ("search . a.wav --config sea64", 2),
    ("duplicates .", 1),
    ("index nowhere", 1),
    ("explore a.wav", 1),
    ("explore . --tags sea64", 2),
    ("distill --teacher sea64 --audio . --output out", 2),
    ("distill --teacher mn04_as --audio nowhere --output out", 1),
    ("export tiny --to steam", 2),
    ("weights fetch sea64", 2),
    ("weights verify sea_64 --weights nowhere", 1),
    ("weights list", 0),
]
# Runs all of them in one process, since none of them may leave anything behind.
SCRIPT = """
import sys
from hear_edgel3.cli import main
for line in sys.stdin.read().splitlines():
    words, _, status = line.rpartition(" ")
    try:
        found = main(words.split())
    except SystemExit as stop:
        found = stop.code or 0
    heavy = set(%r) & set(sys.modules)
    if found != int(status) or heavy:
        sys.exit(f"{words}: {found}, {heavy}")
print("cheap")
"""


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % sorted(HEAVY)],
        input="\n".join(f"{words} {status}" for words, status in CHEAP),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    assert done.stdout.endswith("cheap\n")


@pytest.mark.parametrize("verb", ["embed", "list", "weights", "predict"])
def test_a_verb_does_not_import_the_others(verb: str) -> None:
    others = [f"hear_edgel3.cli.{name}" for name in hear_edgel3.cli._VERBS if name != verb]
    code = (
        "import sys\n"
        "from hear_edgel3.cli import main\n"
        f"try: main(['--verbose', {verb!r}, '--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(str(set({others}) & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "\n", done.stderr


@pytest.mark.parametrize("module", ["hear_edgel3", "hear_edgel3.cli"])
def test_the_package_runs(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"hear-edgel3 {hear_edgel3.__version__}\n")

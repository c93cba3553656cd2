"""Kills commands at random moments, starts them again, and compares what there is in the end with undisturbed runs.

    python -m tests.fuzz.kills [--kills 200] [--seed 0]

The commands are ``extract`` (scenes in one process; timestamps by two workers), ``index``, ``embed``, ``tag`` and
``events`` with clips. Each is killed, with all its processes, by SIGKILL or SIGTERM, and started again, so often; a run
that comes to its end is compared and begun anew. Printed are the kills that came in time, the finished files that a
kill or the next run changed or tore (there must be none), whether what is there in the end equals what an undisturbed
run wrote, and how often a kill left something half-written, which the next run has to tidy up: a run that comes to its
end leaves nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .sources import clip_bytes

_FILES = 45


def _extract(folder: str, *more: str) -> list[str]:
    return ["extract", "in", "--output", folder, "--quiet", *more]


def _events(output: str, clips: str) -> list[str]:
    return ["events", "in", "--output", output, "--clips", clips, "--threshold", "0.01", "--workers", "1", "--quiet"]


# What is run, given the folder for its output.
_COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "extract": lambda out: _extract(out, "--workers", "1", "--files-per-part", "3"),
    "extract by two": lambda out: _extract(out, "--workers", "2", "--files-per-part", "3", "--timestamps"),
    "index": lambda out: ["index", out, "--force", "--quiet"],
    "embed": lambda out: ["embed", "in", "--recursive", "--output", out, "--quiet"],
    "tag": lambda out: ["tag", "in", "--recursive", "--output", f"{out}/tags.csv", "--quiet"],
    "events": lambda out: _events(f"{out}/events.csv", f"{out}/clips"),
}


def _start(arguments: list[str]) -> int:
    """The command in a process, and a group, of its own."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        from hear_edgel3.cli import main

        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        status = 70
        try:
            status = main(arguments)
        finally:
            os._exit(status)
    return pid


def _finish(arguments: list[str]) -> float:
    begun = time.monotonic()
    _, status = os.waitpid(_start(arguments), 0)
    if status != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with status {status}")
    return time.monotonic() - begun


def _finished_files(folder: Path) -> dict[str, bytes]:
    """What has its final name: nothing of it may be torn."""
    if not folder.is_dir():
        return {}
    files = (path for path in folder.rglob("*") if path.is_file() and "_job" not in path.parts)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.suffix in {".parquet", ".npz", ".csv", ".usearch", ".flac"}
    }


def _contents(folder: Path) -> object:
    """What is in an output, whatever the order of its parts."""
    if any(folder.glob("*.parquet")):
        from hear_edgel3.dataset.dataset import Dataset

        rows = [row for batch in Dataset(folder).batches() for row in batch.to_pylist()]
        made = ("made_at", "time", "mtime")
        return sorted(repr([(key, value) for key, value in row.items() if key not in made]) for row in rows)
    arrays = {path.name: {k: v.tolist() for k, v in np.load(path).items()} for path in folder.rglob("*.npz")}
    clips = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.flac")}
    tables = {path.name: path.read_text().replace(f"{folder}/", "") for path in folder.rglob("*.csv")}
    return arrays, clips, {name: sorted(text.splitlines()) for name, text in tables.items()}


def _left_over(folder: Path) -> list[str]:
    """What is no output of a run that has ended."""
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".") or path.name.endswith(".part")]


def _try(name: str, kills: int, chance: random.Random) -> tuple[int, int, bool, int, list[str]]:
    """Kills a command so often.

    Returns:
        How many kills came in time, how many finished files they tore, whether all is well in the end, how many of the
        kills left something over, and what is left over after a run that has come to its end.
    """
    command = _COMMANDS[name]
    expected, out = Path("expected"), Path("out")
    for folder in (expected, out):
        shutil.rmtree(folder, ignore_errors=True)
        if name == "index":
            _finish(_COMMANDS["extract"](str(folder)))
        elif name in ("tag", "events"):
            folder.mkdir()
    whole = _finish(command(str(expected)))
    killed = torn = littered = 0
    kept: dict[str, bytes] = {}
    while killed < kills:
        pid = _start(command(str(out)))
        time.sleep(chance.uniform(0, min(whole, 3 * whole / max(kills, 1) + 0.3)))
        number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            killed += 1
            littered += bool(_left_over(out))
            now = _finished_files(out)
            torn += sum(now.get(file) != data for file, data in kept.items() if not file.endswith((".csv", ".usearch")))
            kept = now
        else:  # It was done in time: from the beginning again.
            same = _contents(out) == _contents(expected)
            if not same or _left_over(out):
                return killed, torn, same, littered, _left_over(out)
            kept = {}
            if name == "index":
                (out / "_index.usearch").unlink()
            else:
                shutil.rmtree(out)
                out.mkdir()
    _finish(command(str(out)))
    return killed, torn, _contents(out) == _contents(expected), littered, _left_over(out)


def main() -> int:
    """Runs it, and says what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills")
    parser.add_argument("--kills", type=int, default=200, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch

    import hear_edgel3

    torch.set_num_threads(1)
    hear_edgel3.load("tiny")  # what it imports is there in every process that is forked
    bad = False
    print(f"{'command':15s} {'kills':>6s} {'torn':>5s} {'half-done':>9s}  in the end")
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("in").mkdir()
        for i in range(_FILES):
            Path(f"in/{i:02d}.wav").write_bytes(clip_bytes(i))
        for i, name in enumerate(_COMMANDS):
            share = options.kills // len(_COMMANDS) + (i < options.kills % len(_COMMANDS))
            killed, torn, same, littered, left = _try(name, share, random.Random(f"{options.seed} {name}"))
            said = f"{'equal' if same else 'NOT EQUAL'}{f', left over: {left}' if left else ''}"
            print(f"{name:15s} {killed:6d} {torn:5d} {littered:9d}  {said}", flush=True)
            bad = bad or torn > 0 or not same or bool(left)
        os.chdir("/")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

"""What it takes to tag a sound with an exported file and without PyTorch: megabytes, and seconds to the first tag.

    python -m tests.benchmarks.lean MODEL SOUND --python PYTHON [--repeats N]

MODEL is a file that `hear-edgel3 export` wrote for ONNX, and PYTHON the interpreter of an environment that has numpy,
soundfile and onnxruntime alone. Printed are the sizes of that environment's packages and of this one's; and the seconds
from the start of `lite.py MODEL SOUND` to its end, beside those of `hear-edgel3 tag SOUND`: the medians of several
rounds in which both take turns, CPU time and time on the clock. Both have to name the same class first.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hear_edgel3 import lite

_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"
_NO_TORCH = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"


def package_bytes(python: str) -> int:
    """The bytes of the files of all packages of an interpreter's environment, what it compiled of them left out."""
    found = subprocess.run([python, "-P", "-c", _PACKAGES], capture_output=True, text=True, check=True).stdout.strip()
    files = (path for path in Path(found).rglob("*") if path.suffix != ".pyc" and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.is_file())


def once(command: Sequence[str], folder: Path) -> tuple[float, float, str]:
    """CPU seconds of one run, seconds on the clock, and the class in the last line that it prints."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    taken, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0 or not done.stdout:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return (
        after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime,
        taken,
        done.stdout.splitlines()[-1].split(maxsplit=1)[-1],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("sound", metavar="SOUND")
    parser.add_argument("--python", required=True, metavar="PYTHON", help="of the environment without PyTorch")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds (default 5)")
    given = parser.parse_args(argv)
    lean = os.path.abspath(given.python)  # not the file that a link of an environment leads to
    if subprocess.run([lean, "-P", "-c", _NO_TORCH], check=False).returncode:
        sys.exit(f"{given.python} has PyTorch")
    sizes = package_bytes(lean), package_bytes(sys.executable)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = shutil.copy(lite.__file__, folder / "alone.py")
        model, sound = os.path.abspath(given.model), os.path.abspath(given.sound)
        commands = (
            [lean, "-P", str(alone), model, sound, "--top", "1"],
            [sys.executable, "-P", "-m", "hear_edgel3", "tag", sound, "--top", "1"],
        )
        rounds = [[once(command, folder) for command in commands] for _ in range(given.repeats + 1)][1:]
    named = {label for runs in rounds for _, _, label in runs}
    if len(named) != 1:
        sys.exit(f"they do not name the same class: {', '.join(sorted(named))}")
    print(f"packages: {sizes[0] / 1e6:.0f} MB without PyTorch, {sizes[1] / 1e6:.0f} MB in this environment")
    for i, what in enumerate(("CPU time", "time on the clock")):
        one, other = (statistics.median(runs[j][i] for runs in rounds) for j in range(2))
        print(f"to the first tag, {what}: {one:.2f} s without PyTorch, {other:.2f} s with it: {one / other:.2f} of it")


if __name__ == "__main__":
    main()

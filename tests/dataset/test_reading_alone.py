"""Datasets are read without threads of Arrow's, which can abort or hang the process at its end."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import write_clip
from support.paths import PACKAGE

pytest.importorskip("pyarrow", reason="datasets need the extra `extract`")

_PROGRAM = """
import os
open('/proc/self/comm', 'w').write('python')
import hear_edgel3
from hear_edgel3.dataset import Dataset
from hear_edgel3.search import SoundSearch, find_duplicates

def extract():
    hear_edgel3.extract("in", "d", workers=1, files_per_part=3)

extract()
os.unlink(next(entry.path for entry in os.scandir("d") if entry.name.endswith(".parquet")))
extract()  # reads the plan, and how far it is
SoundSearch("d").neighbours_of_file("in/0.wav")
find_duplicates("d")
assert sum(batch.num_rows for batch in Dataset("d").batches()) == 8
print([open(f"/proc/self/task/{thread}/comm").read().strip() for thread in os.listdir("/proc/self/task")])
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted by Linux's /proc")
def test_no_threads_are_left(here: Path) -> None:
    (here / "in").mkdir()
    for i in range(8):
        write_clip(f"in/{i}.wav")
    environment = {**os.environ, "PYTHONPATH": os.fspath(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    # Only the interpreter's own, beside that of Arrow's allocator, which ends by itself.
    assert [thread for thread in ast.literal_eval(done.stdout) if thread != "jemalloc_bg_thd"] == ["python"]

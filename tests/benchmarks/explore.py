"""How large and how fluid the page of ``hear-edgel3 explore`` is, on many clips and without a GPU.

    python -m tests.benchmarks.explore [--clips 20000] [--projection pca] [--page PAGE [PAGE ...]]
    python -m tests.benchmarks.explore --clips 240 --projection umap --twice
    python -m tests.benchmarks.explore --windows 1000000 [--sample 20000]

``--windows`` builds a page of a sample of so many windows of a second, embeddings of 512 values in days of recordings
whose audio is gone, and stops there: what it prints is what a large dataset costs, without spectrograms.
``--twice`` builds the page twice, with a cache of its own that is empty the first time, and stops there: what the first
run costs more is what it compiles. Else it builds a page of clips of noise (which packs worst), or takes those that
exist, opens each in a headless Chromium with the limit on frames taken off, and moves the maps in turn: a frame is then
as long as the work in it, drawing, painting and compositing. ``--keep PAGE`` keeps the page that it builds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from support import chromium, signals
from support.datasets import description, write_rows

_SIZE = 64
_WINDOW_SIZE, _DAY = 512, 86_400
_TARGET_MS = 16.0
_LIMIT_MS = 33.0
_MOVES = {
    "panning": "panBy(6 * Math.sin(i / 7), 4 * Math.cos(i / 9))",
    "zooming": "zoomBy(i % 60 < 30 ? 1.05 : 1 / 1.05)",
    "filtering": "(element('filter').value = ['n', 'no', 'noi', 'noise-1', ''][i % 5], filter())",
}


def write_dataset(folder: Path, n_clips: int) -> Path:
    """Clips in clusters, their files links to a few seconds of noise."""
    rs = np.random.RandomState(0)
    for i in range(20):
        soundfile.write(folder / f"source-{i}.wav", signals.clip(2.0, 32000, seed=i), 32000)
    centres = rs.randn(24, _SIZE)
    rows = []
    for i in range(n_clips):
        file = folder / f"kind-{i % 24}" / f"noise-{i}.wav"
        file.parent.mkdir(exist_ok=True)
        file.symlink_to(folder / f"source-{i % 20}.wav")
        embedding = (centres[i % 24] + rs.randn(_SIZE)).astype(np.float32)
        rows.append({"file": str(file), "embedding": embedding, "duration_s": 2.0, "sample_rate": 32000})
    write_rows(folder / "embeddings", description(_SIZE), rows)
    return folder / "embeddings"


def write_windows(folder: Path, n_windows: int) -> Path:
    """Days of windows of a second, a part each, in clusters that change by the minute."""
    made = description(_WINDOW_SIZE, hop_ms=1000.0, dtype="float16")
    rs = np.random.RandomState(0)
    centres = rs.rand(64, _WINDOW_SIZE).astype(np.float32)
    (folder / "embeddings").mkdir()
    for day, first in enumerate(range(0, n_windows, _DAY)):
        n = min(_DAY, n_windows - first)
        kinds = np.repeat(rs.randint(64, size=n // 60 + 1), 60)[:n]
        with pq.ParquetWriter(folder / "embeddings" / f"{day:04d}.parquet", made.schema()) as writer:
            for begin in range(0, n, 10_000):
                some = kinds[begin : begin + 10_000]
                values = centres[some] + 0.3 * rs.standard_normal((len(some), _WINDOW_SIZE)).astype(np.float32)
                columns = {
                    "file": pa.array([f"day-{day}.wav"] * len(some)),
                    "timestamp_ms": pa.array(1000.0 * (np.arange(len(some)) + begin) + 500),
                    "embedding": pa.FixedSizeListArray.from_arrays(
                        pa.array(values.astype(np.float16).reshape(-1)), _WINDOW_SIZE
                    ),
                    "error": pa.nulls(len(some), pa.string()),
                    "duration_s": pa.array(np.full(len(some), float(n))),
                    "sample_rate": pa.array(np.full(len(some), 32000, np.int32)),
                }
                writer.write_table(pa.table(columns, schema=made.schema()))
    return folder / "embeddings"


def build(folder: Path, dataset: Path, n_clips: int, projection: str, *more: str) -> Path:
    """Makes the page in a process of its own, and prints what that took."""
    page = folder / "page.html"
    command = [sys.executable, "-m", "hear_edgel3.cli", "explore", str(dataset), "--output", str(page), "--quiet"]
    command += ["--projection", projection, "--no-tags", *more]  # a tagger's time is its own matter
    environment = {**os.environ, "HEAR_EDGEL3_CACHE": str(folder / "cache")}
    start = time.perf_counter()
    # wait4 gives the usage of this very child
    _, status, usage = os.wait4(os.posix_spawn(sys.executable, command, environment), 0)
    if status != 0:
        sys.exit(f"explore failed with status {status}")
    peak = usage.ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
    cpu = usage.ru_utime + usage.ru_stime  # of the processes that it started, too
    print(f"{n_clips} clips: {time.perf_counter() - start:.1f} s wall, {cpu:.1f} s of CPU, peak {peak:.2f} GiB")
    return page


def measure(pages: list[Path], frames: int, rounds: int) -> bool:
    """Prints the figures of pages, open at once and moved in turn; whether every kind of frame is within the limit."""
    fluid = True
    with contextlib.ExitStack() as stack:
        browsers = []
        for page in pages:
            browser = stack.enter_context(chromium.Chromium("--disable-frame-rate-limit", "--disable-gpu-vsync"))
            start = time.perf_counter()
            browser.open(page)
            browser.wait_for("element('facts').textContent !== ''")
            opened = time.perf_counter() - start
            print(
                f"{page}: {page.stat().st_size / 1e6:.1f} MB, opened after {opened:.1f} s; {browser.run('count')} clips"
            )
            browser.run("choose(0), 1")
            browser.wait_for("!element('spectrogram').hidden")
            browsers.append(browser)
        for name, move in _MOVES.items():
            found = np.array([[_frames(browser, move, frames) for browser in browsers] for _ in range(rounds)])
            medians = np.median(found[:, :, 0], axis=2)  # of each round and page
            for number in range(len(pages)):
                of_page = found[:, number].transpose(1, 0, 2).reshape(2, -1)
                median, slow = np.percentile(of_page[0], [50, 95])
                drawing = np.median(of_page[1])
                fluid = fluid and median < _LIMIT_MS
                ratio = (
                    "" if number == 0 else f"; {np.median(medians[:, number] / medians[:, 0]):.2f} of the first page's"
                )
                print(
                    f"{name}: {median:.1f} ms per frame (95 %: {slow:.1f}), {drawing:.1f} of them JavaScript; "
                    f"{'within' if median < _TARGET_MS else 'NOT within'} {_TARGET_MS:g} ms{ratio}"
                )
    return fluid


def _frames(browser: chromium.Chromium, move: str, frames: int) -> list[list[float]]:
    """How long frames took while a page was moved, and how much of that was drawing."""
    found: list[list[float]] = browser.run(
        f"""(async () => {{
        const intervals = [], drawing = [];
        let before = await new Promise(requestAnimationFrame);
        for (let i = 0; i < {frames}; i++) {{
            const begun = performance.now();
            {move};
            cancelAnimationFrame(wanted);
            drawNow();
            drawing.push(performance.now() - begun);
            const now = await new Promise(requestAnimationFrame);
            intervals.push(now - before);
            before = now;
        }}
        return [intervals.slice(10), drawing.slice(10)];
        }})()"""
    )
    return found


def main() -> None:
    """Builds, measures, prints; the exit status is 1 if a median frame takes more than 33 ms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20000)
    parser.add_argument("--projection", default="pca")
    parser.add_argument("--page", type=Path, nargs="+", help="measure these pages instead")
    parser.add_argument("--keep", type=Path, help="where to keep the page that is built")
    parser.add_argument("--frames", type=int, default=60, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--twice", action="store_true", help="build twice, and measure no page")
    parser.add_argument("--windows", type=int, help="build a page of a sample of so many, and measure no page")
    parser.add_argument("--sample", type=int, default=20000, help="of --windows")
    arguments = parser.parse_args()
    if arguments.windows is not None:
        with tempfile.TemporaryDirectory() as folder:
            dataset = write_windows(Path(folder), arguments.windows)
            more = ("--segments", "1", "--sample", str(arguments.sample))
            build(Path(folder), dataset, arguments.windows, arguments.projection, *more)
        return
    if arguments.twice:
        with tempfile.TemporaryDirectory() as folder:
            dataset = write_dataset(Path(folder), arguments.clips)
            for _ in range(2):
                build(Path(folder), dataset, arguments.clips, arguments.projection)
        return
    if chromium.find() is None:
        sys.exit("no Chromium was found; install one, or name it in $HEAR_EDGEL3_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder:
        pages = arguments.page
        if pages is None:
            dataset = write_dataset(Path(folder), arguments.clips)
            pages = [build(Path(folder), dataset, arguments.clips, arguments.projection)]
            if arguments.keep is not None:
                shutil.copyfile(pages[0], arguments.keep)
        sys.exit(0 if measure([page.resolve() for page in pages], arguments.frames, arguments.rounds) else 1)


if __name__ == "__main__":
    main()

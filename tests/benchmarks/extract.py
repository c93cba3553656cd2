"""Jobs against a plain loop over single files and against the bare net: many short files, a few long ones, resuming.

    python -m tests.benchmarks.extract [NAMES] [--clips 2000] [--long 10] [--minutes 5] [--rate 32000] [--repeats 3]
    python -m tests.benchmarks.extract tiny --memory --hours 3      # peak memory for short and long files
    python -m tests.benchmarks.extract tiny --files 50000           # what finding many files costs
    python -m tests.benchmarks.extract tiny --price 0.04            # and what a million hours would cost

*Bare* is front end and net on windows that lie ready, in as many processes as the job has workers. What is compared is
measured in turn, so that other work on the machine hits all; ratios are medians over the repeats. Nets with published
weights need these (HEAR_EDGEL3_WEIGHTS).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio import AudioFile
from hear_edgel3.dataset import Description
from hear_edgel3.extractor import Extractor
from hear_edgel3.jobs import plan, usable_cpus
from hear_edgel3.jobs.manifest import list_items, new_items
from support import signals

_DIFFERENT = 100
_LOOPED = 200  # of the short clips, enough for the plain loop
_MILLION_HOURS = 1_000_000


def write_clips(folder: Path, count: int, seconds: float, rate: int, ending: str) -> list[str]:
    """Audio files, of which at most 100 are different: the others are links to these."""
    folder.mkdir()
    files = [folder / f"{i:06d}.{ending}" for i in range(count)]
    for i, path in enumerate(files):
        if i < _DIFFERENT and (seconds < 10 or i == 0):
            soundfile.write(path, signals.clip(seconds, rate, seed=i), rate)
        else:
            os.link(files[i % _DIFFERENT if seconds < 10 else 0], path)
    return [os.fspath(path) for path in files]


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def loop(model: Extractor, files: list[str], timestamps: bool) -> None:
    """One file after the other through the single-file functions."""
    for path in files:
        with AudioFile(path) as file:
            if timestamps:
                model.embed_stream(file.blocks(), file.sample_rate, model.timestamp_framing())
            else:
                model.scene_of_stream(file.blocks(), file.sample_rate)


def ready_windows(model: Extractor, seconds: float, timestamps: bool) -> tuple[torch.Tensor, int]:
    """A group of windows as a clip of some seconds has them, and how many such windows it has."""
    where = model.timestamp_framing() if timestamps else model.configuration.checkpoint.scene
    samples = torch.from_numpy(signals.clip(seconds, model.net_sample_rate)).float()
    count, group = 0, None
    for windows in model.windows([samples], model.net_sample_rate, where):
        count += len(windows)
        group = windows if group is None else group
    assert group is not None
    at_once = min(model.windows_at_once(group.shape[1]), 256)
    return group.repeat(-(-at_once // len(group)), 1)[:at_once], count


def bare(name: str, net_engine: str, seconds: float, clips: int, timestamps: bool, start: object = None) -> float:
    """Seconds that front end and net take for some clips, on one thread."""
    torch.set_num_threads(1)
    model = hear_edgel3.load(name, engine=net_engine)
    windows, per_clip = ready_windows(model, min(seconds, 60), timestamps)
    total = clips * per_clip * seconds / min(seconds, 60)
    model.embed_windows(windows)
    if start is not None:
        start.wait()  # type: ignore[attr-defined]
    return timed(lambda: [model.embed_windows(windows) for _ in range(max(1, round(total / len(windows))))])


def _bare_process(results: object, arguments: tuple[object, ...], start: object) -> None:
    results.put(bare(*arguments, start))  # type: ignore[attr-defined,arg-type]


def bare_processes(workers: int, *arguments: object) -> float:
    """The same in several processes at once; the slowest counts."""
    context = multiprocessing.get_context("spawn")
    results, start = context.Queue(), context.Barrier(workers)
    processes = [context.Process(target=_bare_process, args=(results, arguments, start)) for _ in range(workers)]
    for process in processes:
        process.start()
    times = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return max(times)


def compare(
    name: str, folder: Path, files: list[str], seconds: float, timestamps: bool, options: argparse.Namespace
) -> float:
    """Measures and prints one kind of files; returns how many times real time the job ran."""
    model = hear_edgel3.load(name, engine=options.net_engine)
    audio = len(files) * seconds
    looped = files[: _LOOPED if seconds < 10 else 2]
    few = files[: 2 * options.workers]
    times: dict[str, list[float]] = {key: [] for key in ("loop", "one", "bare", "all", "start", "bare all", "resume")}
    cut = {"timestamps": timestamps, "net_engine": options.net_engine}

    def job(output: str, sources: list[str], workers: int, per_part: int | None = None) -> float:
        where = folder / output
        summary = hear_edgel3.extract(sources, where, name, workers=workers, files_per_part=per_part, **cut)
        assert summary.all_well
        return summary.wall_seconds

    per_part = None if seconds < 10 else 1
    for i in range(options.repeats):
        times["loop"].append(timed(lambda: loop(model, looped, timestamps)) / (len(looped) * seconds))
        times["one"].append(job(f"one{i}", files, 1, per_part) / audio)
        times["bare"].append(bare(name, options.net_engine, seconds, len(files), timestamps) / audio)
        times["resume"].append(job(f"one{i}", files, 1) / audio)
        if options.workers > 1:
            times["all"].append(job(f"all{i}", files, options.workers, per_part) / audio)
            times["start"].append(job(f"few{i}", few, options.workers, 1 if seconds < 10 else per_part) / audio)
            share = -(-len(files) // options.workers)
            arguments = (name, options.net_engine, seconds, share, timestamps)
            times["bare all"].append(bare_processes(options.workers, *arguments) / (share * options.workers * seconds))

    def rate(key: str) -> str:
        return f"{1 / median(times[key]):7.0f} x"

    def ratio(one: str, other: str) -> float:
        return median(b / a for a, b in zip(times[one], times[other], strict=True))

    what = f"{name}, {len(files)} x {seconds:g} s, {'timestamps' if timestamps else 'scenes'}"
    print(f"{what}, times real time: plain loop {rate('loop')}; job, 1 worker {rate('one')}; bare net {rate('bare')}")
    print(f"  1 worker: {ratio('one', 'loop'):.2f} of the loop, {ratio('one', 'bare'):.2f} of the bare net", end="")
    print(f"; resuming costs {100 / ratio('resume', 'one'):.2f} % of the work")
    if options.workers > 1:
        print(f"  {options.workers} workers {rate('all')}: {ratio('all', 'loop'):.2f} of the loop", end="")
        print(f", {ratio('all', 'bare all'):.2f} of {options.workers} bare nets", end="")
        print(f"; {median(times['start']) * audio:.1f} s of that are for starting workers")
    sys.stdout.flush()
    return 1 / median(times["all"] or times["one"])


def peak_memory(name: str, folder: Path, hours: float, rate: int) -> None:
    """Prints the peak memory of jobs of their own process, for a short and a long file, and for many."""
    for what, seconds, count in (
        ("1 file of 1 min", 60.0, 1),
        (f"1 file of {hours:g} h", 3600 * hours, 1),
        ("3000 of 1 s", 1.0, 3000),
    ):
        where = folder / what.replace(" ", "_")
        where.mkdir()
        if count > 1:
            write_clips(where / "in", count, seconds, rate, "wav")
        else:
            (where / "in").mkdir()
            with soundfile.SoundFile(where / "in" / "a.flac", "w", rate, 1) as file:
                for i in range(round(seconds / 60)):
                    file.write(signals.clip(60, rate, seed=i % 7))
        command = [sys.executable, "-m", "hear_edgel3.cli", "extract", f"{where}/in", "--output", f"{where}/out"]
        command += ["--config", name, "--timestamps", "--workers", "1", "--quiet"]
        begun = time.perf_counter()
        _, status, usage = os.wait4(os.posix_spawn(sys.executable, command, os.environ), 0)
        if status != 0:
            sys.exit(f"extract failed with status {status}")
        peak = usage.ru_maxrss / (1 << 10 if sys.platform != "darwin" else 1 << 20)
        print(f"{name}, timestamps, {what}: peak {peak:.0f} MiB; {time.perf_counter() - begun:.1f} s", flush=True)


def finding(folder: Path, count: int) -> None:
    """Prints what it costs to find many files, at the first start and later."""
    write_clips(folder / "many", count, 0.05, 8000, "wav")
    description = Description("tiny", "", 1, 224, None, "float32", "0")
    job = plan.Job(os.fspath(folder / "found"), os.getcwd(), description, "auto")

    def find(generation: int) -> None:
        known = plan.known_items(job) if generation else set()
        items = new_items(list_items([os.fspath(folder / "many")]).items, job.folder, job.folder, known)
        assert len(items) == (0 if generation else count)
        if items:
            plan.publish(job, generation, items, None)

    first, again = timed(lambda: find(0)), timed(lambda: find(1))
    part = median(timed(lambda: plan.items_of(job, one)) for one in plan.parts_of(job)[:20])
    print(
        f"{count} files: {first:.2f} s to find and fix them, {again:.2f} s when started again; {1000 * part:.1f} ms a part"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["tiny", "sea_64"])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--long", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=int, default=32000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=usable_cpus())
    parser.add_argument("--net-engine", default="auto")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--files", type=int)
    parser.add_argument("--price", type=float, metavar="DOLLARS", help="per core and hour")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.files:
            finding(folder, options.files)
        elif options.memory:
            for name in options.names:
                peak_memory(name, folder, options.hours, 8000)
        else:
            short = write_clips(folder / "short", options.clips, 1.0, options.rate, "flac")
            long = write_clips(folder / "long", options.long, 60 * options.minutes, options.rate, "flac")
            for name in options.names:
                for files, seconds, timestamps in (
                    (short, 1.0, False),
                    (long, 60 * options.minutes, False),
                    (long, 60 * options.minutes, True),
                ):
                    if not files:
                        continue
                    where = folder / f"{name}{seconds}{timestamps}"
                    where.mkdir()
                    times = compare(name, where, files, seconds, timestamps, options)
                    if options.price is not None:
                        hours = _MILLION_HOURS * options.workers / times
                        print(
                            f"  a million hours: {hours:,.0f} core hours, {options.price * hours:,.0f} dollars",
                            flush=True,
                        )


if __name__ == "__main__":
    main()

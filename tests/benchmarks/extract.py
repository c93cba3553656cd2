"""Jobs against a plain loop over single files and against the bare net: many short files, a few long ones, resuming.

    python -m tests.benchmarks.extract [NAMES] [--clips 2000] [--long 10] [--minutes 5] [--rate 32000] [--repeats 3]
    python -m tests.benchmarks.extract tiny --memory --hours 3      # peak memory for short and long files
    python -m tests.benchmarks.extract tiny --files 50000           # what finding many files costs
    python -m tests.benchmarks.extract tiny --price 0.04            # and what a million hours would cost
    python -m tests.benchmarks.extract tiny --tags 5                # what tags of the same pass cost besides

*Bare* is front end and net on windows that lie ready, in as many processes as the job has workers. What is compared is
measured in turn, so that other work on the machine hits all; ratios are medians over the repeats, by the clock and, in
brackets, by CPU time, which other work hardly touches. Nets with published weights need these (HEAR_EDGEL3_WEIGHTS).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing, timestamp_framing
from hear_edgel3.extractor.window_net import embed_blocks, mean_embedding
from hear_edgel3.framing.rules import WindowRule
from hear_edgel3.jobs import plan
from hear_edgel3.jobs.manifest import list_items, new_items
from hear_edgel3.jobs.run import usable_cpus
from support import signals

_DIFFERENT = 100
_LOOPED = 200  # of the short clips, enough for the plain loop
_SHORT = 10.0  # seconds
_MILLION_HOURS = 1_000_000


def write_clips(folder: Path, count: int, seconds: float, rate: int, ending: str) -> list[str]:
    """Audio files, of which at most 100 are different: the others are links to these."""
    folder.mkdir()
    files = [folder / f"{i:06d}.{ending}" for i in range(count)]
    for i, path in enumerate(files):
        if i < _DIFFERENT and (seconds < _SHORT or i == 0):
            soundfile.write(path, signals.clip(seconds, rate, seed=i), rate)
        else:
            os.link(files[i % _DIFFERENT if seconds < _SHORT else 0], path)
    return [os.fspath(path) for path in files]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of all processors, that something took; per second of audio where it says so."""

    wall: float
    cpu: float

    def per(self, seconds: float) -> Cost:
        """For each of some seconds."""
        return Cost(self.wall / seconds, self.cpu / seconds)


def cost_of(action: Callable[[], object]) -> Cost:
    """What an action costs, processes that it has started and awaited included."""
    before = os.times()
    action()
    after = os.times()
    return Cost(after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4]))


def rule_of(model: Extractor, timestamps: bool) -> WindowRule:
    """Where the windows of timestamps, or those of scenes, lie."""
    return timestamp_framing(model.configuration) if timestamps else scene_framing(model.configuration)


def loop(model: Extractor, files: list[str], timestamps: bool) -> None:
    """One file after the other through the single-file functions."""
    for path in files:
        with AudioFile(path) as file:
            windows = model.window_path(rule_of(model, timestamps), file.sample_rate)
            embeddings = embed_blocks([model], file.blocks(), windows)
            if not timestamps:
                mean_embedding(*embeddings)


def ready_windows(model: Extractor, seconds: float, timestamps: bool) -> tuple[torch.Tensor, int]:
    """A group of windows as a clip of some seconds has them, and how many such windows it has."""
    samples = torch.from_numpy(signals.clip(seconds, model.net_sample_rate)).float()
    count, group = 0, None
    for windows in model.window_path(rule_of(model, timestamps), model.net_sample_rate).groups([samples]):
        count += len(windows)
        group = windows if group is None else group
    assert group is not None
    at_once = min(model.windows_at_once(group.shape[1]), 256)
    return group.repeat(-(-at_once // len(group)), 1)[:at_once], count


def bare(name: str, net_engine: str, seconds: float, clips: int, timestamps: bool, start: Any = None) -> Cost:
    """What front end and net cost for some clips, on one thread."""
    torch.set_num_threads(1)
    model = hear_edgel3.load(name, engine=net_engine)
    measured = min(seconds, 60.0)
    windows, per_clip = ready_windows(model, measured, timestamps)
    runs = max(1, round(clips * per_clip * seconds / measured / len(windows)))
    model.embed_windows(windows)
    if start is not None:
        start.wait()
    return cost_of(lambda: [model.embed_windows(windows) for _ in range(runs)])


def _bare_process(results: Any, arguments: tuple[Any, ...], start: Any) -> None:
    results.put(bare(*arguments, start))


def bare_processes(workers: int, *arguments: object) -> Cost:
    """The same in several processes at once: until the slowest is ready, and of all."""
    context = multiprocessing.get_context("spawn")
    results, start = context.Queue(), context.Barrier(workers)
    processes = [context.Process(target=_bare_process, args=(results, arguments, start)) for _ in range(workers)]
    for process in processes:
        process.start()
    costs = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return Cost(max(cost.wall for cost in costs), sum(cost.cpu for cost in costs))


def compare(
    name: str, folder: Path, files: list[str], seconds: float, timestamps: bool, options: argparse.Namespace
) -> Cost:
    """Measures and prints one kind of files; returns what the job costs per second of audio."""
    model = hear_edgel3.load(name, engine=options.net_engine)
    short = seconds < _SHORT
    audio = len(files) * seconds
    few = write_clips(folder / "few", options.workers, 0.1, options.rate, options.format)
    looped = files[:_LOOPED] if short else files[:2]
    costs: dict[str, list[Cost]] = {
        key: [] for key in ("loop", "one", "bare", "all", "start", "work", "bares", "resume")
    }
    what = {"timestamps": timestamps, "engine": options.net_engine}

    def job(output: str, sources: list[str], workers: int) -> Cost:
        per_part = None if short and sources is files else 1
        where = folder / output

        def run() -> None:
            assert hear_edgel3.extract(sources, where, name, workers=workers, files_per_part=per_part, **what).all_well

        return cost_of(run)

    for i in range(options.repeats):
        costs["loop"].append(cost_of(lambda: loop(model, looped, timestamps)).per(len(looped) * seconds))
        costs["one"].append(job(f"one{i}", files, 1).per(audio))
        costs["bare"].append(bare(name, options.net_engine, seconds, len(files), timestamps).per(audio))
        costs["resume"].append(job(f"one{i}", files, 1).per(audio))
        if options.workers > 1:
            costs["all"].append(job(f"all{i}", files, options.workers).per(audio))
            start = job(f"few{i}", few, options.workers)
            costs["start"].append(start)
            working = Cost(costs["all"][i].wall - start.wall / audio, costs["all"][i].cpu - start.cpu / audio)
            costs["work"].append(working)
            share = -(-len(files) // options.workers)
            bares = bare_processes(options.workers, name, options.net_engine, seconds, share, timestamps)
            costs["bares"].append(bares.per(share * options.workers * seconds))

    def times(key: str, other: str) -> str:
        """How many times as fast as the other it is, by the clock and by CPU time."""
        pairs = list(zip(costs[key], costs[other], strict=True))
        wall, cpu = (median(getattr(b, by) / getattr(a, by) for a, b in pairs) for by in ("wall", "cpu"))
        return f"{wall:.2f} ({cpu:.2f})"

    def rate(key: str) -> str:
        return f"{1 / median(cost.wall for cost in costs[key]):.0f} x"

    print(f"{name}, {len(files)} files of {seconds:g} s, {'timestamps' if timestamps else 'scenes'}")
    print(f"  times real time: plain loop {rate('loop')}, bare net {rate('bare')}, job with 1 worker {rate('one')}")
    print(f"    that is {times('one', 'loop')} of the loop and {times('one', 'bare')} of the bare net", end="; ")
    again = median(a.wall / b.wall for a, b in zip(costs["resume"], costs["one"], strict=True))
    print(f"resuming takes {100 * again:.2f} %")
    if options.workers > 1:
        print(f"  with {options.workers} workers {rate('all')}, bare nets {rate('bares')}:", end=" ")
        print(f"{times('all', 'loop')} of the loop, {times('all', 'bares')} of the bare nets;", end=" ")
        print(f"without {median(cost.wall for cost in costs['start']):.1f} s to start the workers", end=" ")
        print(f"{rate('work')}, {times('work', 'loop')}, {times('work', 'bares')}")
    sys.stdout.flush()
    return Cost(*(median(getattr(cost, by) for cost in costs["one"]) for by in ("wall", "cpu")))


def peak_memory(name: str, folder: Path, hours: float, rate: int) -> None:
    """Prints the peak memory of jobs of their own process, for a short and a long file, and for many."""
    for what, seconds, count in (
        ("1 file of 15 min", 900.0, 1),
        (f"1 file of {hours:g} h", 3600 * hours, 1),
        ("1000 files of 1 s", 1.0, 1000),
        ("4000 files of 1 s", 1.0, 4000),
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


def tagging(name: str, folder: Path, count: int, options: argparse.Namespace) -> None:
    """Prints what tags cost besides embeddings, in CPU time, of which both measure in turn."""
    seconds = 60 * options.minutes
    kinds: tuple[tuple[str, int, float, bool], ...] = (
        ("scenes", options.clips, 1.0, False),
        ("timestamps", options.long, seconds, True),
    )
    for what, files, length, timestamps in kinds:
        sources = write_clips(folder / what, files, length, options.rate, options.format)
        costs: dict[int | None, list[float]] = {None: [], count: []}
        for i in range(options.repeats + 1):
            for tags, found in costs.items():
                output = folder / f"{what}-{tags}-{i}"
                job = partial(hear_edgel3.extract, sources, output, name, timestamps=timestamps, tags=tags, workers=1)
                cost = cost_of(job)
                if i:  # the first ones load code
                    found.append(cost.cpu)
        ratio = median(b / a for a, b in zip(costs[None], costs[count], strict=True))
        without, with_tags = (median(found) for found in costs.values())
        print(
            f"{name}, {files} files of {length:g} s, {what}: {without:.1f} s of CPU, with the {count} best tags "
            f"{with_tags:.1f} s: {ratio:.3f} of it",
            flush=True,
        )


def finding(folder: Path, count: int) -> None:
    """Prints what it costs to find many files, at the first start and later."""
    write_clips(folder / "many", count, 0.05, 8000, "wav")
    description = Description("tiny", "", 2, 320, None, "float32", "0")
    job = plan.Job(os.fspath(folder / "found"), os.getcwd(), description, "auto")

    def find(generation: int) -> None:
        known = plan.known_items(job) if generation else set()
        items = new_items(list_items([os.fspath(folder / "many")]).items, job.folder, job.folder, known)
        assert len(items) == (0 if generation else count)
        if items:
            plan.publish(job, generation, items, None)

    first, again = (cost_of(partial(find, i)).wall for i in range(2))
    part = median(cost_of(partial(plan.items_of, job, part)).wall for part in plan.parts_of(job))
    print(f"{count} files: {first:.2f} s to find and fix them, {again:.2f} s started again; {1e3 * part:.1f} ms a part")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["tiny", "sea_64"])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--long", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=int, default=32000)
    parser.add_argument("--format", default="flac", help="ending of the files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=usable_cpus())
    parser.add_argument("--net-engine", default="auto")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--files", type=int)
    parser.add_argument("--tags", type=int, metavar="K")
    parser.add_argument("--price", type=float, metavar="DOLLARS", help="per core and hour")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.files:
            finding(folder, options.files)
        elif options.tags:
            for name in options.names:
                (folder / name).mkdir()
                tagging(name, folder / name, options.tags, options)
        elif options.memory:
            for name in options.names:
                peak_memory(name, folder, options.hours, 8000)
        else:
            length = 60 * options.minutes
            short = write_clips(folder / "short", options.clips, 1.0, options.rate, options.format)
            long = write_clips(folder / "long", options.long, length, options.rate, options.format)
            kinds = ((short, 1.0, False), (long, length, False), (long, length, True))
            for name in options.names:
                for number, (files, seconds, timestamps) in enumerate(kinds):
                    if files:
                        where = folder / f"{name}{number}"
                        where.mkdir()
                        cost = compare(name, where, files, seconds, timestamps, options)
                        if options.price is not None:
                            hours = _MILLION_HOURS * cost.cpu
                            money = options.price * hours
                            print(f"  a million hours: {hours:,.0f} core hours, {money:,.0f} dollars", flush=True)


if __name__ == "__main__":
    main()

"""Events of a synthetic recording: how many are found, what that takes, and what memory.

    python -m tests.benchmarks.events [--minutes 60] [--config tiny ...] [--sounds FOLDER] [--threshold 0.2 0.3 0.5]
    python -m tests.benchmarks.events day [--minutes 60 1440] ...

`day` takes an hour and a day that are made as they are read, and so no room on a disk. Each is looked into by itself in
a process of one thread; the CPU time of making it is left out, and its memory (about 100 MiB) is in the peak.

The recording has known events (tests/support/scenes.py), at 48 kHz; it is made anew from the seed. Without --sounds
they are noise and tones; FOLDER has a folder of sounds for each class, called as it is. Each command runs in a process
of its own, with one worker and one thread, and what it took is its CPU time: other work on the machine does not count.
`extract --timestamps` beside it does the same recording alone, on the same windows: of a second, every half a second.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hear_edgel3.event_detection import Event, EventFinder
from support.event_scores import event_score, segment_score
from support.scenes import RATE, Reference, SceneFile, from_files, minute, synthesised, write_scene

_THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Cost(NamedTuple):
    """What a command took: seconds of CPU time and of the clock, and MiB at most."""

    cpu: float
    wall: float
    peak: float


def run(*words: str) -> Cost:
    """Runs ``hear-edgel3`` in a process of its own."""
    begun = time.monotonic()
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", "hear_edgel3", *words], {**os.environ, **_THREADS})
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"hear-edgel3 {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024)


def read(path: Path) -> list[Event]:
    """The events of a CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Event(float(row["start"]), float(row["end"]), row["label"], row["mid"], float(row["score"]))
            for row in csv.DictReader(file)
        ]


def sounds_of(folder: Path | None) -> dict[str, list[Path]] | None:
    """The sounds of a folder of folders, by the names of these."""
    if folder is None:
        return None
    return {one.name: sorted(one.iterdir()) for one in sorted(folder.iterdir()) if one.is_dir()}


def measure(config: list[str], scene: Path, minutes: int, known: list[Reference], thresholds: list[float]) -> None:
    """Prints the lines of one net."""
    classes = sorted({event.label for event in known})
    folder = scene.with_suffix(f".{config[1]}")
    one = ("--workers", "1", "-q", "--output")
    same = ["--config", f"{config[1]}_ts1000", *config[2:], "--hop", "0.5"]  # the windows of `events`
    extract = run("extract", str(scene), "--timestamps", *same, *one, str(folder))
    print(f"{config[1]:>10} extract --timestamps: {_cost(extract, minutes)}", flush=True)
    for threshold in thresholds:
        output = folder.with_suffix(f".{config[1]}.{threshold}.csv")
        words = ("events", str(scene), *config, "--classes", *classes, "--threshold", str(threshold), "--merge", "0.5")
        cost = run(*words, *one, str(output))
        found = read(output)
        event, segment = event_score(known, found), segment_score(known, found)
        hourly = 3600 * len(found) / cost.cpu
        print(
            f"{config[1]:>10} events --threshold {threshold:g}: {_cost(cost, minutes)}, {cost.cpu / extract.cpu:.2f} "
            f"of extract; {len(found)} found of {len(known)}, {hourly:.0f} per hour of CPU, event F "
            f"{event.f:.3f} (precision {event.precision:.3f}, recall {event.recall:.3f}), segment F {segment.f:.3f}",
            flush=True,
        )


def measure_made(minutes: int, given: argparse.Namespace) -> None:
    """Prints the lines of a recording that is made as it is read."""
    sounds = _sounds(given)
    known = [event for number in range(minutes) for event in minute(number, sounds, given.seed)[1]]
    print(f"{minutes} minutes at 48 kHz, {len(known)} events of {len(sounds)} classes, made as it is read", flush=True)
    for name in given.config:
        for threshold in given.threshold:
            more = [
                f"--{what}={value}" for what, value in (("weights", given.weights), ("sounds", given.sounds)) if value
            ]
            asked = [f"--minutes={minutes}", f"--config={name}", f"--threshold={threshold}", f"--seed={given.seed}"]
            words = [sys.executable, "-m", "tests.benchmarks.events", "find", *asked, *more]
            child = subprocess.run(words, env={**os.environ, **_THREADS}, stdout=subprocess.PIPE, check=True)
            values = json.loads(child.stdout)
            found = [Event(*event) for event in values["events"]]
            event, segment = event_score(known, found), segment_score(known, found)
            cost = Cost(values["cpu"], values["wall"], values["peak"])
            print(
                f"{name:>10} events --threshold {threshold:g}: {_cost(cost, minutes)}; {len(found)} found of "
                f"{len(known)}, event F {event.f:.3f} (precision {event.precision:.3f}, recall {event.recall:.3f}), "
                f"segment F {segment.f:.3f}",
                flush=True,
            )


def find_in_made(given: argparse.Namespace) -> None:
    """Prints what is found in one recording, and what that took, as JSON: what `day` runs in a process of its own."""
    sounds = _sounds(given)
    options = {"classes": sorted(sounds), "threshold": given.threshold[0], "merge": 0.5}
    finder = EventFinder(given.config[0], None if given.config[0] == "tiny" else given.weights, **options)
    finder.find_samples(np.zeros(RATE, np.float32), RATE)  # what is made at the first call
    scene = SceneFile(given.minutes[0], sounds, given.seed)
    cpu, wall = time.process_time(), time.monotonic()
    found = finder.find_file(scene)
    cpu, wall = time.process_time() - cpu - scene.seconds_of_making, time.monotonic() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    events = [dataclasses.astuple(event) for event in found]
    print(json.dumps({"events": events, "cpu": cpu, "wall": wall, "peak": peak}))


def _sounds(given: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    files = sounds_of(given.sounds)
    return synthesised() if files is None else from_files(files)


def _cost(cost: Cost, minutes: int) -> str:
    return (
        f"{cost.cpu:.1f} s of CPU ({cost.wall:.1f} s), {minutes / 60 / (cost.cpu / 3600):.0f} hours of sound per hour "
        f"of CPU, {cost.peak:.0f} MiB"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whats = ["file", "day", "find"]
    parser.add_argument("what", nargs="?", choices=whats, default="file", metavar="day", help="see above")
    parser.add_argument("--minutes", type=int, nargs="+", help="of the recording; 1440 is a day")
    parser.add_argument("--config", nargs="+", default=["tiny"])
    parser.add_argument("--weights", help="a folder of converted weights")
    parser.add_argument("--sounds", type=Path, help="a folder of sounds for each class")
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.3])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    given.minutes = given.minutes or ([60, 1440] if given.what == "day" else [60])
    if given.what == "find":
        find_in_made(given)
        return
    if given.what == "day":
        for minutes in given.minutes:
            measure_made(minutes, given)
        return
    sounds = _sounds(given)
    with tempfile.TemporaryDirectory() as folder:
        for minutes in given.minutes:
            scene = Path(folder) / f"scene{minutes}.flac"
            known = write_scene(scene, minutes, sounds, given.seed)
            size = scene.stat().st_size >> 20
            print(f"{minutes} minutes at 48 kHz, {len(known)} events of {len(sounds)} classes, {size} MiB", flush=True)
            for name in given.config:
                weights = [] if given.weights is None or name == "tiny" else ["--weights", given.weights]
                measure(["--config", name, *weights], scene, minutes, known, given.threshold)
            scene.unlink()


if __name__ == "__main__":
    main()

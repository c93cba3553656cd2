"""Events of a synthetic recording: how many are found, what that takes, and what memory.

    python -m tests.benchmarks.events [--minutes 60] [--config tiny ...] [--sounds FOLDER] [--threshold 0.2 0.3 0.5]

The recording has known events (tests/support/scenes.py), at 48 kHz; it is made anew from the seed. Without --sounds
they are noise and tones; FOLDER has a folder of sounds for each class, called as it is. Each command runs in a process
of its own, with one worker and one thread, and what it took is its CPU time: other work on the machine does not count.
`extract --timestamps` beside it does the same recording alone, on the same windows: of a second, every half a second.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from hear_edgel3.event_detection import Event
from support.event_scores import event_score, segment_score
from support.scenes import Reference, from_files, synthesised, write_scene

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


def _cost(cost: Cost, minutes: int) -> str:
    return (
        f"{cost.cpu:.1f} s of CPU ({cost.wall:.1f} s), {minutes / 60 / (cost.cpu / 3600):.0f} hours of sound per hour "
        f"of CPU, {cost.peak:.0f} MiB"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, nargs="+", default=[60], help="of the recording; 1440 is a day")
    parser.add_argument("--config", nargs="+", default=["tiny"])
    parser.add_argument("--weights", help="a folder of converted weights")
    parser.add_argument("--sounds", type=Path, help="a folder of sounds for each class")
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.3])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = sounds_of(given.sounds)
    sounds = synthesised() if files is None else from_files(files)
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

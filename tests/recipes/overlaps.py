"""Finds recordings that two folders share, however they were cut, encoded, resampled or made louder.

    python -m tests.recipes.overlaps KNOWN_FOLDER ... --in FOLDER ... [--least 20]

prints, for each file below FOLDER that has a recording of a file below a KNOWN_FOLDER in it, how many pairs of
spectrogram peaks both have at one and the same distance, and both files' names. So the files in `debian_packages.json`
under "recordings_held_out" were found, among all files but music, speech and those of less than 6 kB. By
chance two pieces of music have up to 25 pairs in common; a sound of less than half a second may have too few.

The method is that of A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003.
"""

from __future__ import annotations

import argparse
import collections
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from scipy.ndimage import maximum_filter
from scipy.signal import resample_poly

from . import containers

RATE = 8000
WINDOW, HOP = 512, 128
MOST_SECONDS = 60.0
PEAK_FRAMES, PEAK_BINS = 9, 17  # a peak is the highest value of such a rectangle
AHEAD_FRAMES, AHEAD_BINS, PAIRS = 40, 60, 5  # each peak is paired with the next few that are near
Hash = tuple[int, int, int]


def read(path: Path) -> np.ndarray:
    """(n,) The first minute, mono, at 8 kHz.

    Raises:
        soundfile.SoundFileError: it is no sound.
    """
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        sound = file.read(int(MOST_SECONDS * rate), dtype="float32", always_2d=True).mean(axis=1)
    divisor = math.gcd(rate, RATE)
    return sound if rate == RATE or len(sound) == 0 else resample_poly(sound, RATE // divisor, rate // divisor)


def hashes(sound: np.ndarray) -> Iterator[tuple[Hash, int]]:
    """Pairs of spectrogram peaks: two frequencies and the time between them, and when the first one is."""
    if len(sound) < WINDOW:
        return
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP] * np.hanning(WINDOW)
    heights = np.log(np.abs(np.fft.rfft(frames)) + 1e-5)
    highest = (heights == maximum_filter(heights, size=(PEAK_FRAMES, PEAK_BINS))) & (heights > heights.mean())
    peaks = [(int(frame), int(bin_)) for frame, bin_ in np.argwhere(highest)]
    for i, (frame, bin_) in enumerate(peaks):
        n_pairs = 0
        for later, other in peaks[i + 1 : i + 1 + AHEAD_FRAMES]:
            if 1 <= later - frame <= AHEAD_FRAMES and abs(other - bin_) < AHEAD_BINS:
                yield (bin_, other, later - frame), frame
                n_pairs += 1
                if n_pairs == PAIRS:
                    break


class Known:
    """Recordings to look for.

    Args:
        paths: Files; those that are no sound are left out.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths: list[Path] = []
        self._places: dict[Hash, list[tuple[int, int]]] = collections.defaultdict(list)
        for path in paths:
            try:
                sound = read(path)
            except soundfile.SoundFileError:
                continue
            for key, frame in hashes(sound):
                self._places[key].append((len(self.paths), frame))
            self.paths.append(path)

    def find(self, sound: np.ndarray) -> dict[Path, int]:
        """For each recording that shares pairs of peaks, how many there are at one and the same distance in time."""
        counts: collections.Counter[tuple[int, int]] = collections.Counter()
        for key, frame in hashes(sound):
            for number, other in self._places.get(key, ()):
                counts[number, (frame - other) // 2] += 1  # two hops, since neither begins on a hop of the other
        best: dict[Path, int] = {}
        for (number, _), count in counts.items():
            best[self.paths[number]] = max(best.get(self.paths[number], 0), count)
        return best


def sounds_below(folders: Iterable[Path]) -> list[Path]:
    """Audio files of folders, in order."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in containers.AUDIO and path.is_file()
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("known", nargs="+", type=Path, metavar="KNOWN_FOLDER")
    parser.add_argument("--in", dest="folders", nargs="+", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--least", type=int, default=20, metavar="N", help="pairs of peaks (default: %(default)s)")
    arguments = parser.parse_args()
    for folder in (*arguments.known, *arguments.folders):
        if not folder.is_dir():
            sys.exit(f"error: {folder} is no folder")
    known = Known(sounds_below(arguments.known))
    for path in sounds_below(arguments.folders):
        try:
            found = known.find(read(path))
        except soundfile.SoundFileError:
            continue
        for other, count in sorted(found.items()):
            if count >= arguments.least:
                print(count, path, other, sep="\t", flush=True)


if __name__ == "__main__":
    main()

"""Instruments: single notes of MuseScore's soundfont (Debian's musescore-general-soundfont-small).

Label: what stands before the note in the name of a sample ("Sax-Alto G#6" is "sax alto"), without the loudness (MF,
FF); "celloattack" is a cello and "steel gtr" a steel guitar. Names without a note (percussion, effects, synthetic
waves) are left out, and so are instruments of fewer than nine different notes. Of a stereo pair the left channel is
taken.

Group: instrument and note, so that all loudnesses and takes of a note are in one of the five folds. The probe is still
tested on other notes of the very same instrument in the same room.

Most of these samples are also, bit for bit or mixed down, in the FluidR3 soundfont (Debian's fluid-soundfont-gm): a net
that was trained on that, or on what was rendered with it, has heard them, if not their labels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.benchmarks.quality.clips import Recording
from tests.benchmarks.quality.soundfont import Sample, read_samples

_NAME = re.compile(
    r"(?P<instrument>.*?[^ _-])[ _-]?"
    r"[A-Ga-g][#b]?(v?\d{1,3}|O)"  # the O of "Finger Bass GO" was meant to be a 0; "E27" is a string and a fret
    r"(-?(?P<channel>[LR])|\((?P<channel2>[LR])\))?"
)
_SAME = {"celloattack": "cello", "e's bassoon": "bassoon", "steel gtr": "steel"}
_FEWEST_NOTES = 9


def instrument_of(name: str) -> str | None:
    """The instrument that the name of a sample tells, or None if it is not one of a note, or of a right channel."""
    found = _NAME.fullmatch(name)
    if found is None or "R" in (found["channel"], found["channel2"]):
        return None
    instrument = re.sub(r"[ _-]+", " ", re.sub(r" (MF|FF)$", "", found["instrument"])).lower()
    return _SAME.get(instrument, instrument)


def recordings(package: Path) -> list[Recording]:
    """All recordings.

    Args:
        package: the unpacked Debian package.
    """
    notes: dict[str, list[Sample]] = defaultdict(list)
    for path in sorted(package.glob("usr/share/sounds/sf3/*.sf3")):
        for sample in read_samples(path):
            instrument = instrument_of(sample.name)
            if instrument is not None and sample.channel != "right":
                notes[instrument].append(sample)
    return [
        Recording(sample.name, instrument, f"{instrument} {sample.key}", sample.read)
        for instrument, samples in sorted(notes.items())
        if len({sample.key for sample in samples}) >= _FEWEST_NOTES
        for sample in samples
    ]

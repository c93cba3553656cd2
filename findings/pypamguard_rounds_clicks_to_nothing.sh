#!/usr/bin/env bash
# pypamguard rounds the waveforms of PAMGuard's clicks to four digits behind the point, of which weak clicks have none.
#
# Versions: pypamguard 1.0.1, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: the click detector of PAMGuard stores a click as 8-bit numbers and the float that 127 of them stand for, in parts of full scale,
#   so that weak clicks have as many steps as loud ones. pypamguard multiplies, and rounds to steps of 0.0001, 80 dB below full scale:
#   three steps of a 16-bit recorder, and 839 of a 24-bit one. A click with a peak of 0.001 has a fifth of its values left,
#   one of 0.0001 has 3 and is 1.5 dB too loud, and one below 0.00005 is silence. Neither the README nor a docstring says so, there
#   is no warning, and report has no error. PAMGuard's own reader in MATLAB does not round, nor does pypamguard what the clip generator
#   stores in the same way. Spectra, levels and classifiers of weak clicks see the noise of the rounding, or nothing.
# What helps: nothing within the package, which keeps neither the bytes nor the float.
# Output seen:
#   peak of 0.1: 112 values in the file, 45 dB above the error; pypamguard 112, 44 dB, level off by 0.0 dB
#   peak of 0.01: 112 values in the file, 45 dB above the error; pypamguard 103, 41 dB, level off by 0.0 dB
#   peak of 0.001: 112 values in the file, 45 dB above the error; pypamguard 21, 24 dB, level off by 0.1 dB
#   peak of 0.0003: 112 values in the file, 45 dB above the error; pypamguard 7, 14 dB, level off by 0.1 dB
#   peak of 0.0001: 112 values in the file, 45 dB above the error; pypamguard 3, 5 dB, level off by 1.5 dB
#   peak of 4e-05: 112 values in the file, 45 dB above the error; pypamguard 1, all of them 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pypamguard==1.0.1 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import struct
import sys
import warnings

import numpy as np
from pypamguard import load_pamguard_binary_file
from pypamguard.logger import Verbosity, logger

warnings.simplefilter("error")
logger.set_verbosity(Verbosity.WARNING)
START, RATE = 1_700_000_000_000, 192_000
PEAKS = 0.1, 0.01, 0.001, 0.0003, 0.0001, 0.00004
# Two channels, so that it is seen that samples keep their places.
at = np.arange(256)
SHAPE = np.stack([np.sin(np.pi / 2 * at + phase) * np.exp(-(((at - 128) / 30) ** 2)) for phase in (0, 1)])
SHAPE /= np.abs(SHAPE).max()
FLAGS = 0x04 | 0x08 | 0x10 | 0x20  # Channels, number, first sample and duration are there.


def text(words):
    return struct.pack(">h", len(words)) + words.encode()


def part(kind, body):
    return struct.pack(">ii", len(body) + 8, kind) + body


def click(number, samples):
    """A click of version 4 of the format: the scaled bytes stand last, one channel behind the other."""
    peak = np.float32(np.abs(samples).max())
    steps = np.round(samples / peak * 127).astype(np.int8)
    data = struct.pack(">ihihhf", 3, 0, 0, 0, 0, peak) + steps.tobytes()
    head = struct.pack(">qhiqqi", START + 1000 * number, FLAGS, 3, number, RATE * number, samples.shape[1])
    return part(1000, head + struct.pack(">i", len(data)) + data), steps * (peak / np.float32(127))


made = [click(number, SHAPE * peak) for number, peak in enumerate(PEAKS)]
head = struct.pack(">i", 6) + b"PAMGUARDDATA" + text("2.02.17") + text("CORE") + struct.pack(">qqq", START, START, 0)
head += text("Click Detector") + text("Click Detector") + text("Clicks") + struct.pack(">i", 0)
path = sys.argv[1]
with open(path, "wb") as file:
    file.write(part(-1, head) + part(-3, struct.pack(">ii", 4, 0)) + b"".join(stored for stored, _ in made))

found = load_pamguard_binary_file(path)
assert not found.report.errors and not found.report.warnings and len(found.data) == len(PEAKS)


def above(signal, noise):
    """By how many dB the one is above the other."""
    return 10 * np.log10(np.sum(signal**2) / np.sum(noise**2))


for number, (peak, (_, stored), got) in enumerate(zip(PEAKS, made, found.data, strict=True)):
    assert got.uid == number and got.start_sample == RATE * number and got.wave.shape == SHAPE.shape
    sound, wave = SHAPE * peak, got.wave
    said = f"peak of {peak:g}: {len(np.unique(stored))} values in the file, {above(sound, sound - stored):.0f} dB above the error; "
    said += f"pypamguard {len(np.unique(wave))}, "
    said += f"{above(sound, sound - wave):.0f} dB, level off by {abs(above(wave, stored)):.1f} dB" if wave.any() else "all of them 0"
    print(said)
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work/clicks.pgdf" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

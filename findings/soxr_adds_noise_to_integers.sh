#!/usr/bin/env bash
# soxr makes noise of digital silence, if it is given as 16-bit integers.
#
# Versions: soxr (Python-SoXR) 1.1.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: resample() gives back the type that it is given. To int16 alone it adds dither, random numbers of up to one step in either
#   direction, also where the sound is 0 throughout, and also where the two rates are the same and there is nothing to resample. Neither
#   its docstring nor the package's description says so, and no argument turns it off. Who looks for silence by samples that are 0,
#   compares with what was resampled elsewhere, or takes int16 for the rounded floats, is a step off at a fourth of the samples or
#   so. The noise is the same each time.
# Known: Python-SoXR issues 10 and 11 are about how random the dither is, not about there being some.
# What helps: giving it floats, and rounding what comes back.
# Output seen:
#   silence, 16000 to 8000 Hz: int16 1873 of 8000 are not 0, from -1 to 1; int32 0 of 8000; float32 0 of 8000; float64 0 of 8000
#   a tone, 16000 to 16000 Hz: int16 3961 of 16000 are others; int32 0 of 16000; float32 0 of 16000; float64 0 of 16000
#   a tone, 16000 to 8000 Hz: int16 is the rounded float64 at 71%
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q soxr==1.1.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import numpy as np
import soxr

RATE, LESS = 16000, 8000
TYPES = "int16", "int32", "float32", "float64"
silence = np.zeros(RATE)
tone = np.round(1000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE))

said = []
for name in TYPES:
    found = soxr.resample(silence.astype(name), RATE, LESS)
    assert found.dtype == name
    count = np.count_nonzero(found)
    said.append(f"{name} {count} of {len(found)}" + (f" are not 0, from {found.min()} to {found.max()}" if count else ""))
print(f"silence, {RATE} to {LESS} Hz: {'; '.join(said)}")

said = []
for name in TYPES:
    count = np.count_nonzero(soxr.resample(tone.astype(name), RATE, RATE) != tone.astype(name))
    said.append(f"{name} {count} of {RATE}" + (" are others" if count else ""))
print(f"a tone, {RATE} to {RATE} Hz: {'; '.join(said)}")

found = soxr.resample(tone.astype("int16"), RATE, LESS)
same = np.count_nonzero(found == np.round(soxr.resample(tone, RATE, LESS)))
print(f"a tone, {RATE} to {LESS} Hz: int16 is the rounded float64 at {same / len(found):.0%}")
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

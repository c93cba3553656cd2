#!/usr/bin/env bash
# The times of an ooipy spectrogram are right with an overlap of one half alone; with none, a recording seems half as long.
#
# Versions: ooipy 1.3.0, obspy 1.5.1, xarray 2026.9.0, pandas 3.1.1, numpy 2.4.6, scipy 1.17.1, Python 3.11, Linux x86-64.
# Behaviour: HydrophoneData.compute_spectrogram() of hydrophones of the Ocean Observatories Initiative cuts blocks of L samples. Without
#   avg_time, by its docstring, overlap is ignored; it decides how far apart the blocks are, and they are stamped as if it were 0.5. With
#   an overlap of 0, where each sample counts once, what is in the middle of a recording lies at a quarter; with 0.9 it lies far behind
#   the end. The levels are right, the attribute end_time too, and there is no warning. Who compares with the positions of ships
#   or with another hydrophone, or cuts a call out of the recording, looks elsewhere.
# Known: ooipy's issues 35 and 36 (2020) made overlap count; issue 110 (2022, closed) was about times where avg_time is None.
# What helps: times made of the steps, int(L * (1 - overlap)) samples, which is 39 of 400 at 0.9; or avg_time, with which they are right.
# Output seen:
#   600 s, a tone from 300 to 306 s
#   overlap 0.5, blocks of 2 s: 599 blocks, the last at 598 s, the tone from 299 to 305 s
#   overlap 0, blocks of 2 s: 300 blocks, the last at 299 s, the tone from 150 to 152 s
#   overlap 0.25, blocks of 2 s: 399 blocks, the last at 398 s, the tone from 200 to 203 s
#   overlap 0.75, blocks of 2 s: 1197 blocks, the last at 1196 s, the tone from 598 to 610 s
#   overlap 0.9, blocks of 2 s: 2991 blocks, the last at 2990 s, the tone from 1531 to 1566 s
#   overlap 0, means of 10 s: 60 blocks, the last at 590 s, the tone from 300 to 300 s
#   overlap 0.9, means of 10 s: 60 blocks, the last at 590 s, the tone from 300 to 300 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q ooipy==1.3.0 obspy==1.5.1 xarray==2026.9.0 pandas==3.1.1 numpy==2.4.6 scipy==1.17.1
cat >"$work/try.py" <<'PYTHON'
import warnings

import numpy as np
from ooipy.hydrophone.basic import HydrophoneData

warnings.simplefilter("error")
# The low-frequency hydrophone of Axial Base, whose calibration comes with the package.
RATE, LONG, BEGIN, END, PITCH, BLOCK = 200, 600, 300, 306, 20, 400
START = np.datetime64("2024-05-01T00:00:00")
times = np.arange(LONG * RATE) / RATE
sound = np.random.default_rng(0).standard_normal(len(times))
sound += 1000 * np.sin(2 * np.pi * PITCH * times) * ((times >= BEGIN) & (times < END))
recording = HydrophoneData(sound, {"sampling_rate": RATE, "channel": "HDH", "starttime": str(START)}, node="Axial_Base")
print(f"{LONG} s, a tone from {BEGIN} to {END} s")


def say(overlap, mean=None):
    found = recording.compute_spectrogram(L=BLOCK, overlap=overlap, avg_time=mean, average_type="mean")
    assert found.attrs["end_time"] == recording.stats.endtime.datetime
    seconds = (found.time.values - START) / np.timedelta64(1, "s")
    levels = found.sel(frequency=PITCH).values
    loud = seconds[levels > levels.max() - 20]
    kind = f"means of {mean} s" if mean else f"blocks of {BLOCK // RATE} s"
    print(
        f"overlap {overlap}, {kind}: {len(seconds)} blocks, the last at {seconds[-1]:.0f} s,"
        f" the tone from {loud[0]:.0f} to {loud[-1]:.0f} s"
    )


for overlap in 0.5, 0, 0.25, 0.75, 0.9:
    say(overlap)
for overlap in 0, 0.9:
    say(overlap, 10)
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

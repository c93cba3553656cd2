#!/usr/bin/env bash
# The equivalent level that acoustic-toolbox computes of short levels is above the highest of them.
#
# Versions: acoustic-toolbox 0.2.2 (the successor of python-acoustics, whose 0.2.6 has the same lines), numpy 2.4.6, scipy 1.17.1,
#   Python 3.11, Linux x86-64.
# Behaviour: acoustic_toolbox.descriptors.leq(levels, int_time) takes levels of int_time seconds each, as sound level meters and noise
#   monitors write them, and gives the one level that a steady sound of the same energy has, their mean in energy. It divides the sum
#   by the duration of all, and forgets that each lasts int_time: of steps of 125 ms the result is 9 dB too high, of 10 s it is 10 dB too
#   low, of hours 36. Only with 1 s, the default, it is right. sel() takes every level for one of 1 s, and has no argument.
#   There is no warning. The docstring calls int_time the integration time in seconds and says no more, and python-acoustics'
#   test of it expects 88.8 dB of six levels of at most 80.6.
# What helps: leaving int_time out, whatever the levels last; and adding 10 log10(int_time) to what sel() gives.
# Output seen:
#   a minute at once: 67.4 dB, its exposure 85.2 dB
#   in 480 steps of 0.125 s, the highest of 70.0 dB: leq() 76.4 dB, without int_time 67.4 dB, sel() 94.2 dB
#   in 240 steps of 0.25 s, the highest of 70.0 dB: leq() 73.4 dB, without int_time 67.4 dB, sel() 91.2 dB
#   in 60 steps of 1.0 s, the highest of 70.0 dB: leq() 67.4 dB, without int_time 67.4 dB, sel() 85.2 dB
#   in 6 steps of 10.0 s, the highest of 70.0 dB: leq() 57.4 dB, without int_time 67.4 dB, sel() 75.2 dB
#   24 hours of 60.0 dB: leq() 24.4 dB, without int_time 60.0 dB
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q acoustic-toolbox==0.2.2 numpy==2.4.6 scipy==1.17.1
cat >"$work/try.py" <<'PYTHON'
import numpy as np
from acoustic_toolbox import Signal
from acoustic_toolbox.descriptors import leq, sel

RATE = 1000
times = np.arange(60 * RATE) / RATE
# A minute of which one half is 60 dB and the other 70 dB.
minute = Signal(0.02 * np.sqrt(2) * np.sin(2 * np.pi * 100 * times) * np.where(times < 30, 1, np.sqrt(10)), RATE)
print(f"a minute at once: {float(minute.leq()):.1f} dB, its exposure {float(minute.sound_exposure_level()):.1f} dB")
for step in 0.125, 0.25, 1.0, 10.0:
    levels = np.asarray(minute.leq_levels(step)[1])
    print(
        f"in {levels.size} steps of {step} s, the highest of {levels.max():.1f} dB: leq() {leq(levels, step):.1f} dB,"
        f" without int_time {leq(levels):.1f} dB, sel() {sel(levels):.1f} dB"
    )
hours = np.full(24, 60.0)
print(f"24 hours of 60.0 dB: leq() {leq(hours, 3600):.1f} dB, without int_time {leq(hours):.1f} dB")
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# In acoustic-toolbox's third octaves a tone is in another band when the recording is longer, and after an hour in none.
#
# Versions: acoustic-toolbox 0.2.2 (the successor of python-acoustics, whose 0.2.6 has the same lines), numpy 2.4.6, scipy 1.17.1,
#   Python 3.11, Linux x86-64.
# Behaviour: the functions third_octaves(), octaves() and fractional_octaves() of acoustic_toolbox.signal take the DFT of the whole
#   recording, and add up what lies in each band. The step between two frequencies is one by the recording's length in seconds; it is
#   rounded to three digits behind the point, and all frequencies are computed anew as multiples of what remains. After 10 s or 100 s
#   nothing is lost. A minute has steps of 0.01667 Hz, taken for 0.017: all sounds lie 2% too high. Ten minutes have 20% (a third octave
#   is 26%), half an hour 80%, and of an hour the step is 0: there all bands are empty. Levels are those of wrong bands, though plausible
#   ones; only the hour has a warning, from numpy, about a logarithm. Signal.third_octaves(), which filters, gives the right bands.
# What helps: the method of Signal instead of the function, or parts of a recording that are 1, 10 or 100 s long.
# Output seen:
#   100 Hz for 10 s: in 100 Hz, 60.0 dB; by filters in 100 Hz, 60.0 dB
#   100 Hz for 60 s: in 100 Hz, 60.0 dB; by filters in 100 Hz, 60.0 dB
#   111 Hz for 10 s: in 100 Hz, 60.0 dB; by filters in 100 Hz, 58.4 dB
#   111 Hz for 60 s: in 125 Hz, 60.0 dB; by filters in 100 Hz, 58.4 dB
#   100 Hz for 600 s: in 125 Hz, 60.0 dB; by filters in 100 Hz, 60.0 dB
#   100 Hz for 1800 s: in 200 Hz, 60.0 dB; by filters in 100 Hz, 60.0 dB
#   100 Hz for 3600 s: in none; by filters in 100 Hz, 60.0 dB; warned
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q acoustic-toolbox==0.2.2 numpy==2.4.6 scipy==1.17.1
cat >"$work/try.py" <<'PYTHON'
import warnings

import numpy as np
from acoustic_toolbox import Signal
from acoustic_toolbox.signal import fractional_octaves, octaves, third_octaves

RATE = 1000
BANDS = np.array([50.0, 63.0, 80.0, 100.0, 125.0, 160.0, 200.0])
SILENT = -100.0


def loudest(levels):
    """The band of the tone, or none where all of them are silent."""
    at = int(np.argmax(levels))
    return f"{BANDS[at]:.0f} Hz, {levels[at]:.1f} dB" if levels[at] > SILENT else "none"


for tone, seconds in (100, 10), (100, 60), (111, 10), (111, 60), (100, 600), (100, 1800), (100, 3600):
    times = np.arange(seconds * RATE) / RATE
    # 60 dB above 20 micropascals.
    hum = 0.02 * np.sqrt(2) * np.sin(2 * np.pi * tone * times)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        _, levels = third_octaves(hum, RATE, frequencies=BANDS)
        # The other two functions move it as far.
        whole, coarse = octaves(hum, RATE, frequencies=np.array([63.0, 125.0, 250.0]))
        narrow, fine = fractional_octaves(hum, RATE, start=50.0, stop=250.0, fraction=6)
    _, filtered = Signal(hum, RATE).third_octaves(frequencies=BANDS)
    moved = tone * round(1 / seconds, 3) * seconds
    for bands, found in (whole, coarse), (narrow, fine):
        inside = [low < moved < high for low, high in zip(bands.lower, bands.upper, strict=True)]
        assert ((found > 50) == inside).all()
    said = "; warned" if seen else ""
    print(f"{tone} Hz for {seconds} s: in {loudest(levels)}; by filters in {loudest(filtered.leq())}{said}")
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

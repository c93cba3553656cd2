#!/usr/bin/env bash
# spafe squeezes the whole spectrum into the range of frequencies that it is asked for.
#
# Versions: spafe 0.3.3, numpy 2.4.6, scipy 1.17.1, Python 3.11, Linux x86-64.
# Behaviour: low_freq and high_freq of spafe's mel_filter_banks() and linear_filter_banks(), and of the features made with them
#   (mel_spectrogram(), mfcc(), linear_spectrogram(), lfcc()), are described as the edges of the lowest and the highest band. The bands
#   are laid between them, but the bins of the DFT, which reach from 0 to half the sample rate, are taken to reach from low_freq to
#   high_freq too. So nothing is left out: a tone far outside the range is in a band, and one inside in that of another frequency.
#   With linear bands the two arguments change nothing but the centres that are given back: lfcc() is the same for any range.
#   There is no warning, and with the defaults (all the spectrum) everything is right. Who looks at 2 to 8 kHz, against wind and
#   traffic, has both in the features.
# What helps: giving it bands made elsewhere (fbanks); or the defaults, and leaving out bands afterwards.
# Output seen:
#   mel bands from 0 to 16000 Hz, each tone in the band of: 100 in 110, 3000 in 2979, 6000 in 5907, 12000 in 11761 Hz
#   mel bands from 0 to 8000 Hz, each tone in the band of: 100 in 56, 3000 in 1540, 6000 in 3008, 12000 in 5932 Hz
#   mel bands from 2000 to 8000 Hz, each tone in the band of: 100 in 2049, 3000 in 3101, 6000 in 4279, 12000 in 6437 Hz
#   linear bands from 0 to 8000 Hz: centres from 123 to 7877 Hz, the weights are those of 0 to 16000 Hz, lfcc() too
#   linear bands from 2000 to 8000 Hz: centres from 2092 to 7908 Hz, the weights are those of 0 to 16000 Hz, lfcc() too
#   linear bands from 100 to 200 Hz: centres from 102 to 198 Hz, the weights are those of 0 to 16000 Hz, lfcc() too
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q spafe==0.3.3 numpy==2.4.6 scipy==1.17.1
cat >"$work/try.py" <<'PYTHON'
import numpy as np
from spafe.fbanks.linear_fbanks import linear_filter_banks
from spafe.fbanks.mel_fbanks import mel_filter_banks
from spafe.features.lfcc import lfcc
from spafe.features.mfcc import mel_spectrogram
from spafe.utils.converters import mel2hz

RATE = 32000
BANDS = {"nfilts": 64, "nfft": 1024}
times = np.arange(RATE) / RATE


def tone(hertz):
    return np.sin(2 * np.pi * hertz * times)


for low, high in (0, 16000), (0, 8000), (2000, 8000):
    _, centres = mel_filter_banks(fs=RATE, low_freq=low, high_freq=high, **BANDS)
    found = []
    for hertz in 100, 3000, 6000, 12000:
        power, _ = mel_spectrogram(tone(hertz), fs=RATE, low_freq=low, high_freq=high, **BANDS)
        found.append(f"{hertz} in {mel2hz(centres[power.mean(axis=0).argmax()]):.0f}")
    print(f"mel bands from {low} to {high} Hz, each tone in the band of: {', '.join(found)} Hz")
noise = np.random.default_rng(0).normal(size=RATE)
whole, _ = linear_filter_banks(fs=RATE, **BANDS)
for low, high in (0, 8000), (2000, 8000), (100, 200):
    part, centres = linear_filter_banks(fs=RATE, low_freq=low, high_freq=high, **BANDS)
    same = np.allclose(part, whole, rtol=0, atol=1e-9)
    coefficients = [lfcc(noise, fs=RATE, low_freq=below, high_freq=above, **BANDS) for below, above in ((0, 16000), (low, high))]
    equal = np.allclose(*coefficients, rtol=0, atol=1e-6)
    print(
        f"linear bands from {low} to {high} Hz: centres from {centres[0]:.0f} to {centres[-1]:.0f} Hz,"
        f" the weights {'are those' if same else 'are not those'} of 0 to 16000 Hz, lfcc() {'too' if equal else 'not'}"
    )
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

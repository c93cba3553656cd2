#!/usr/bin/env bash
# pypam puts the level of each octave and third octave into the band an octave higher.
#
# Versions: lifewatch-pypam 1.0.0 (0.4.0 and 0.1.7 have the same lines), pyhydrophone 0.4.0, numpy 1.26.4, scipy 1.13.1, Python 3.11,
#   Linux x86-64.
# Behaviour: octaves_levels() and third_octaves_levels() of a recording (AcuFile), and octave_levels() and third_octave_levels() of a
#   Signal, halve the sample rate again and again for low bands. The filter of a band is designed for the rate after d - 1 halvings, d
#   being at least 1, and is run on the samples after d of them. At half its rate a filter passes half its frequency, so that the
#   band called 2 kHz holds what sounds at 1 kHz, and what lies above a quarter of the sample rate is in no band. The levels
#   are calibrated and right but for their place. There is no warning, and rms() and psd() of the same file are right. The European
#   Union's criterion for continuous noise in the sea (decision 2017/848, D11C2) is the level of the third octaves of 63 and 125 Hz:
#   what pypam calls so are those of 31.5 and 63 Hz.
# What helps: halving the frequencies that come with the levels; or psd(), added up between the edges of each band.
# Output seen:
#   63 Hz, 140.0 dB: psd() in 63 Hz; third octaves in 125 Hz, 139.8 dB, in its own 105.8 dB; octaves in 125 Hz, 139.8 dB, in its own 124.7 dB
#   125 Hz, 140.0 dB: psd() in 125 Hz; third octaves in 250 Hz, 139.9 dB, in its own 105.9 dB; octaves in 250 Hz, 139.9 dB, in its own 124.9 dB
#   1000 Hz, 140.0 dB: psd() in 1000 Hz; third octaves in 2000 Hz, 139.9 dB, in its own 105.6 dB; octaves in 2000 Hz, 139.9 dB, in its own 124.8 dB
#   8000 Hz, 140.0 dB: psd() in 8000 Hz; third octaves in 16000 Hz, 140.0 dB, in its own 98.8 dB; octaves in 16000 Hz, 139.9 dB, in its own 119.0 dB
#   16000 Hz, 140.0 dB: psd() in 16000 Hz; third octaves in 20159 Hz, 69.7 dB, in its own 49.6 dB; octaves in 16000 Hz, 69.5 dB, in its own 69.5 dB
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q lifewatch-pypam==1.0.0 pyhydrophone==0.4.0 numpy==1.26.4 scipy==1.13.1
cat >"$work/try.py" <<'PYTHON'
import sys
import warnings
from pathlib import Path

# What pypam's dependencies say of each other is another matter.
warnings.simplefilter("ignore")
import numpy as np
import pyhydrophone
import soundfile
from pypam.acoustic_file import AcuFile

RATE, LONG = 48000, 10
file = Path(sys.argv[1]) / "67412345.220101000000.wav"  # Named as a SoundTrap does, with a number made up.
# Full scale is 1 V, thus 180 dB re 1 uPa.
hydrophone = pyhydrophone.SoundTrap(name="SoundTrap", model="ST300", serial_number=67412345, sensitivity=-180)
times = np.arange(RATE * LONG) / RATE


def levels(found):
    (name,) = found.data_vars if len(found.data_vars) == 1 else ("band_density",)
    values = found[name].isel(id=0)
    return values.frequency.values, values.values


for hertz in 63, 125, 1000, 8000, 16000:
    soundfile.write(file, 0.01 * np.sqrt(2) * np.sin(2 * np.pi * hertz * times), RATE, subtype="FLOAT")
    sound = AcuFile(file, hydrophone, p_ref=1.0)
    whole = float(sound.rms(binsize=LONG).rms[0])
    where, density = levels(sound.psd(binsize=LONG, nfft=RATE))
    said = f"{hertz} Hz, {whole:.1f} dB: psd() in {where[density.argmax()]:.0f} Hz"
    for words, method in ("third octaves", sound.third_octaves_levels), ("octaves", sound.octaves_levels):
        bands, found = levels(method(binsize=LONG))
        own = found[np.abs(np.log2(bands / hertz)).argmin()]
        best = found.argmax()
        said += f"; {words} in {bands[best]:.0f} Hz, {found[best]:.1f} dB, in its own {own:.1f} dB"
    print(said)
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

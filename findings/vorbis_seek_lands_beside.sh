#!/usr/bin/env bash
# In the last seconds of an Ogg Vorbis file, soundfile reads other samples after a seek than it says it does.
#
# Versions: soundfile 0.14.0 with libsndfile 1.2.2 (from its wheel), numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: after seek(n) in the last part of the file, tell() is n, and what read() gives are samples that reading from the
#   beginning has 48 places further on. Everywhere before, the samples after a seek are those of the same place, bit for bit. The
#   file is sound, and was written by the same library. Who cuts clips out of Vorbis recordings by seeking gets clips whose times
#   are off, though only near the end, so that trying it in the middle of a file shows nothing.
# What helps: reading from the beginning up to the place, or decoding files of this kind whole.
# Output seen:
#   877 of 880 places are exact, 3 are not: each of them begins 874369 samples or later in 882000, and is off by 48 samples
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q soundfile==0.14.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import io
import sys

import numpy as np
import soundfile

RATE, READ, TAIL = 44100, 3000, 500
noise = (0.3 * np.random.default_rng(0).standard_normal(RATE * 20)).astype(np.float32)
file = io.BytesIO()
soundfile.write(file, noise, RATE, format="OGG", subtype="VORBIS")
file.seek(0)
sound = soundfile.SoundFile(file)
whole = sound.read(dtype="float32")
exact, shifts, places = 0, set(), []
for place in range(0, len(whole) - 5000, 997):
    sound.seek(place)
    assert sound.tell() == place
    found = sound.read(READ, dtype="float32")
    if np.array_equal(found, whole[place : place + READ]):
        exact += 1
        continue
    places.append(place)
    usual = place + READ - TAIL
    shifts |= {k for k in range(1, 2000) if np.array_equal(whole[usual + k : usual + k + TAIL], found[-TAIL:])}
print(
    f"{exact} of {exact + len(places)} places are exact, {len(places)} are not: each of them begins {min(places)} samples or "
    f"later in {len(whole)}, and is off by {', '.join(map(str, shifts))} samples"
)
sys.exit(not (places and len(shifts) == 1 and min(places) > 0.9 * len(whole)))
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n 's/^#   \([0-9]* of .*\)/\1/p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# A lossless file that pedalboard reads and writes again has all its negative samples one step lower, each time anew.
#
# Versions: pedalboard 0.9.26, soundfile 0.14.0 with libsndfile 1.2.2, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: AudioFile.read() divides 16-bit samples by 32767, so that the lowest one is beyond -1, and write() takes floats times the
#   greatest integer of 32 bits and cuts off the lower half of that, which rounds downwards. A sample below 0 comes to lie a little
#   below its step and loses one, a sample above 0 a little above, and stays: half of a recording changes, and each further pass takes
#   another step. WAV is as FLAC, and 24 bits are as 16. Of floats by readers that divide by 32768 it is the samples above half of
#   full scale that lose a step. Who stores trimmed or augmented copies finds no equal samples, and an offset that grows.
# What helps: read_raw() and integers for write(), which change nothing; or writing pedalboard's output, times 32767 / 32768, with soundfile.
# Output seen:
#   FLAC, 16 bits, read() and write(): 32767 of 65536 changed after 1 pass, by -1; after 5 by -5 at most
#   WAV, 16 bits, read() and write(): 32767 of 65536 changed after 1 pass, by -1; after 5 by -5 at most
#   FLAC, 24 bits, read() and write(): 32726 of 65536 changed after 1 pass, by -1; after 5 by -5 at most
#   FLAC, 16 bits, read_raw() and write(): 0 of 65536 changed after 1 pass
#   FLAC, 16 bits, read() times 32767 / 32768, written by soundfile: 0 of 65536 changed after 1 pass
#   FLAC, 16 bits, read by soundfile and write(): 16383 of 65536 changed after 1 pass, by -1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pedalboard==0.9.26 soundfile==0.14.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import io

import numpy as np
import soundfile
from pedalboard.io import AudioFile

RATE = 44100


def stored(samples, kind, bits):
    file = io.BytesIO()
    soundfile.write(file, samples << (32 - bits), RATE, format=kind, subtype=f"PCM_{bits}")
    return file.getvalue()


def samples_of(file, bits):
    return soundfile.read(io.BytesIO(file), dtype="int32")[0] >> (32 - bits)


def read(file, kind, bits):
    with AudioFile(io.BytesIO(file)) as opened:
        return opened.read(opened.frames)[0]


def read_raw(file, kind, bits):
    with AudioFile(io.BytesIO(file)) as opened:
        return opened.read_raw(opened.frames)[0]


def read_by_soundfile(file, kind, bits):
    return soundfile.read(io.BytesIO(file), dtype="float32")[0]


def write(found, kind, bits):
    file = io.BytesIO()
    file.name = f"copy.{kind.lower()}"
    with AudioFile(file, "w", RATE, 1, bit_depth=bits) as opened:
        opened.write(found)
    return file.getvalue()


def write_by_soundfile(found, kind, bits):
    file = io.BytesIO()
    soundfile.write(file, found * (32767 / 32768), RATE, format=kind, subtype=f"PCM_{bits}")
    return file.getvalue()


def say(words, kind, bits, reads=read, writes=write, passes=5):
    if bits == 16:
        samples = np.arange(-(1 << 15), 1 << 15, dtype=np.int32)
    else:
        samples = np.random.default_rng(0).integers(-(1 << 23), 1 << 23, 1 << 16, dtype=np.int32)
    file, said = stored(samples, kind, bits), ""
    for number in range(passes):
        file = writes(reads(file, kind, bits), kind, bits)
        moved = samples_of(file, bits) - samples
        if number == 0:
            by = sorted(set(moved[moved != 0].tolist()))
            said = f"{np.count_nonzero(moved)} of {len(moved)} changed after 1 pass" + (f", by {', '.join(map(str, by))}" if by else "")
    print(f"{kind}, {bits} bits, {words}: {said}" + (f"; after {passes} by {moved.min()} at most" if passes > 1 else ""))


say("read() and write()", "FLAC", 16)
say("read() and write()", "WAV", 16)
say("read() and write()", "FLAC", 24)
say("read_raw() and write()", "FLAC", 16, reads=read_raw, passes=1)
say("read() times 32767 / 32768, written by soundfile", "FLAC", 16, writes=write_by_soundfile, passes=1)
say("read by soundfile and write()", "FLAC", 16, reads=read_by_soundfile, passes=1)
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

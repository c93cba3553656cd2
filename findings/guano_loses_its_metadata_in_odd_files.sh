#!/usr/bin/env bash
# guano writes the metadata of a recording with an odd number of bytes where it does not find them again.
#
# Versions: guano 1.0.16 (the reference implementation of GUANO, the metadata of bat recordings), Python 3.11, Linux x86-64.
# Behaviour: in a WAV file each chunk begins at an even place, and after one of odd length stands a byte that is not counted. guano
#   reads that so, but write() puts its chunk `guan` right behind the samples, without that byte. If these are an odd number of bytes
#   (8 or 24 bits, one channel, an odd number of samples), all readers that keep the rule look a byte too late, guano among
#   them: the species that was just entered is gone, and so are the time, the place and whatever the recorder had written.
#   write() reads what it has written for a check and finds nothing wrong, also with strict=True. The copy that it keeps in the folder
#   GUANO_BACKUP is replaced by the spoilt file when the next write() comes. With 16 bits it cannot happen.
# What helps: writing an even number of samples; or putting a 0 before the chunk and counting it in the size of the RIFF chunk.
# Output seen:
#   16 bits, 1000 samples: 4 entries, after write() 5, in the backup after another write() 5
#   16 bits, 1001 samples: 4 entries, after write() 5, in the backup after another write() 5
#   24 bits, 1000 samples: 4 entries, after write() 5, in the backup after another write() 5
#   24 bits, 1001 samples: 4 entries, after write() 0, in the backup after another write() 0
#   8 bits, 1001 samples: 4 entries, after write() 0, in the backup after another write() 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q guano==1.0.16
cat >"$work/try.py" <<'PYTHON'
import struct
import sys
from pathlib import Path

from guano import GuanoFile

RATE = 256000
WRITTEN = b"GUANO|Version: 1.0\nTimestamp: 2023-05-01T21:30:00+02:00\nMake: Somebody\nLoc Position: 47.1 8.3\n"


def chunk(name, what):
    return name + struct.pack("<I", len(what)) + what + bytes(len(what) % 2)


def recording(bits, samples):
    """What a recorder writes: the samples, then the metadata, each chunk at an even place."""
    width = bits // 8
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * width, width, bits)
    return chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", b"\x80" * (samples * width)) + chunk(b"guan", WRITTEN))


def entries(path):
    return len(list(GuanoFile(str(path)).items()))


for bits, samples in (16, 1000), (16, 1001), (24, 1000), (24, 1001), (8, 1001):
    path = Path(sys.argv[1]) / f"{bits}_{samples}.wav"
    path.write_bytes(recording(bits, samples))
    before = entries(path)
    bat = GuanoFile(str(path), strict=True)
    bat["Species Manual ID"] = "Myolus"
    bat.write()
    after = entries(path)
    # The bytes are there, though not where a reader looks.
    assert path.read_bytes().count(b"Myolus") == 1
    bat = GuanoFile(str(path), strict=True)
    bat["Note"] = "checked"
    bat.write()
    kept = entries(path.parent / "GUANO_BACKUP" / path.name)
    print(f"{bits} bits, {samples} samples: {before} entries, after write() {after}, in the backup after another write() {kept}")
PYTHON
mkdir "$work/night"
"$work/venv/bin/python" "$work/try.py" "$work/night" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

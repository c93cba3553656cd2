#!/usr/bin/env bash
# ecosound puts the calls of a Raven table at wrong times, if Raven had several files open as one sound.
#
# Versions: ecosound 0.0.32, pandas 3.1.1, numpy 2.4.6, xarray 2026.9.0, Python 3.11, Linux x86-64.
# Behaviour: Raven opens the files of a recorder as one sound, one behind the other. Begin Time (s) in its selection table is then counted
#   from the beginning of the first file, Begin Path is the file in which a selection begins, and File Offset (s) the time in that file;
#   the combined table of BirdNET-Analyzer (2.4.0) is written so, too. ecosound's Annotation.from_raven() adds Begin Time to the time in
#   the name of Begin Path, and takes it for the offset in that file, so that the length of all files before counts twice. Calls in the
#   first file are right, and so is a table of a single file; those in a day's last files come to lie in the next day, and who cuts
#   out snippets at these offsets looks behind the ends of the files. There is no warning, though File Offset is in the table.
#   to_raven() writes one number for both.
# Known: birdnet-live-app issue 229 is about the other direction, tables whose Begin Time began anew in each file.
# What helps: File Offset copied to Begin Time, and End Time moved as far, before a table is read; or a table for each file.
# Output seen:
#   each file opened alone: 6 calls
#     seconds in their files: 100 100 100 100 100 100
#     at: 00:01:40 00:11:40 00:21:40 00:31:40 00:41:40 00:51:40
#   all files opened as one sound: 6 calls
#     seconds in their files: 100 700 1300 1900 2500 3100
#     at: 00:01:40 00:21:40 00:41:40 01:01:40 01:21:40 01:41:40
#   right: 00:01:40 00:11:40 00:21:40 00:31:40 00:41:40 00:51:40
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# Of what ecosound needs, that which its module of annotations imports; the whole is 1.7 GB.
"$work/venv/bin/pip" install -q pandas==3.1.1 numpy==2.4.6 xarray==2026.9.0 numba==0.68.1 dask==2026.8.0 dask-image==2026.5.0 scipy==1.17.1 \
    matplotlib==3.11.2 soundfile==0.14.0 PyYAML==6.0.4 tqdm==4.70.1 duckdb==2.0.1 folium==0.20.0 geopandas==1.2.0 setuptools==65.5.0
"$work/venv/bin/pip" install -q --no-deps ecosound==0.0.32
cat >"$work/try.py" <<'PYTHON'
import sys
from pathlib import Path

import pandas as pd
from ecosound.core.annotation import Annotation

LONG, CALL = 600, 100.0
folder = Path(sys.argv[1])
STARTS = [pd.Timestamp("2024-05-01") + pd.Timedelta(seconds=LONG * number) for number in range(6)]


def tables(single):
    """Raven's tables of a call 100 s after the beginning of each file, which are opened one by one or as one sound."""
    columns = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")
    columns += ("Begin Path", "File Offset (s)", "Sound type")
    rows = []
    for number, start in enumerate(STARTS):
        begin = CALL + (number * LONG if single else 0)
        path = f"/data/UNIT_{start:%Y%m%d_%H%M%S}.wav"
        rows.append((number + 1 if single else 1, "Spectrogram 1", 1, begin, begin + 3, 2000.0, 4000.0, path, CALL, "wren"))
    parts = [rows] if single else [[row] for row in rows]
    files = []
    for number, part in enumerate(parts):
        files.append(str(folder / f"{number}.selections.txt"))
        pd.DataFrame(part, columns=columns).to_csv(files[-1], sep="\t", index=False)
    return files


for words, single in ("each file opened alone", False), ("all files opened as one sound", True):
    calls = Annotation()
    calls.from_raven(tables(single))
    found = calls.data
    print(f"{words}: {len(found)} calls")
    print("  seconds in their files:", *(f"{seconds:.0f}" for seconds in found["time_min_offset"]))
    print("  at:", *(f"{time:%H:%M:%S}" for time in found["time_min_date"]))
print("right:", *(f"{start + pd.Timedelta(seconds=CALL):%H:%M:%S}" for start in STARTS))
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

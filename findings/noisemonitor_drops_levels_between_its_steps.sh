#!/usr/bin/env bash
# noisemonitor drops all levels that a sound level monitor wrote after its clock moved by a second.
#
# Versions: noisemonitor 1.0.4, pandas 3.1.1, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: load() reads tables of sound level meters, one or several, and puts their levels on even steps, so that gaps are seen. The
#   step is the time from the second row to the third, in whole seconds, and each place gets the row of exactly that time, or NaN. Rows
#   between two places are dropped, though nothing is missing: all that a monitor writes after it was started again on another second
#   (new batteries, the next file), and all after its clock was set, or after it took 61 s for a minute once; where that is the third
#   row, one row in 60 is left. Equivalent levels pass over NaN, and become those of the rest. There is no warning, and the
#   table has as many rows as one expects.
# What helps: times rounded to the step before they are loaded; the number of levels that are not NaN; or the argument coverage_check=True
#   of the indicators, which warns where less than half is left.
# Output seen:
#   two days, begun at 00:00:00 and 00:00:00: 2880 rows, 67.0 dB; loaded 2880, 67.0 dB
#   two days, begun at 00:00:00 and 00:00:30: 2880 rows, 67.0 dB; loaded 1440, 50.0 dB
#   a day, a second late from 06:40 on: 1440 rows, 68.6 dB; loaded 400, 50.0 dB
#   a day, a second late from 00:02 on: 1440 rows, 68.6 dB; loaded 25, 68.3 dB
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q noisemonitor==1.0.4 pandas==3.1.1 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import sys
import warnings
from pathlib import Path

import noisemonitor as nm
import numpy as np
import pandas as pd

warnings.simplefilter("error")
DAY = 24 * 60
folder = Path(sys.argv[1])


def table(name, begin, levels, late=DAY):
    """A level for each minute of a day, as a monitor writes them; its clock is a second behind from one row on."""
    seconds = 60 * np.arange(DAY) + (np.arange(DAY) >= late)
    times = pd.Timestamp(begin) + pd.to_timedelta(seconds, unit="s")
    pd.DataFrame({"Time": times.strftime("%Y-%m-%d %H:%M:%S"), "LAeq": levels}).to_csv(folder / name, index=False)
    return str(folder / name)


def say(words, paths):
    rows = pd.concat([pd.read_csv(path) for path in paths])
    right = 10 * np.log10(np.mean(10 ** (rows["LAeq"] / 10)))
    found = nm.load(paths, datetimeindex=0, valueindexes=1, use_chunks=False)
    leq = nm.summary.leq(found, 0, 24, stats=False)["Leq"].iloc[0]
    print(f"{words}: {len(rows)} rows, {right:.1f} dB; loaded {found['LAeq'].notna().sum()}, {leq:.1f} dB")


first = table("first.csv", "2024-05-01 00:00:00", 50.0)
say("two days, begun at 00:00:00 and 00:00:00", [first, table("second.csv", "2024-05-02 00:00:00", 70.0)])
say("two days, begun at 00:00:00 and 00:00:30", [first, table("second.csv", "2024-05-02 00:00:30", 70.0)])
levels = np.where(np.arange(DAY) < 400, 50.0, 70.0)
say("a day, a second late from 06:40 on", [table("late.csv", "2024-05-01 00:00:00", levels, late=400)])
say("a day, a second late from 00:02 on", [table("late.csv", "2024-05-01 00:00:00", levels, late=2)])
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

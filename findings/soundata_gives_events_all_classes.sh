#!/usr/bin/env bash
# soundata gives each event of the few-shot bioacoustic data set the names of all classes, and counts those that are not sure as positive.
#
# Versions: soundata 1.0.1, jams 0.3.5, librosa 0.11.0, numpy 2.4.6, pandas 3.1.1, Python 3.11, Linux x86-64.
# Behaviour: the tables of DCASE's task 5 have a row for each event and a column for each class, with POS, NEG or UNK (not sure) in it. A
#   clip of soundata's `dcase_bioacoustic` has them as `events`, in whose labels stand the names of the columns, whatever is in the
#   cells: in the training set each call is one of every species, in the validation set an UNK is as a POS. The description of the
#   attribute says "list for all classes". to_jams() writes the same, so that the cells are in no JAMS file.
#   `POSevents`, by its description those of the positive class, has the right names, but all rows: one that is POS of nothing is an event
#   with an empty label, and the intervals are those of `events`. There is no warning. Who cuts positive examples at these intervals trains
#   and is scored on what the annotators would not call positive, and the five shots are not the first five that are.
# What helps: of POSevents, only the events whose label is not empty.
# Output seen:
#   training: 60 rows, POS 16 16 16, UNK 12
#     events: 60, with the label of the classes 60 60 60
#     POSevents: 60, with the label of the classes 16 16 16, empty 12
#     JAMS: 60, with the label of the classes 60 60 60
#   validation: 60 rows, POS 48, UNK 12; of the first 5 POS rows the last begins at 50.0 s
#     events: 60, with the label of the classes 60
#     POSevents: 60, with the label of the classes 48, empty 12; the fifth begins at 40.0 s
#     JAMS: 60, with the label of the classes 60
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q soundata==1.0.1 jams==0.3.5 librosa==0.11.0 numpy==2.4.6 pandas==3.1.1
cat >"$work/try.py" <<'PYTHON'
import csv
import sys
import warnings
from pathlib import Path

import numpy as np
import soundfile
from soundata.datasets.dcase_bioacoustic import Clip

# What jams and its schemas say is another matter.
warnings.simplefilter("ignore")
ROWS, STEP = 60, 10
folder = Path(sys.argv[1])


def rows(classes):
    """A call every ten seconds, of one class after another; of every fifth one the annotator was not sure."""
    for place in range(ROWS):
        cells = ["NEG"] * len(classes)
        cells[place % len(classes)] = "UNK" if place % 5 == 2 else "POS"
        yield STEP * place, cells


def clip_of(name, classes):
    with (folder / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Audiofilename", "Starttime", "Endtime", *classes])
        table.writerows([f"{name}.wav", onset, onset + 0.5, *cells] for onset, cells in rows(classes))
    soundfile.write(folder / f"{name}.wav", np.zeros(ROWS * STEP * 100), 100)
    # The data set's own index is loaded from the net; this has the same form.
    files = {"audio": [f"{name}.wav", ""], "csv": [f"{name}.csv", ""]}
    return Clip(name, str(folder), "dcase_bioacoustic", {"clips": {name: files}}, lambda: {name: {}})


def counted(labels, classes):
    named = [sum(one in label.split(",") for label in labels) for one in classes]
    empty = sum(label == "" for label in labels)
    return f"{len(labels)}, with the label of the classes {' '.join(map(str, named))}" + (f", empty {empty}" if empty else "")


for name, classes in ("training", ["AMRE", "BBWA", "COYE"]), ("validation", ["Q"]):
    clip, kept = clip_of(name, classes), list(rows(classes))
    positive = [sum(cells[place] == "POS" for _, cells in kept) for place in range(len(classes))]
    unsure = sum("UNK" in cells for _, cells in kept)
    said = [f"{name}: {ROWS} rows, POS {' '.join(map(str, positive))}, UNK {unsure}"]
    said.append(f"  events: {counted(clip.events.labels, classes)}")
    said.append(f"  POSevents: {counted(clip.POSevents.labels, classes)}")
    said.append(f"  JAMS: {counted([seen.value for seen in clip.to_jams().annotations[0]], classes)}")
    assert np.array_equal(clip.events.intervals, clip.POSevents.intervals)
    if classes == ["Q"]:
        said[0] += f"; of the first 5 POS rows the last begins at {[onset for onset, cells in kept if 'POS' in cells][4]:.1f} s"
        said[2] += f"; the fifth begins at {clip.POSevents.intervals[4, 0]:.1f} s"
    print("\n".join(said))
PYTHON
mkdir "$work/data"
"$work/venv/bin/python" "$work/try.py" "$work/data" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

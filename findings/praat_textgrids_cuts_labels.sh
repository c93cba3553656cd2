#!/usr/bin/env bash
# praat-textgrids cuts labels that have an equals sign, in the form that Praat saves by default, and reads each form of one file as another one.
#
# Versions: praat-textgrids 1.4.0, praat-parselmouth 0.4.7 (Praat 6.1.38), numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: Praat saves a TextGrid as a (long) text file, as a short one or as a binary one, all with the same content, and the package
#   reads all three. Of a line of the long form it takes what lies between the first " = " and the next one, so that the label
#   "wren, score = 0.91" becomes "wren, score". In both text forms Praat doubles quotes inside of a label; the package takes off those
#   around it and leaves the doubled ones, and takes off more where a label ends with a quote. Of the binary form labels are right, and the
#   time where the whole begins is that where the last interval does: a grid of 10 s seems to be one of 5 s. There is no warning. Counted by
#   their labels, one and the same song is of two classes, by how its file was saved.
# What helps: Praat itself (parselmouth), which reads all forms alike.
# Output seen:
#   text: from 0 to 10 s: [wren, score] [the ""long"" song] [long or ""short] [frog]
#   short: from 0 to 10 s: [wren, score = 0.91] [the ""long"" song] [long or ""short] [frog]
#   binary: from 7 to 10 s: [wren, score = 0.91] [the "long" song] [long or "short"] [frog]
#   Praat, of each: from 0 to 10 s: [wren, score = 0.91] [the "long" song] [long or "short"] [frog]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q praat-textgrids==1.4.0 praat-parselmouth==0.4.7 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import sys
from pathlib import Path

import parselmouth
import textgrids
from parselmouth.praat import call

folder = Path(sys.argv[1])
LABELS = ["wren, score = 0.91", 'the "long" song', 'long or "short"', "frog"]
FORMS = {"text": "Save as text file", "short": "Save as short text file", "binary": "Save as binary file"}

made = parselmouth.TextGrid(0.0, 10.0, ["songs"], [])
for time in 2.0, 5.0, 7.0:
    call(made, "Insert boundary", 1, time)
for number, label in enumerate(LABELS, 1):
    call(made, "Set interval text", 1, number, label)


def say(who, begin, end, labels):
    print(f"{who}: from {begin:g} to {end:g} s: {' '.join(f'[{label}]' for label in labels)}")


of_praat = set()
for form, command in FORMS.items():
    path = str(folder / f"{form}.TextGrid")
    call(made, command, path)
    found = textgrids.TextGrid(path)
    say(form, found.xmin, found.xmax, [interval.text for interval in found["songs"]])
    there = call("Read from file", path)
    labels = tuple(call(there, "Get label of interval", 1, i) for i in range(1, 1 + len(LABELS)))
    of_praat.add((call(there, "Get start time"), call(there, "Get end time"), labels))
((begin, end, labels),) = of_praat
say("Praat, of each", begin, end, labels)
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

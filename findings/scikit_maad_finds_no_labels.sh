#!/usr/bin/env bash
# scikit-maad finds no label at all in an Audacity file in which a single one has no frequency range.
#
# Versions: scikit-maad 1.5.2, numpy 2.4.6, pandas 3.1.1, Python 3.11, Linux x86-64.
# Behaviour: Audacity's extended format has a second line, beginning with a backslash, for each label that was made in a spectrogram with
#   a spectral selection; a label that was made otherwise, of the same track, has none. maad.util.read_audacity_annot() takes every second
#   line for such a one if there is any. What fails after that is caught, and it gives an empty table, the one that it gives for a file
#   without labels (and for a file that does not exist): a recording with a hundred calls counts as one without. If two such labels
#   follow each other and are called by numbers, nothing fails: the second is missing, and the first gets its end and its name as
#   lowest and highest frequency.
# What helps: comparing the number of labels with that of the lines that do not begin with a backslash. Of other readers, koogu 0.7.2
#   gives all labels of such files, and crowsetta 5.1.2 (aud-bbox) says that it cannot read them.
# Output seen:
#   100 labels, all with frequencies: 100 found
#   100 labels, none with frequencies: 100 found
#   100 labels, all but the last with frequencies: 0 found
#   100 labels, all but two called 1 and 2 with frequencies: 99 found, the lowest of 51.0 to 51.5 s reaches from 52.5 to 2.0 Hz
#   no label: 0 found
#   no such file: 0 found
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q scikit-maad==1.5.2 numpy==2.4.6 pandas==3.1.1
cat >"$work/try.py" <<'PYTHON'
import sys
from pathlib import Path

from maad.util import read_audacity_annot

COUNT = 100
path = Path(sys.argv[1])


def labels(without=(), called=None):
    """One label a second, half a second long, between 2 and 4 kHz where it has frequencies."""
    text = ""
    for place in range(COUNT):
        name = (called or {}).get(place, "call")
        text += f"{place:.6f}\t{place + 0.5:.6f}\t{name}\n"
        if place not in without:
            text += "\\\t2000.000000\t4000.000000\n"
    return text


def say(title):
    found = read_audacity_annot(str(path))
    print(f"{title}: {len(found)} found", end="")
    if len(found) not in (0, COUNT):
        odd = found.loc[found["min_f"].idxmin()]
        print(f", the lowest of {odd['min_t']} to {odd['max_t']} s reaches from {odd['min_f']} to {odd['max_f']} Hz", end="")
    print()


for title, text in (
    (f"{COUNT} labels, all with frequencies", labels()),
    (f"{COUNT} labels, none with frequencies", labels(range(COUNT))),
    (f"{COUNT} labels, all but the last with frequencies", labels([COUNT - 1])),
    (f"{COUNT} labels, all but two called 1 and 2 with frequencies", labels([51, 52], {51: "1", 52: "2"})),
    ("no label", ""),
):
    path.write_text(text)
    say(title)
path.unlink()
say("no such file")
PYTHON
"$work/venv/bin/python" -W error::RuntimeWarning "$work/try.py" "$work/labels.txt" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

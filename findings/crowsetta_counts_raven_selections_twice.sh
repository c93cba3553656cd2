#!/usr/bin/env bash
# crowsetta takes each selection of a Raven table twice, if the table has rows of the waveform beside those of the spectrogram.
#
# Versions: crowsetta 5.1.2, numpy 2.4.6, pandas 3.1.1, pandera 0.35.0, Python 3.11, Linux x86-64.
# Behaviour: a window of Raven shows a waveform above a spectrogram, and a selection belongs to both. Its table then has two rows for a
#   selection, of the same number, times, frequencies and annotation, which differ in the column View and in measurements. crowsetta's
#   format `raven` reads View and drops it: to_bbox() and to_annot() give a box for each row. There is no warning, and of a table of the
#   spectrogram alone (as in its example) all is right. Who counts calls gets two for each, in a data set from several people
#   only for some recordings; and a detector that finds every call once gets a recall of one half.
# What helps: keeping the rows of one view (the attribute df) before boxes are made of them, as Rraven's imp_raven() does unasked in R.
# Output seen:
#   spectrogram alone: 100 selections, 100 rows, 100 boxes, 50.0 s of calls; detections 100, recall 1.00
#   waveform and spectrogram: 100 selections, 200 rows, 200 boxes, 100.0 s of calls; detections 100, recall 0.50
#   waveform and spectrogram, the latter kept: 100 selections, 100 rows, 100 boxes, 50.0 s of calls; detections 100, recall 1.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q crowsetta==5.1.2 numpy==2.4.6 pandas==3.1.1 pandera==0.35.0
cat >"$work/try.py" <<'PYTHON'
import sys
import warnings
from pathlib import Path

from crowsetta.formats.bbox import Raven

# Nothing is said about the rows; that pandas will drop an argument is another matter.
warnings.simplefilter("error")
warnings.simplefilter("ignore", DeprecationWarning)
COLUMNS = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Annotation")
CALLS = [(10.0 * number, 10.0 * number + 0.5) for number in range(100)]


def table(*views):
    """What Raven saves of the calls, with a row for each view of the window."""
    lines = ["\t".join(COLUMNS)]
    for number, (begin, end) in enumerate(CALLS, 1):
        lines += [f"{number}\t{view} 1\t1\t{begin:.9f}\t{end:.9f}\t2000.0\t4000.0\twren" for view in views]
    return "\n".join(lines) + "\n"


def tell(name, raven):
    boxes = raven.to_bbox()
    assert boxes == raven.to_annot().bboxes
    # Each box can be found by one detection, and each detection finds one box at most.
    left, found = list(CALLS), 0
    for box in boxes:
        if (box.onset, box.offset) in left:
            left.remove((box.onset, box.offset))
            found += 1
    print(
        f"{name}: {raven.df.Selection.nunique()} selections, {len(raven.df)} rows, {len(boxes)} boxes,"
        f" {sum(box.offset - box.onset for box in boxes):.1f} s of calls; detections {len(CALLS)}, recall {found / len(boxes):.2f}"
    )


path = Path(sys.argv[1]) / "night.Table.1.selections.txt"
path.write_text(table("Spectrogram"))
tell("spectrogram alone", Raven.from_file(path))
path.write_text(table("Waveform", "Spectrogram"))
raven = Raven.from_file(path)
tell("waveform and spectrogram", raven)
raven.df = raven.df[raven.df.View.str.startswith("Spectrogram")]
tell("waveform and spectrogram, the latter kept", raven)
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

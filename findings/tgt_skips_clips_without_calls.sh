#!/usr/bin/env bash
# tgt, when it joins the annotations of clips, leaves out the time of clips that have none, so that all later ones are too early.
#
# Versions: tgt (TextGridTools) 1.5, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: tgt.util.concatenate_textgrids(), and the command tgt-concatenate-textgrids.py, put Praat's TextGrids behind each other; by its
#   docstring each is moved by the end of those before. The end of a tier grows with each annotation that comes to it, though, and
#   read_textgrid() keeps no interval that has no text: of a clip in which no tier has one, nothing comes, and the end stays. The next
#   clip then begins where the silent one does. There is no warning, the number of annotations is right, and so are their lengths. A
#   silent clip at the beginning is counted, and one at the end is missing from the duration alone. Recorders that run by a
#   schedule bring home many clips without a call.
#   Besides, the tiers are taken from a set of their names: each process has them in another order, and who reads the second tier for
#   that of the frogs gets the birds.
# What helps: read_textgrid(..., include_empty_intervals=True), which gives such clips their end; and tiers by their names.
# Output seen:
#   6 clips of 10 s, calls in all of them: 60 s; calls of the clips 1 2 3 4 5 6 are in 1 2 3 4 5 6
#   6 clips of 10 s, none in 3: 50 s; calls of the clips 1 2 4 5 6 are in 1 2 3 4 5
#   6 clips of 10 s, none in 2 3 4: 30 s; calls of the clips 1 5 6 are in 1 2 3
#   6 clips of 10 s, none in 1: 60 s; calls of the clips 2 3 4 5 6 are in 2 3 4 5 6
#   6 clips of 10 s, none in 6: 50 s; calls of the clips 1 2 3 4 5 are in 1 2 3 4 5
#   6 clips of 10 s, none in 2 3 4, empty intervals read too: 60 s; calls of the clips 1 5 6 are in 1 5 6
#   orders of 3 tiers in 8 processes: 4
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tgt==1.5 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import os
import sys
from pathlib import Path

from tgt import read_textgrid
from tgt.util import concatenate_textgrids

CLIPS, LONG = 6, 10
TIERS = "bird", "frog", "insect"
folder = Path(sys.argv[1])


def as_praat_saves(called):
    """A clip whose tiers are filled with intervals from its beginning to its end; a bird may call from 2 to 3 s."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {LONG}"]
    lines += ["tiers? <exists>", f"size = {len(TIERS)}", "item []:"]
    for number, tier in enumerate(TIERS, 1):
        parts = [(0, 2, ""), (2, 3, "call"), (3, LONG, "")] if called and tier == "bird" else [(0, LONG, "")]
        lines += [f"item [{number}]:", 'class = "IntervalTier"', f'name = "{tier}"', "xmin = 0", f"xmax = {LONG}"]
        lines.append(f"intervals: size = {len(parts)}")
        for place, (begin, end, text) in enumerate(parts, 1):
            lines += [f"intervals [{place}]:", f"xmin = {begin}", f"xmax = {end}", f'text = "{text}"']
    return "\n".join(lines) + "\n"


def joined(silent, **options):
    for clip in range(1, CLIPS + 1):
        (folder / f"{clip}.TextGrid").write_text(as_praat_saves(clip not in silent))
    return concatenate_textgrids([read_textgrid(str(folder / f"{clip}.TextGrid"), **options) for clip in range(1, CLIPS + 1)])


def say(*silent, words="", **options):
    found = joined(silent, **options)
    calls = found.get_tier_by_name("bird").get_annotations_with_text("call")
    assert all(float(call.duration()) == 1 for call in calls)
    clips = [clip for clip in range(1, CLIPS + 1) if clip not in silent]
    where = [int(float(call.start_time) // LONG) + 1 for call in calls]
    print(
        f"{CLIPS} clips of {LONG} s, {'none in ' + ' '.join(map(str, silent)) if silent else 'calls in all of them'}{words}:"
        f" {float(found.end_time):.0f} s; calls of the clips {' '.join(map(str, clips))} are in {' '.join(map(str, where))}"
    )


if "order" in os.environ:
    print(*joined(()).get_tier_names())
else:
    for silent in (), (3,), (2, 3, 4), (1,), (6,):
        say(*silent)
    say(2, 3, 4, words=", empty intervals read too", include_empty_intervals=True)
PYTHON
{
    "$work/venv/bin/python" "$work/try.py" "$work"
    # Python seeds its hashes anew in each process, if it is not told a seed.
    count=$(for seed in {0..7}; do order=1 PYTHONHASHSEED=$seed "$work/venv/bin/python" "$work/try.py" "$work"; done | sort -u | wc -l)
    echo "orders of 3 tiers in 8 processes: $count"
} | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# dcase_util moves the end of an event that begins at 0 s, but not its beginning.
#
# Versions: dcase_util 0.2.20 with numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: MetaDataContainer.add_time(t) adds t to the times of all events, as for a clip that is put behind others. It leaves out a time
#   that is missing, and takes 0 for a missing one: an event from 0 to 1 s, moved by 10 s, then lasts from 0 to 11 s. Clips of long
#   recordings, and of events that were cut out, often have an event that begins with the clip. Joined annotations of such clips have
#   events that reach back to the beginning of all, over everything. There is no warning, and the ends are right. Moving by
#   0 s first, or by several steps, changes nothing.
# What helps: adding the time to each item's onset and offset oneself.
# Output seen:
#   an event from 0.5 to 1 s, moved by 10 s: from 10.5 to 11.0 s
#   an event from 0.0 to 1 s, moved by 10 s: from 0.0 to 11.0 s
#   30 clips of 10 s, each with an event of 1 s that begins at 0.5 s: 30 s of 300 are active
#   30 clips of 10 s, each with an event of 1 s that begins at 0.0 s: 291 s of 300 are active, in the last one's event are 291 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q dcase_util==0.2.20 numpy==2.4.6 2>/dev/null
cat >"$work/try.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
from dcase_util.containers import MetaDataContainer

CLIPS, CLIP = 30, 10


def event(onset, offset):
    return MetaDataContainer([{"filename": "a.wav", "onset": onset, "offset": offset, "event_label": "knock"}])


for onset in 0.5, 0.0:
    (moved,) = event(onset, 1.0).add_time(10.0)
    print(f"an event from {onset} to 1 s, moved by 10 s: from {moved.onset} to {moved.offset} s")

for onset in 0.5, 0.0:
    joined = MetaDataContainer()
    for place in range(CLIPS):
        joined += event(onset, onset + 1).add_time(float(place * CLIP))
    roll = joined.to_event_roll(label_list=["knock"], time_resolution=0.5, length_seconds=CLIPS * CLIP)
    last = max(joined, key=lambda item: item.offset)
    long = last.offset - last.onset
    print(
        f"{CLIPS} clips of {CLIP} s, each with an event of 1 s that begins at {onset} s: {roll.data.sum() * 0.5:.0f} s of "
        f"{CLIPS * CLIP} are active" + (f", in the last one's event are {long:.0f} s" if long != 1 else "")
    )
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

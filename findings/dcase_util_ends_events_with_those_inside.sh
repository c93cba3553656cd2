#!/usr/bin/env bash
# dcase_util ends a sound event where a shorter one inside it ends, and calls the rest of it inactive.
#
# Versions: dcase_util 0.2.20 with numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: MetaDataContainer.process_events(minimum_event_gap=...) joins events of one label that lie close to each other. It goes through
#   them in the order of their onsets and takes the end of the last one for the end of all: of rain from 0 to 60 s and a drop of it from
#   10 to 11 s remain 11 s. event_inactivity(), which gives the times in which nothing sounds, calls all events the same, and joins
#   them so: there a short event of any label cuts off a long one of any other, which is what polyphonic recordings consist of.
#   Background that is taken from these times has events in it. There is no warning; if no event lies inside another, all is right.
# What helps: joining events that overlap first, with the latest of their ends.
# Output seen:
#   traffic from 0 to 60 s: silent 0.0 s of 60, by event_inactivity() 0.0 s
#   traffic from 0 to 60 s, a bird from 10 to 11 s: silent 0.0 s of 60, by event_inactivity() 49.0 s
#   40 events in turn: silent 20.0 s of 60, by event_inactivity() 20.0 s
#   40 events of random lengths: silent 14.6 s of 60, by event_inactivity() 36.8 s
#   one label, 40 events of random lengths, gaps of 0.1 s closed: active 45.4 s of 60, by process_events() 23.2 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q dcase_util==0.2.20 numpy==2.4.6 2>/dev/null
cat >"$work/try.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import numpy as np
from dcase_util.containers import MetaDataContainer

LONG, STEP = 60, 0.1
chance = np.random.default_rng(0)


def container(events):
    return MetaDataContainer(
        [{"filename": "a.wav", "onset": on / 10, "offset": off / 10, "event_label": label} for on, off, label in events]
    )


def active(events):
    """How many of the tenths of a second are in an event; the events begin and end with tenths."""
    sounds = np.zeros(round(LONG / STEP), dtype=bool)
    for on, off, _ in events:
        sounds[on:off] = True
    return sounds.sum() * STEP


def total(found):
    """These do not overlap, so that their lengths can be added."""
    times = sorted((item.onset, item.offset) for item in found)
    assert all(one[1] <= other[0] for one, other in zip(times, times[1:]))
    return sum(off - on for on, off in times)


def say(title, events):
    by_dcase = total(container(events).event_inactivity(duration_list={"a.wav": LONG}))
    print(f"{title}: silent {LONG - active(events):.1f} s of {LONG}, by event_inactivity() {by_dcase:.1f} s")


say("traffic from 0 to 60 s", [(0, 600, "traffic")])
say("traffic from 0 to 60 s, a bird from 10 to 11 s", [(0, 600, "traffic"), (100, 110, "bird")])
say("40 events in turn", [(15 * k, 15 * k + 10, "bird" if k % 2 else "frog") for k in range(40)])
onsets = chance.choice(560, 40, replace=False)
lengths = (10 ** chance.uniform(0, 2, 40)).astype(int)
mixed = [(int(on), int(min(on + long, 600)), "bird" if k % 2 else "frog") for k, (on, long) in enumerate(zip(onsets, lengths))]
say("40 events of random lengths", mixed)
same = [(on, off, "frog") for on, off, _ in mixed]
joined = total(container(same).process_events(minimum_event_gap=STEP))
print(
    f"one label, 40 events of random lengths, gaps of {STEP} s closed: active {active(same):.1f} s of {LONG}, "
    f"by process_events() {joined:.1f} s"
)
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

#!/usr/bin/env bash
# sed_eval counts a segment too many where a time that is a multiple of the segment's length is not exact in binary.
#
# Versions: sed_eval 0.2.1 with dcase_util 0.2.20 and numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: with a time_resolution of 0.1 s an event from 0.3 to 0.6 s is in four segments, not in three: 0.3 / 0.1 is rounded down
#   from 2.9999999999999996, and elsewhere an end is rounded up from a little above. A detector's times are mostly a number of frames
#   times a hop, and 3 * 0.1 is another number than the 0.3 of an annotation, so that its segments are others: a detector that has every
#   event at its very times gets an F-measure of 0.905 and an error rate of 0.178. With 0.02 s it is less, with whole seconds (the
#   default) nothing. There is no warning, and an annotation compared with itself gets 1.
# What helps: times moved inwards by a microsecond before both are evaluated.
# Output seen:
#   segments of 1.0 s: 60 in the annotation, 60 by its times; the detector gets F 1.000, error rate 0.000
#   segments of 0.1 s: 214 in the annotation, 180 by its times; the detector gets F 0.905, error rate 0.178
#   segments of 0.02 s: 910 in the annotation, 900 by its times; the detector gets F 0.991, error rate 0.019
#   segments of 0.1 s, moved inwards: 180 in the annotation, 180 by its times; the detector gets F 1.000, error rate 0.000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sed_eval==0.2.1 dcase_util==0.2.20 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import math
import warnings
from fractions import Fraction

warnings.simplefilter("ignore")
import sed_eval
from dcase_util.containers import MetaDataContainer

# An event of 0.3 s in every second of a minute, in tenths of a second.
TENTHS = [(start, start + 3) for start in range(3, 600, 10)]


def events(times, inwards):
    return MetaDataContainer(
        [{"filename": "a.wav", "onset": on + inwards, "offset": off - inwards, "event_label": "knock"} for on, off in times]
    )


def say(segment, inwards=0.0):
    annotated = events([(on / 10, off / 10) for on, off in TENTHS], inwards)
    detected = events([(on * 0.1, off * 0.1) for on, off in TENTHS], inwards)
    metrics = sed_eval.sound_event.SegmentBasedMetrics(["knock"], time_resolution=segment)
    metrics.evaluate(reference_event_list=annotated, estimated_event_list=detected)
    long = Fraction(str(segment))
    by_times = sum(math.ceil(Fraction(off, 10) / long) - math.floor(Fraction(on, 10) / long) for on, off in TENTHS)
    found = metrics.results_overall_metrics()
    print(
        f"segments of {segment} s{', moved inwards' if inwards else ''}: {metrics.overall['Nref']:.0f} in the annotation, "
        f"{by_times} by its times; the detector gets F {found['f_measure']['f_measure']:.3f}, "
        f"error rate {found['error_rate']['error_rate']:.3f}"
    )


for segment in 1.0, 0.1, 0.02:
    say(segment)
say(0.1, inwards=1e-6)
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

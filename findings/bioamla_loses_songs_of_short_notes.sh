#!/usr/bin/env bash
# bioamla, asked to split recordings where they are silent for long enough, splits at each gap of a tenth of a second, and drops what is left.
#
# Versions: bioamla 0.2.14, librosa 0.11.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: bioamla.audio.segment_on_silence() and split_audio_on_silence() have the arguments min_silence_duration, by the docstring
#   "minimum silence duration in seconds to split on" (0.3 s), and min_segment_duration, of segments that are kept (0.5 s). The first one
#   is read by nothing. What is split on is a gap of one of librosa's frames, about 2,048 samples, whatever the argument says: a song
#   of short notes falls apart into its notes, each of these is shorter than a segment is to be, and all are dropped. A recording in which
#   a bird sings for seconds has no segment then, without a warning, while the same song with gaps of 50 ms is one whole. In samples,
#   not in seconds, the gap also grows with a lower rate.
#   detect_onsets() beside it takes a method ("energy", "spectral", "complex") and a threshold, and reads neither.
# What helps: librosa.effects.split, whose intervals are joined by hand where less than min_silence_duration lies in between.
# Output seen (ten notes of 0.2 s, 22,050 Hz):
#   gaps of 0.05 s, silence from 0.3 s on: 1 segments
#   gaps of 0.15 s, silence from 0.3 s on: 0 segments
#   gaps of 0.25 s, silence from 0.3 s on: 0 segments
#   gaps of 0.25 s, silence from 1.0 s on: 0 segments
#   gaps of 0.25 s, silence from 0.1 s on: 0 segments
#   gaps of 0.25 s, silence from 1.0 s on, segments from 0.1 s on: 10 segments
#   joined by hand where less than 0.3 s lies in between, gaps of 0.25 s: 1 segments, of 4.3 s
#   onsets with thresholds 0, 0.5 and 1: 10, 10 and 10; by three methods: 10, 10 and 10
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q librosa==0.11.0 numpy==2.4.6 scipy==1.17.1 numba==0.68.1 scikit-learn==1.9.1 soundfile==0.14.0 pandas==3.1.1 \
    python-dotenv==1.2.4 riffy==0.3.3
# Without what its other parts need (PyTorch, MLflow and more).
"$work/venv/bin/pip" install -q --no-deps bioamla==0.2.14
cat >"$work/try.py" <<'PYTHON'
import librosa
import numpy as np
from bioamla.audio.processing import detect_onsets, segment_on_silence

RATE, NOTES, LONG = 22050, 10, 0.2


def song(gap):
    """A second of silence, notes of 3 kHz with gaps, and a second of silence."""
    time = np.arange(round(LONG * RATE)) / RATE
    note = 0.5 * np.sin(2 * np.pi * 3000 * time) * np.hanning(len(time))
    silent = np.zeros(round(gap * RATE))
    return np.concatenate([np.zeros(RATE), *[part for _ in range(NOTES) for part in (note, silent)], np.zeros(RATE)])


for gap, silence, shortest in (0.05, 0.3, 0.5), (0.15, 0.3, 0.5), (0.25, 0.3, 0.5), (0.25, 1.0, 0.5), (0.25, 0.1, 0.5), (0.25, 1.0, 0.1):
    found = segment_on_silence(song(gap), RATE, min_silence_duration=silence, min_segment_duration=shortest)
    more = "" if shortest == 0.5 else f", segments from {shortest} s on"
    print(f"gaps of {gap} s, silence from {silence} s on{more}: {len(found)} segments")

joined = []
for begin, end in librosa.effects.split(song(0.25), top_db=40) / RATE:
    if joined and begin - joined[-1][1] < 0.3:
        joined[-1][1] = end
    else:
        joined.append([begin, end])
print(
    f"joined by hand where less than 0.3 s lies in between, gaps of 0.25 s: {len(joined)} segments, "
    f"of {joined[0][1] - joined[0][0]:.1f} s"
)
counts = [len(detect_onsets(song(0.25), RATE, threshold=threshold)) for threshold in (0, 0.5, 1)]
counts += [len(detect_onsets(song(0.25), RATE, method=method)) for method in ("energy", "spectral", "complex")]
a, b, c, d, e, f = counts
print(f"onsets with thresholds 0, 0.5 and 1: {a}, {b} and {c}; by three methods: {d}, {e} and {f}")
PYTHON
"$work/venv/bin/python" -W ignore "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

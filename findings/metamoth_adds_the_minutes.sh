#!/usr/bin/env bash
# metamoth takes an AudioMoth's UTC-3:30 for UTC-2:30, so that its recordings are an hour too early.
#
# Versions: metamoth 1.2.2, Python 3.11, Linux x86-64.
# Behaviour: an AudioMoth writes the start of a recording into the file as a comment in local time, with the offset from UTC beside it,
#   and of an offset below 0 it writes the sign once, before the hours: (UTC-3:30). metamoth gives the sign to the hours and adds the
#   minutes: -3 h + 30 min. In Newfoundland (-3:30, in summer -2:30) and on the Marquesas (-9:30) every recording is then an hour too
#   early in UTC, and -0:30 becomes +0:30. There is neither an error nor a warning, the local time beside it is right, and
#   offsets of whole hours and those above 0 (India, South Australia, Nepal) are right too, so that a try elsewhere shows
#   nothing. Who joins such recordings with weather, tides, satellites or recorders that keep UTC joins other hours.
# What helps: taking the offset from the attribute `comment`, or recorders that are set to UTC.
# Output seen:
#   19:30:00 (UTC): 19:30 UTC; by metamoth 19:30 UTC
#   19:30:00 (UTC-3): 22:30 UTC; by metamoth 22:30 UTC
#   19:30:00 (UTC+5:30): 14:00 UTC; by metamoth 14:00 UTC
#   19:30:00 (UTC-3:30): 23:00 UTC; by metamoth 22:00 UTC
#   19:30:00 (UTC-2:30): 22:00 UTC; by metamoth 21:00 UTC
#   19:30:00 (UTC-9:30): 05:00 UTC; by metamoth 04:00 UTC
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q metamoth==1.2.2
cat >"$work/try.py" <<'PYTHON'
import struct
import sys
from datetime import datetime, timedelta, timezone

from metamoth import parse_metadata

RATE, MOTH = 48000, "24E144055DDD3203"
LOCAL = datetime(2023, 11, 12, 19, 30)


def chunk(name, what):
    return name + struct.pack("<I", len(what)) + what


def recording(offset):
    """A second of silence, with the chunks of firmware 1.6 to 1.8: the texts stand in fields of fixed sizes."""
    comment = (
        f"Recorded at {LOCAL:%H:%M:%S %d/%m/%Y} (UTC{offset}) by AudioMoth {MOTH} at medium gain "
        "while battery was 4.0V and temperature was 14.5C."
    )
    texts = chunk(b"ICMT", comment.encode().ljust(384, b"\0")) + chunk(b"IART", f"AudioMoth {MOTH}".encode().ljust(32, b"\0"))
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
    return chunk(b"RIFF", b"WAVE" + form + chunk(b"LIST", b"INFO" + texts) + chunk(b"data", bytes(2 * RATE)))


for minutes in 0, -180, 330, -210, -150, -570:
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "") if minutes else ""
    with open(sys.argv[1], "wb") as file:
        file.write(recording(offset))
    said = parse_metadata(sys.argv[1])
    assert said.datetime == LOCAL
    right = LOCAL.replace(tzinfo=timezone(timedelta(minutes=minutes))).astimezone(timezone.utc)
    found = said.datetime.replace(tzinfo=said.timezone).astimezone(timezone.utc)
    print(f"{LOCAL:%H:%M:%S} (UTC{offset}): {right:%H:%M} UTC; by metamoth {found:%H:%M} UTC")
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work/recording.wav" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

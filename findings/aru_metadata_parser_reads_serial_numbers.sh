#!/usr/bin/env bash
# aru-metadata-parser takes a SoundTrap's serial number for the time at which its recordings began.
#
# Versions: aru-metadata-parser 1.0.0 (which opensoundscape 0.13.2 needs), python-dateutil 4.0.0, pytz 2026.6, soundfile 0.14.0,
#   Python 3.11, Linux x86-64.
# Behaviour: parse_aru_file_start_time(), described as for any recorder's file name, tries one form of name after the other, and takes
#   the first that raises nothing. A SoundTrap (by its manual) names a file by its serial number, a point, and yymmddHHMMSS. What comes
#   after the point is taken for another suffix, and a serial number of eight digits for the hexadecimal seconds of old AudioMoths: all
#   recordings begin at one moment, said to be UTC. PAMGuard's sound recorder puts milliseconds behind the time, and the form of Song
#   Meters, the last two parts of a name, takes 071311_123 for a year, month, day and time: three fourths lie in other centuries,
#   but those of 20:10 to 20:29 in years that look right. Of Orcasound's names (orcanode issue 7) dateutil takes the minutes for
#   hours of an offset from UTC. There is neither an error nor a warning for any of these, though other names raise. To name the
#   kind of recorder helps as little: "audiomoth" takes the serial number, "songmeter" the milliseconds.
# What helps: datetime.strptime() with the form of one's own names.
# Output seen:
#   AudioMoth: 1000 of 1000 right, 1000 different times; 20220101_071311.WAV is 2022-01-01 07:13:11
#   Song Meter: 1000 of 1000 right, 1000 different times; SMM01234_20220101_071311.wav is 2022-01-01 07:13:11
#   SoundTrap: 0 of 1000 right, 1 different times; 67412345.220101071311.wav is 2024-11-23 00:35:17 +0000
#   PAMGuard: 252 of 1000 right, 1000 different times; PAM_20220101_071311_123.wav is 0713-01-01 01:02:03
#   Orcasound: 1 of 1000 right, 1000 different times; 2022-01-01_07-13-11.flac is 2022-01-01 07:00:00 -1100
#   PAM_20220616_202311_123.wav is 2023-01-01 01:02:03
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q aru-metadata-parser==1.0.0 python-dateutil==4.0.0 pytz==2026.6 soundfile==0.14.0
cat >"$work/try.py" <<'PYTHON'
import warnings
from datetime import datetime, timedelta

from aru_metadata_parser.parse import parse_aru_file_start_time

warnings.simplefilter("error")
COUNT = 1000
# Some seven hours apart, so that all hours, minutes and seconds come, over most of a year.
STARTS = [datetime(2022, 1, 1) + timedelta(hours=7, minutes=13, seconds=11) * number for number in range(COUNT)]
NAMES = {
    "AudioMoth": "%Y%m%d_%H%M%S.WAV",
    "Song Meter": "SMM01234_%Y%m%d_%H%M%S.wav",
    "SoundTrap": "67412345.%y%m%d%H%M%S.wav",
    "PAMGuard": "PAM_%Y%m%d_%H%M%S_123.wav",
    "Orcasound": "%Y-%m-%d_%H-%M-%S.flac",
}


def read(name):
    time = parse_aru_file_start_time(name)
    return f"{name} is {time.year:04d}-{time:%m-%d %H:%M:%S %z}".strip()


for recorder, form in NAMES.items():
    # Offsets from UTC are left out here, as what is taken for one can be longer than a day.
    times = [parse_aru_file_start_time(start.strftime(form)).replace(tzinfo=None) for start in STARTS]
    right = sum(time == start for time, start in zip(times, STARTS, strict=True))
    print(f"{recorder}: {right} of {COUNT} right, {len(set(times))} different times; {read(STARTS[1].strftime(form))}")
print(read("PAM_20220616_202311_123.wav"))
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }

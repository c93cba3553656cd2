"""When and where a recording was made."""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.errors import InvalidOption
from hear_edgel3.recorded import Recorded, TimeAndPlace, moment_after, zone_of
from hear_edgel3.recorded.names import moment_in


@pytest.mark.parametrize(
    ("stem", "moment"),
    [
        ("20240501_050000", "2024-05-01T05:00:00"),  # AudioMoth
        ("20240501_050000T", "2024-05-01T05:00:00"),  # AudioMoth, triggered
        ("5B79C0DA", "2018-08-19T19:11:22+00:00"),  # AudioMoth's first firmware
        ("SMU00001_20130607_205000", "2013-06-07T20:50:00"),  # Song Meter
        ("SMU00001_20130607$205000", "2013-06-07T20:50:00"),  # triggered
        ("SITE-3_0+1_20150804_004445", "2015-08-04T00:44:45"),  # Song Meter 4, two channels
        ("20190401T112909+1000_Bar-LT", "2019-04-01T11:29:09+10:00"),  # BAR-LT
        ("20190401T112909+1000_REC [-27.3871 152.8561]", "2019-04-01T11:29:09+10:00"),
        ("S20240501T050000.123456-0330_E20240501T060000-0330", "2024-05-01T05:00:00.123456-03:30"),
        ("2024-05-01T05-00-00Z", "2024-05-01T05:00:00+00:00"),
        ("2024-05-01T05:00:00+02:00", "2024-05-01T05:00:00+02:00"),
        ("rec 2024-05-01 05.00.00", "2024-05-01T05:00:00"),
        ("20240501050000", "2024-05-01T05:00:00"),
        ("20240501_050000Z", "2024-05-01T05:00:00+00:00"),
        ("20240501_050000-1234", "2024-05-01T05:00:00"),  # a number behind it is no time zone
        ("20241301_050000", None),  # no such month
        ("20240501_250000", None),
        ("20240501", None),  # a day, but no time
        ("120240501_0500001", None),  # parts of longer numbers
        ("5B79C0DA_x", None),
        ("00000001", None),  # 1970
        ("bird song 3", None),
    ],
)
def test_names(stem: str, moment: str | None) -> None:
    found = moment_in(stem)
    assert (None if found is None else found.isoformat()) == moment


@pytest.mark.parametrize(
    ("pattern", "path", "began"),
    [
        ("%d%m%y_%H%M", "a/x_010524_0500.wav", "2024-05-01T05:00:00"),
        ("%Y/%m/%d/%H%M", "site/2024/05/01/0500.wav", "2024-05-01T05:00:00"),
        ("%Y-%j-%H%M%S%z", "2024-122-050000+0200.wav", "2024-05-01T05:00:00+02:00"),
        ("%b %d %Y %I%p", "May 01 2024 5PM.wav", "2024-05-01T17:00:00"),
        ("%d%m%y_%H%M", "20240501_050000.wav", None),  # no usual name counts beside a pattern
        ("%d%m%y_%H%M", "x_990024_0500.wav", None),
    ],
)
def test_patterns_of_ones_own(pattern: str, path: str, began: str | None) -> None:
    assert TimeAndPlace(pattern, site=None).look(path).began == began


@pytest.mark.parametrize(("pattern", "said"), [("%Q", "has %Q, which is none of"), ("%H%M", "says no day")])
def test_patterns_that_make_no_sense(pattern: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        TimeAndPlace(pattern)


# --- metadata in files ---


def wav(*chunks: tuple[bytes, bytes], before: bool = False) -> bytes:
    """A WAV file with more chunks, behind the samples or before them."""
    target = io.BytesIO()
    soundfile.write(target, np.zeros(101), 8000, "PCM_U8", format="WAV")
    plain = target.getvalue()
    more = b"".join(struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    body = plain[12:36] + more + plain[36:] if before else plain[12:] + more
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def info(comment: bytes) -> tuple[bytes, bytes]:
    text = comment + b"\0" * (2 - len(comment) % 2)
    return b"LIST", b"INFOICMT" + struct.pack("<I", len(text)) + text


def bext(date: bytes, time: bytes) -> tuple[bytes, bytes]:
    return b"bext", b"\0" * 320 + date + time + b"\0" * 264


GUANO = (b"guan", b"GUANO|Version: 1.0\nTimestamp: 2017-01-02T12:34:56.5-05:00\nMake: x\n")
WAMD = (b"wamd", struct.pack("<HIH", 0, 2, 1) + struct.pack("<HI", 5, 25) + b"2013-05-26 17:08:35-05:00")
MOTH = info(b"Recorded at 19:17:30 19/08/2018 (UTC) by AudioMoth 24E144085F256449 at medium gain setting")
MOTH_LOCAL = info(b"Recorded at 19:17:30.250 19/08/2018 (UTC+5:30) by AudioMoth 24E144085F256449 at medium gain")
MOTH_FIRST = info(b"Recorded at 19:17:30 19/08/2018 by AudioMoth 24E144085F256449 at gain setting 2")
BEXT = bext(b"2020-02-03", b"04:05:06")
IXML = (
    b"iXML",
    b"<?xml version='1.0'?><BWFXML><BEXT><BWF_ORIGINATION_DATE>2021-02-03</BWF_ORIGINATION_DATE>"
    b"<BWF_ORIGINATION_TIME> 04:05:06 </BWF_ORIGINATION_TIME></BEXT></BWFXML>",
)


def look(data: bytes, name: str = "a.wav", asked: TimeAndPlace | None = None) -> Recorded:
    with AudioFile(name, io.BytesIO(data)) as file:
        blocks = file.blocks()
        found = (asked or TimeAndPlace(site=None)).of_file(name, "", file)
        assert sum(len(block) for block in blocks) == 101  # looking does not disturb the reading
    return found


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(
    ("chunk", "began", "who"),
    [
        (GUANO, "2017-01-02T12:34:56.500-05:00", "GUANO"),
        (WAMD, "2013-05-26T17:08:35-05:00", "wamd"),
        (MOTH, "2018-08-19T19:17:30+00:00", "AudioMoth"),
        (MOTH_LOCAL, "2018-08-19T19:17:30.250+05:30", "AudioMoth"),
        (MOTH_FIRST, "2018-08-19T19:17:30", "AudioMoth"),
        (BEXT, "2020-02-03T04:05:06", "bext"),
        (bext(b"2020:02:03", b"04-05-06"), "2020-02-03T04:05:06", "bext"),
        (bext(b"\0" * 10, b"\0" * 8), None, None),
        (bext(b"2020-13-03", b"04:05:06"), None, None),
        (IXML, "2021-02-03T04:05:06", "iXML"),
        ((b"guan", b"Timestamp: yesterday"), None, None),
        ((b"guan", b"\xff\xfe\x00"), None, None),
        ((b"wamd", b"\x05\x00\xff\xff\xff\xff2013"), None, None),
        (info(b"Recorded at 19:17:30 19/08/2018 (UTC) by a friend"), None, None),
    ],
)
def test_chunks(chunk: tuple[bytes, bytes], began: str | None, who: str | None, before: bool) -> None:
    found = look(wav(chunk, before=before))
    assert (found.began, found.says_who) == (began, who)
    assert found.has_zone == (began is not None and ("+" in began or "-05:00" in began))


def test_metadata_right_behind_an_odd_number_of_bytes() -> None:
    """guano-py puts them there, without the byte that should lie between."""
    data = wav(GUANO, BEXT)
    at = data.index(b"guan")
    assert at % 2 == 0
    assert data[at - 1] == 0
    assert look(data[: at - 1] + data[at:]) == look(data)


def test_what_knows_its_zone_comes_first() -> None:
    assert look(wav(BEXT, MOTH, WAMD, GUANO)).says_who == "GUANO"
    assert look(wav(BEXT, IXML), "20240501T050000Z.wav").says_who == "name"
    assert look(wav(BEXT, IXML), "20240501_050000.wav").says_who == "bext"
    assert look(wav(), "20240501_050000.wav").says_who == "name"
    assert look(wav(MOTH_FIRST, GUANO)).says_who == "GUANO"
    assert look(wav(GUANO), "010524_0500.wav", TimeAndPlace("%d%m%y_%H%M", site=None)).says_who == "pattern"


def test_a_file_that_says_a_wrong_length_is_looked_into_as_far_as_it_goes() -> None:
    data = bytearray(wav(GUANO, before=True))
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff\xff\xff\xff"
    found = TimeAndPlace(site=None).look("a.wav", lambda at, n: bytes(data[at : at + n]), len(data))
    assert found.says_who == "GUANO"


def test_large_files() -> None:
    """RF64: the length of the samples is in another chunk."""
    size = 5 << 32
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 0, size, size, 0)
    head += b"data\xff\xff\xff\xff"
    behind = GUANO[0] + struct.pack("<I", len(GUANO[1])) + GUANO[1]

    def read_at(at: int, n: int) -> bytes:
        return head[at : at + n] if at < len(head) else behind[at - len(head) - size :][:n]

    found = TimeAndPlace(site=None).look("a.wav", read_at, len(head) + size + len(behind))
    assert found.says_who == "GUANO"


# --- time zones ---


def test_no_zone_is_assumed() -> None:
    assert TimeAndPlace(site=None).look("20240501_050000.wav").began == "2024-05-01T05:00:00"


@pytest.mark.parametrize(
    ("zone", "local", "known"),
    [
        ("UTC", "2024-05-01T05:00:00+00:00", "2024-05-01T03:00:00+00:00"),
        ("+02:00", "2024-05-01T05:00:00+02:00", "2024-05-01T05:00:00+02:00"),
        ("-3", "2024-05-01T05:00:00-03:00", "2024-05-01T00:00:00-03:00"),
        ("Europe/Berlin", "2024-05-01T05:00:00+02:00", "2024-05-01T05:00:00+02:00"),
    ],
)
def test_a_zone_is_that_of_times_without_one_and_all_are_told_in_it(zone: str, local: str, known: str) -> None:
    asked = TimeAndPlace(zone=zone, site=None)
    assert asked.look("20240501_050000.wav").began == local
    assert asked.look("20240501T050000+0200.wav").began == known
    assert asked.look("20240501_050000.wav").has_zone


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+25:00", "summer time", "../../etc/passwd"])
def test_zones_that_are_not_there(zone: str) -> None:
    with pytest.raises(InvalidOption, match="there is no time zone"):
        TimeAndPlace(zone=zone)


def test_offsets() -> None:
    assert zone_of("UTC+5:30").utcoffset(datetime(2024, 1, 1, tzinfo=UTC)) == timedelta(hours=5.5)
    assert zone_of("-0330") == timezone(-timedelta(hours=3.5))


def test_a_moment_after_another_one() -> None:
    assert moment_after("2024-05-01T05:00:00", 90.25) == "2024-05-01T05:01:30.250"
    assert moment_after("2024-05-01T23:59:59.900+02:00", 0.1) == "2024-05-02T00:00:00.000+02:00"
    assert moment_after(None, 1) is None


def test_a_change_of_the_clocks_counts() -> None:
    berlin = zone_of("Europe/Berlin")
    # On 2024-10-27 at 3:00 of summer time it became 2:00.
    assert moment_after("2024-10-27T02:30:00+02:00", 3600, berlin) == "2024-10-27T02:30:00.000+01:00"
    assert moment_after("2024-03-31T01:30:00+01:00", 3600, berlin) == "2024-03-31T03:30:00.000+02:00"


# --- places ---


def test_sites_are_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert TimeAndPlace().look("north/card 2/a.wav").site == "card 2"
    assert TimeAndPlace(site=2).look("north/card 2/a.wav").site == "north"
    assert TimeAndPlace().look("a.wav").site == tmp_path.name
    assert TimeAndPlace(site=None).look("north/a.wav").site is None
    assert TimeAndPlace(site=50).look("north/a.wav").site is None
    assert TimeAndPlace().look("/a.wav").site is None


def test_sites_by_an_expression() -> None:
    assert TimeAndPlace(site=r"plot-(\d+)").look("x/plot-12/a.wav").site == "12"
    assert TimeAndPlace(site=r"plot-\d+").look("x/plot-12/a.wav").site == "plot-12"
    assert TimeAndPlace(site="nowhere").look("x/plot-12/a.wav").site is None
    with pytest.raises(InvalidOption, match="no regular expression"):
        TimeAndPlace(site="(")
    with pytest.raises(InvalidOption, match="from 1"):
        TimeAndPlace(site=0)

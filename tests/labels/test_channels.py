"""Labels of single channels: what a column of channels says, and what is said where it does not count."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.event_detection import Event, formats
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.labels import Labelled, LabelOptions, read_labelled
from hear_edgel3.labels.contents import contents_of, digests_of
from hear_edgel3.labels.leaks import Bond, bonds
from hear_edgel3.labels.reading import as_labelled
from hear_edgel3.labels.sounds import unreadable
from hear_edgel3.sources.item import Item

TABLE = "file,channel,start,end,label\na.wav,0,0,1,hum\na.wav,1,0,1,hiss\nb.wav,1,0.5,1,hum\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav"):
        soundfile.write(name, np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)), 8000)
    soundfile.write("mono.wav", np.zeros(8000), 8000)


def read(name: str, data: str | bytes, channel: int | str = "mean", **options: object) -> Labelled:
    Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
    return read_labelled(name, LabelOptions(channel=channel, **options))  # type: ignore[arg-type]


def channels(labelled: Labelled) -> list[tuple[str, int | str | None, str]]:
    return [
        (Path(item.file).name, item.channel, labelled.classes[target])
        for item, target in zip(labelled.items, labelled.targets.tolist(), strict=True)
    ]


def test_rows_say_their_channels() -> None:
    found = read("t.csv", TABLE, "table")
    assert channels(found) == [("a.wav", 0, "hum"), ("a.wav", 1, "hiss"), ("b.wav", 1, "hum")]
    assert found.items[1].name == "a.wav (0-1 s, channel 1)"
    assert found.channels == (0, 1)
    assert found.about().endswith("; channels 0, 1, counted from 0")
    assert not found.notes


@pytest.mark.parametrize(("form", "name"), [("csv", "x.csv"), ("parquet", "x.parquet"), ("kaleidoscope", "id.csv")])
def test_each_programs_numbers_are_read_back(form: str, name: str) -> None:
    assert channels(read(name, _written(form), "table")) == [("a.wav", 0, "Bird"), ("a.wav", 1, "Frog")]


def test_ravens_count_from_one() -> None:
    for name in ("x.txt", "a.txt"):  # a table of files, and the track of one
        found = channels(read(name, _written("raven"), "table"))
        assert found == [("a.wav", 0, "Bird"), ("a.wav", 1, "Frog")]
    alone = "Channel\tBegin Time (s)\tEnd Time (s)\tAnnotation\n2\t0\t1\thum\n1\t0\t1\thiss\n"
    assert channels(read("b.txt", alone, "table")) == [("b.wav", 1, "hum"), ("b.wav", 0, "hiss")]


def _written(form: str) -> bytes:
    target = io.BytesIO()
    events = (Event(0.1, 0.6, "Bird", "/m/015p6", 0.5), Event(0.2, 0.7, "Frog", "/m/09ld4", 0.5))
    formats.write(
        form, target, [Recording(str(Path("a.wav").resolve()), events, channels=(0, 1))], Layout(channels=True)
    )
    return target.getvalue()


def test_left_and_right_are_channels() -> None:
    found = channels(read("t.csv", "file,channel,label\na.wav,Right,hum\nb.wav,L,hiss\n", "table"))
    assert found == [("a.wav", 1, "hum"), ("b.wav", 0, "hiss")]


def test_a_cell_that_is_no_number_of_a_channel_is_that_rows_problem() -> None:
    with pytest.raises(LabelsError) as raised:
        read("t.csv", "file,channel,label\na.wav,middle,hum\nb.wav,,hiss\n", "table")
    assert "a.wav: 'middle' in 'channel' is no number of a channel, from 0" in str(raised.value)
    assert "b.wav: nothing in 'channel' is no number of a channel, from 0" in str(raised.value)
    with pytest.raises(LabelsError, match=r"'0' in 'Channel' is no number of a channel, from 1"):
        read("a.txt", "Channel\tBegin Time (s)\tEnd Time (s)\tAnnotation\n0\t0\t1\thum\n1\t0\t1\thiss\n", "table")
    pandas = pa.table({"file": ["a.wav", "b.wav", "mono.wav"], "channel": [0.0, 1.0, None], "label": ["x", "y", "x"]})
    pq.write_table(pandas, "t.parquet")
    some = read_labelled("t.parquet", LabelOptions(channel="table", skip=True))
    assert channels(some) == [("a.wav", 0, "x"), ("b.wav", 1, "y")]
    assert "left out" in some.notes[0]


def test_what_is_mixed_is_said() -> None:
    rows = "file,channel,label\na.wav,{},hum\nb.wav,{},hiss\n"
    (note,) = read("t.csv", rows.format(0, 1)).notes
    assert note == (
        "the mean of all channels is heard, whatever the column 'channel' says ('0', '1'); the option `channel` "
        "`table` takes what it says"
    )
    assert "channel 0, from 0, of all is heard" in read("t.csv", rows.format(1, 1), 0).notes[0]
    assert not read("t.csv", rows.format(1, 1), 1).notes
    # All rows say the first channel: whether there are others is in the file.
    assert read("t.csv", rows.format(0, 0)).notes
    shutil.copy("mono.wav", "a.wav")
    assert read("t.csv", rows.format(0, 0)).notes
    shutil.copy("mono.wav", "b.wav")
    assert not read("t.csv", rows.format(0, 0)).notes
    assert read("t.csv", rows.format("left", "right")).notes


def test_what_contradicts_itself_only_when_mixed() -> None:
    with pytest.raises(LabelsError, match=r"contradict(.|\n)*column 'channel': `channel` `table` keeps them apart"):
        read("t.csv", TABLE)


def test_one_channel_of_any_layout() -> None:
    for label in ("hum", "hiss"):
        (Path("d") / label).mkdir(parents=True)
        shutil.copy("a.wav", Path("d", label, f"{label}.wav"))
    found = read_labelled("d", LabelOptions(channel=1))
    assert {item.channel for item in found.items} == {1}
    assert found.about().endswith("; channel 1, counted from 0")
    with pytest.raises(InvalidOption, match="layout folders, in which no column says a channel"):
        read_labelled("d", LabelOptions(channel="table"))
    with pytest.raises(LabelsError, match=r"t\.csv has no column 'channel', but 'label' beside that of files"):
        read("t.csv", "file,label\na.wav,hum\nb.wav,hiss\n", "table")
    with pytest.raises(InvalidOption, match="'mean', 'table' or the number of a channel"):
        LabelOptions(channel="each")


def test_channels_of_one_file_are_other_sounds_of_one_recording() -> None:
    shutil.copy("a.wav", "copy.wav")
    items = [Item("a.wav", 0), *(Item(name, 0, channel=n) for name in ("a.wav", "copy.wav") for n in (0, 1))]
    mean, first, second, *copies = digests_of(items)
    assert len({mean, first, second}) == 3
    assert copies == [first, second]
    assert len(set(contents_of(items))) == 1
    found = read("t.csv", TABLE, "table")
    assert [one.rows for one in bonds(found) if one.bond is Bond.RECORDING] == [(0, 1)]


def test_a_file_without_the_channel_is_named() -> None:
    ((row, why),) = unreadable([Item("a.wav", 0, channel=1), Item("mono.wav", 0, channel=1)])
    assert row == 1
    assert "mono.wav has 1 channel, number 0; there is no channel 1" in why


def test_options_for_what_has_been_read_are_refused() -> None:
    """They would do nothing, but for the one that says what becomes of sounds that cannot be decoded."""
    found = read("t.csv", TABLE, "table")
    assert as_labelled(found, LabelOptions()) is found
    assert as_labelled(found, LabelOptions(skip=True)) is found
    assert as_labelled("t.csv", LabelOptions(channel="table")).channels == (0, 1)
    with pytest.raises(InvalidOption, match=r"^'group', 'channel' would do nothing here: t.csv has been read already"):
        as_labelled(found, LabelOptions(channel=1, group="file"))

"""Sounds inside tar and HDF5 files that lists, tables and tracks call by their names."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.event_detection import Event, formats
from hear_edgel3.event_detection.records import Layout, Recording
from hear_edgel3.labels import LabelOptions, read_labelled
from hear_edgel3.labels.contents import digests_of
from hear_edgel3.sources import members, opening
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import Listing, list_items
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.sources.tables import TableOptions
from support.jobs import rows, run_extract

NAMES = ("a.wav", "in/b.wav", "./in/c.wav")
SHARDS = ("s.tar", "s.tar.gz")
PACKED = pytest.mark.parametrize("shard", SHARDS)


def sound(number: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(16000, 0.1 * (number + 1)), 8000, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for shard, mode in {"s.tar": "w", "s.tar.gz": "w:gz"}.items():
        with tarfile.open(shard, mode) as tar:  # type: ignore[call-overload]
            for number, name in enumerate(NAMES):
                info = tarfile.TarInfo(name)
                info.size = len(sound(number))
                tar.addfile(info, io.BytesIO(sound(number)))


def listed(*sources: str, **options: object) -> Listing:
    return list_items(sources, TableOptions(**options))  # type: ignore[arg-type]


def heard(items: list[Item]) -> list[tuple[str, float, float]]:
    """What is heard in each: its name, how long it is and how loud."""
    opener, found = ItemOpener(""), []
    for item in items:
        with opener.open(item) as file:
            samples = np.concatenate([block.numpy().ravel() for block in file.blocks()])
        found.append((item.file, len(samples) / 8000, round(float(samples[0]), 3)))
    opener.close()
    return found


@PACKED
def test_a_table_of_members(shard: str) -> None:
    Path("t.csv").write_text(f"file,start,end\n{shard}/in/b.wav,0,0.5\n{shard}/a.wav,1,\n{shard}/in/b.wav,0.5,0.75\n")
    listing = listed("t.csv")
    assert heard(listing.items) == [
        (f"{shard}/in/b.wav", 0.5, 0.2),
        (f"{shard}/a.wav", 1.0, 0.1),
        (f"{shard}/in/b.wav", 0.25, 0.2),
    ]
    assert {item.shard for item in listing.items} == {shard}
    assert listing.failures == []


@PACKED
def test_lists_and_sources_name_them(shard: str, tmp_path: Path) -> None:
    Path("deep").mkdir()
    Path("deep/list.txt").write_text(f"../{shard}/a.wav\n{tmp_path}/{shard}/in/c.wav\n")
    assert heard(listed("deep/list.txt").items) == [
        (f"deep/../{shard}/a.wav", 2.0, 0.1),
        (f"{tmp_path}/{shard}/./in/c.wav", 2.0, 0.3),  # as it is called inside
    ]
    assert heard(listed(f"{shard}/in/b.wav").items) == [(f"{shard}/in/b.wav", 2.0, 0.2)]


def test_what_is_not_there_is_named() -> None:
    Path("damaged.tar").write_bytes(b"no tar file" * 100)
    Path("t.csv").write_text("file,start,end\ns.tar/x.wav,0,1\ndamaged.tar/a.wav,0,1\nnone.tar/a.wav,0,1\n")
    first, second, third = listed("t.csv").items
    assert first.error == "s.tar has no audio file called x.wav"
    assert "damaged.tar cannot be read as a tar file" in (second.error or "")
    assert third.error is None  # as of any other file that is not there, opening it says so
    (failure,) = listed("s.tar/x.wav").failures
    assert str(failure[1]) == "s.tar has no audio file called x.wav"
    (failure,) = listed("s.tar/").failures
    assert failure[0] == "s.tar/"


def test_what_is_really_there_goes_before(tmp_path: Path) -> None:
    """A folder may be called like a tar file."""
    folder = Path("f.tar")
    folder.mkdir()
    (folder / "a.wav").write_bytes(sound(6))
    Path("t.csv").write_text("file,start,end\nf.tar/a.wav,0,1\n")
    assert heard(listed("t.csv").items) == [("f.tar/a.wav", 1.0, 0.7)]


def test_each_file_is_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    inside = members.items_inside
    monkeypatch.setattr(members, "items_inside", lambda path, note: (calls.append(path), inside(path, note))[1])
    Path("t.csv").write_text("file\n" + "".join(f"{shard}/{name}\n" for name in NAMES for shard in SHARDS))
    assert len(heard(listed("t.csv").items)) == 6
    assert sorted(calls) == sorted(SHARDS)


def test_clips_of_one_packed_sound_unpack_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_tar = opening.open_tar
    monkeypatch.setattr(opening, "open_tar", lambda path: (opened.append(path), open_tar(path))[1])
    Path("t.csv").write_text("file,start,end\n" + "".join(f"s.tar.gz/a.wav,0.{i},1\n" for i in range(9)))
    assert len(heard(listed("t.csv").items)) == 9
    assert len(opened) == 1


def test_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("s.hdf5", "w") as file:
        file["audio_name"] = np.array([b"x.wav", b"y.wav"])
        rows_ = file.create_dataset("mp3", 2, h5py.vlen_dtype(np.uint8))
        for number in range(2):
            rows_[number] = np.frombuffer(sound(number), np.uint8)
    Path("t.csv").write_text("file,start,end,label\ns.hdf5/y.wav,0,1,hum\ns.hdf5/x.wav,1,2,buzz\n")
    assert heard(listed("t.csv").items) == [("s.hdf5/y.wav", 1.0, 0.2), ("s.hdf5/x.wav", 1.0, 0.1)]
    assert read_labelled("t.csv").classes == ("buzz", "hum")


EVENTS = (Event(0.25, 1.5, "Bird", "/m/015p6", 0.75), Event(0.25, 1.5, "Frog", "/m/09ld4", 0.5))


@PACKED
@pytest.mark.parametrize(
    ("form", "name"),
    [
        *(("csv", "x.csv"), ("parquet", "x.parquet"), ("raven", "x.txt"), ("birdnet", "x.csv")),
        *(("kaleidoscope", "id.csv"), ("raven", "tracks"), ("audacity", "tracks")),
    ],
)
def test_what_events_writes_of_a_shard_is_learnt_from(form: str, name: str, shard: str) -> None:
    """In every format, by the names that it writes."""
    some = [Recording(item.file, EVENTS[: 1 + i], duration=2.0) for i, item in enumerate(listed(shard).items[:2])]
    if name != "tracks":
        with Path(name).open("wb") as file:
            formats.write(form, file, some, Layout())
    else:
        Path(name).mkdir()
        for one in some:
            with Path(name, Path(one.file).stem + ".txt").open("wb") as file:
                formats.write(form, file, [one], Layout())
    found = read_labelled(name, LabelOptions(audio=shard if form == "audacity" else None))
    assert found.classes == ("Bird", "Frog")
    assert {Path(item.file).name: row for item, row in zip(found.items, found.targets.tolist(), strict=True)} == {
        "a.wav": [1, 0],
        "b.wav": [1, 1],
    }
    assert {(Path(file).name, *more) for file, *more in heard(list(found.items))} == {
        ("a.wav", 1.25, 0.1),
        ("b.wav", 1.25, 0.2),
    }
    assert len(set(digests_of(found.items))) == 2


def test_tracks_of_several_members_of_one_name() -> None:
    with tarfile.open("twice.tar", "w") as tar:
        for name in ("x/a.wav", "y/a.wav"):
            info = tarfile.TarInfo(name)
            info.size = len(sound(0))
            tar.addfile(info, io.BytesIO(sound(0)))
    Path("a.txt").write_text("0.0\t1.0\thum\n")
    (failure,) = listed("a.txt", audio="twice.tar").failures
    said = "a may be x/a.wav or y/a.wav in twice.tar; --audio may be one of these folders in it"
    assert str(failure[1]).endswith(said)
    assert heard(listed("a.txt", audio="twice.tar/y").items) == [("twice.tar/y/a.wav", 1.0, 0.1)]
    track = Path("tracks/twice.tar/x/a.wav.txt")  # as `events` calls it
    track.parent.mkdir(parents=True)
    track.write_text("0.0\t1.0\thum\n1.0\t2.0\tbuzz\n")
    found = read_labelled("tracks", LabelOptions(audio="."))
    assert {item.file for item in found.items} == {"twice.tar/x/a.wav"}
    Path("damaged.tar").write_bytes(b"no tar file" * 100)
    (failure,) = listed("a.txt", audio="damaged.tar").failures
    assert "damaged.tar cannot be read as a tar file" in str(failure[1])
    (failure,) = listed("a.txt", audio="none.tar").failures
    assert "--audio says where the sound is: in which folder, tar or HDF5 file" in str(failure[1])


def test_extract_takes_clips_of_members(seeded_weights: Path) -> None:
    Path("t.csv").write_text("file,start,end\ns.tar.gz/in/b.wav,0,1.5\ns.tar.gz/a.wav,0.5,2\n")
    assert run_extract("t.csv", "--output", "out") == 0
    found = {(row["file"], row["start_s"], row["end_s"], row["error"]) for row in rows("out")}
    assert found == {("s.tar.gz/in/b.wav", 0.0, 1.5, None), ("s.tar.gz/a.wav", 0.5, 2.0, None)}


def test_train_from_what_events_has_written() -> None:
    """The command, to its end."""
    events = tuple(Event(k / 4, k / 4 + 0.25, ("Bird", "Frog")[k % 2], "", 0.5) for k in range(8))
    some = [Recording(f"s.tar/{name}", events) for name in ("a.wav", "in/b.wav")]
    with Path("x.csv").open("wb") as file:
        formats.write("csv", file, some, Layout())
    words = ["train", "--data", "x.csv", "--output", "detector", "--cache", "cache", "--quiet"]
    assert main(words) == 0
    assert "s.tar/in/b.wav" in Path("detector/split.csv").read_text()

"""Tables of clips in the forms that tools and data sets of this field write: a row per clip, with right times."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hear_edgel3.sources.lister import Listing, list_items
from hear_edgel3.sources.tables import TableOptions, open_list

pytestmark = pytest.mark.usefixtures("here")

ALL = TableOptions(keep=None)


def listed(path: str, text: str | bytes, options: TableOptions = TableOptions()) -> Listing:  # noqa: B008
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
    return list_items([path], options)


def clips(listing: Listing) -> list[tuple[str, float | None, float | None]]:
    assert listing.failures == []
    assert [item.error for item in listing.items if item.error] == []
    return [(item.file, item.start, item.end) for item in listing.items]


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    "names",
    [
        "file,start,end",
        "path,start_time,end_time",
        "filepath,start_seconds,end_seconds",
        "filename,onset,offset",
        "File,Start (s),End (s)",
        "file_name,start_s,end_s",
        "Begin Path,Begin Time (s),End Time (s)",
        "Begin File,Begin Time (s),End Time (s)",
        " audio_filepath , Start , END ",
        "# file, start, end",
    ],
)
def test_names_of_columns(names: str) -> None:
    table = f"{names}\na.wav,0.5,2\nb.wav,1e1,10.25\na.wav,2,3\n"
    expected = [("in/a.wav", 0.5, 2.0), ("in/b.wav", 10.0, 10.25), ("in/a.wav", 2.0, 3.0)]
    assert clips(listed("in/t.csv", table)) == expected
    assert clips(listed("in/t.tsv", table.replace(",", "\t"))) == expected
    assert clips(listed("in/t.csv", table.replace(",", ";"))) == expected
    for encoding in ("utf-8-sig", "utf-16"):
        assert clips(listed("in/t.csv", table.encode(encoding))) == expected
    assert clips(listed("in/t.csv", table.replace("\n", "\r\n"))) == expected


@pytest.mark.parametrize("first", ["sep={}", "SEP={}", '"sep={}"', "sep={}\r"])
@pytest.mark.parametrize("sign", [";", ",", "\t", "|"])
def test_excels_first_line(first: str, sign: str) -> None:
    """It names the sign between cells, in a table of any ending and encoding, and is no row of it."""
    rows = ["# of the farm", "file,start,end,label", "a.wav,0.5,2,hum", "b.wav,x,3,buzz"]
    table = "\n".join([first.format(sign), *(row.replace(",", sign) for row in rows), ""])
    for name, encoding in (("t.csv", "utf-8"), ("t.tsv", "utf-8-sig"), ("t.csv", "utf-16")):
        listing = list_items([_written(name, table.encode(encoding))], ALL)
        first_item, second = listing.items
        assert (first_item.file, first_item.start, first_item.end, first_item.kept) == ("a.wav", 0.5, 2.0, ("hum",))
        assert second.error == f"b.wav: its start 'x' is no number of seconds (row 5 of {name})"
        assert listing.columns == ["label"]


def _written(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name


def test_what_looks_like_excels_first_line() -> None:
    assert clips(listed("t.csv", "sep=;\nfile;start;end\na.wav;0,5;1,25\n")) == [("a.wav", 0.5, 1.25)]
    # Saved anew by what does not know the line.
    assert clips(listed("t.csv", "sep=;\nfile,start,end\na.wav,0.5,1.25\n")) == [("a.wav", 0.5, 1.25)]
    for line in ("sep=", "sep=;;", "sep=x", "separator=;"):
        [(_, error)] = listed("t.csv", f"{line}\nfile;start;end\na.wav;0;1\n").failures
        assert "it has no column that names files" in str(error)
    # Only the first line is one.
    assert listed("t.csv", "file;start;end\nsep=;\na.wav;0;1\n").items[0].file == "sep="


@pytest.mark.parametrize("names", ["file,start,duration", "audio_filepath,offset,duration", "IN FILE,OFFSET,DURATION"])
def test_a_start_and_a_length(names: str) -> None:
    assert clips(listed("t.csv", f"{names}\na.wav,0.5,2\n")) == [("a.wav", 0.5, 2.5)]


def test_parquet() -> None:
    columns = {"filename": ["a.wav", "b.wav"], "start": [0, 1], "end": [1.5, None], "n": [7, None], "l": [["x"], []]}
    pq.write_table(pa.table(columns), "t.parquet")
    listing = list_items(["t.parquet"], ALL)
    assert clips(listing) == [("a.wav", 0.0, 1.5), ("b.wav", 1.0, None)]
    assert listing.columns == ["n", "l"]
    assert [item.kept for item in listing.items] == [("7", '["x"]'), (None, "[]")]


def test_kaleidoscopes_folders() -> None:
    """Recorders of two sites call their files alike. The first folder may be that of another machine."""
    names = ("in/north/Data/1.wav", "in/south/1.wav", "in/1.wav")
    touch(*names)
    head, row = "INDIR,FOLDER,IN FILE,OFFSET,DURATION\n", ",1.wav,0,1\n"
    here = Path("in").resolve()
    table = f"{head}{here},north/Data{row}{here},south{row}{here},{row}"
    expected = [(str(Path(name).resolve()), 0.0, 1.0) for name in names]
    assert clips(listed("elsewhere/t.csv", table)) == expected
    lines = (line.split(",") for line in table.splitlines())
    columns = [pa.array(column[1:]) for column in zip(*lines, strict=True)]
    pq.write_table(pa.table(columns, names=head.strip().split(",")), "t.parquet")
    assert clips(list_items(["t.parquet"])) == expected
    other = table.replace(str(here), "C:\\field").replace("north/Data", "north\\Data")
    assert clips(listed("in/t.csv", other)) == [(name, 0.0, 1.0) for name in names]
    touch("flat/1.wav")
    assert clips(listed("flat/t.csv", f"{head}C:\\field,far{row}")) == [("flat/1.wav", 0.0, 1.0)]
    assert [item.file for item in listed("in/whole.csv", "FOLDER,IN FILE\nsouth,1.wav\n,1.wav\n").items] == [*names[1:]]


def test_audacity_labels() -> None:
    """A text beside the sound, without names of columns; lines with frequencies say nothing of times."""
    touch("in/rec.wav", "in/other.wav.x")
    text = '0.500000\t2.000000\towl\n\\\t100.0\t2000.0\n3.25\t4.5\tfox, "red"\n5\t6\n'
    listing = listed("in/rec.txt", text, ALL)
    assert clips(listing) == [("in/rec.wav", 0.5, 2.0), ("in/rec.wav", 3.25, 4.5), ("in/rec.wav", 5.0, 6.0)]
    assert listing.columns == ["label"]
    assert [item.kept for item in listing.items] == [("owl",), ('fox, "red"',), (None,)]
    assert clips(listed("in/rec.wav.txt", text)) == clips(listing)
    [(_, error)] = listed("in/lost.txt", text).failures
    assert "no column names files, and in has no audio file called as it is (lost.wav, for example)" in str(error)
    touch("in/rec.flac")
    [(_, error)] = listed("in/rec.txt", text).failures
    assert "rec may be rec.flac or rec.wav; give the ending too" in str(error)


def test_raven_selections() -> None:
    head = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
    touch("in/rec.wav")
    table = f"{head}\tSpecies\n1\tSpectrogram 1\t1\t0.25\t1.75\t100\t2000\towl\n"
    listing = listed("in/rec.Table.1.selections.txt", table, TableOptions(keep=("Species", "Selection")))
    assert clips(listing) == [("in/rec.wav", 0.25, 1.75)]
    assert (listing.columns, listing.items[0].kept) == (["Species", "Selection"], ("owl", "1"))
    # Of several files times run on from file to file; the offset is that in the file. Paths are another machine's.
    table = (
        f"{head}\tBegin Path\tBegin File\tFile Offset (s)\n"
        "1\tS\t1\t0.25\t1.75\t1\t2\tC:\\rec\\rec.wav\trec.wav\t0.25\n"
        "2\tS\t1\t61.5\t62\t1\t2\tC:\\rec\\two.wav\ttwo.wav\t1.5\n"
    )
    touch("in/two.wav")
    assert clips(listed("in/all.txt", table)) == [("in/rec.wav", 0.25, 1.75), ("in/two.wav", 1.5, 2.0)]


def test_birdnet_results() -> None:
    touch("in/rec.flac")
    table = "Start (s),End (s),Scientific name,Common name,Confidence\n0.0,3.0,Strix aluco,Tawny Owl,0.9\n"
    listing = listed("in/rec.BirdNET.results.csv", table + "0.0,3.0,Asio otus,Long-eared Owl,0.4\n", ALL)
    assert clips(listing) == [("in/rec.flac", 0.0, 3.0)] * 2
    assert listing.items[1].kept == ("Asio otus", "Long-eared Owl", "0.4")
    table = "Start (s),End (s),Common name,File\n0.0,3.0,Tawny Owl,rec.flac\n"
    assert clips(listed("in/x.csv", table)) == [("in/rec.flac", 0.0, 3.0)]


def test_audioset_segments() -> None:
    touch("audio/--4gqARaEJE.flac", "audio/Y-0BfyIxkvXY.wav")
    text = (
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# num_ytids=20371, num_segs=20371, num_unique_labels=527, num_positive_labels=51804\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n'
        '-0BfyIxkvXY, 30.000, 40.000, "/t/dd00129"\n'
        '-0gone, 30.000, 40.000, "/t/dd00129"\n'
    )
    options = TableOptions(keep=("positive_labels",), audio="audio")
    listing = listed("eval_segments.csv", text, options)
    assert clips(listing) == [
        ("audio/--4gqARaEJE.flac", 0.0, 10.0),
        ("audio/Y-0BfyIxkvXY.wav", 30.0, 40.0),
        ("audio/-0gone", 30.0, 40.0),
    ]
    assert listing.items[0].kept == ("/m/068hy,/m/07q6cd_",)
    whole = TableOptions(audio="audio", whole_files=True)
    assert clips(listed("eval_segments.csv", text, whole))[:2] == [
        ("audio/--4gqARaEJE.flac", None, None),
        ("audio/Y-0BfyIxkvXY.wav", None, None),
    ]


def test_esc50_fsd50k_and_urbansound8k() -> None:
    touch("audio/1-100032-A-0.wav", "dev/64760.wav", "us8k/fold5/100032-3-0-0.wav", "dev/two.wav", "dev/two.flac")
    table = "filename,fold,target,category,esc10,src_file,take\n1-100032-A-0.wav,1,0,dog,True,100032,A\n"
    listing = listed("meta/esc50.csv", table, TableOptions(keep=("fold", "category"), audio="audio"))
    assert clips(listing) == [("audio/1-100032-A-0.wav", None, None)]
    assert listing.items[0].kept == ("1", "dog")
    table = 'fname,labels,mids,split\n64760,"Electric_guitar,Guitar","/m/02sgy,/m/0342h",train\ntwo,x,x,x\n'
    listing = listed("FSD50K.ground_truth/dev.csv", table, TableOptions(audio="dev"))
    assert listing.items[0].file == "dev/64760.wav"
    assert "two may be two.flac or two.wav; give the ending too (row 3 of" in str(listing.items[1].error)
    # Its files are the clips: start and end are places in the recordings that they were cut from.
    table = "slice_file_name,fsID,start,end,salience,fold,classID,class\n100032-3-0-0.wav,100032,7.5,9.0,1,5,3,dog\n"
    assert clips(listed("us8k.csv", table, TableOptions(audio="us8k"))) == [("us8k/fold5/100032-3-0-0.wav", None, None)]


def test_a_table_that_names_files_twice_without_times_is_refused() -> None:
    [(source, error)] = listed("t.csv", "file,label\na.wav,x\nb.wav,y\na.wav,z\n").failures
    assert source == "t.csv"
    assert "it names a.wav twice (the second time in row 4), and has no columns that say where clips begin" in str(
        error
    )
    [(_, error)] = listed("t.csv", "file,start\na.wav,1\n").failures
    assert "its column 'start' says where clips begin, but no column says where they end" in str(error)
    assert clips(listed("t.csv", "file,start\na.wav,1\n", TableOptions(whole_files=True))) == [("a.wav", None, None)]
    # Text with a path per line names each once, however often it is there.
    assert len(listed("t.txt", "a.wav\na.wav\n").items) == 2


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("a\0b.wav,0,1", None),
        ("a.wav,x,1", "a.wav: its start 'x' is no number of seconds (row 3 of t.csv)"),
        ("a.wav,0:01,0:02", "a.wav: its start '0:01' is no number of seconds (row 3 of t.csv)"),
        ("a.wav,nan,1", "a.wav: its start 'nan' is no number of seconds (row 3 of t.csv)"),
        ("a.wav,0,inf", "a.wav: its end 'inf' is no number of seconds (row 3 of t.csv)"),
        ("a.wav,-1,1", "a.wav: the clip begins at -1 s, before the file (row 3 of t.csv)"),
        ("a.wav,2,2", "a.wav: the clip from 2 s to 2 s has no length (row 3 of t.csv)"),
        ("a.wav,3,2", "a.wav: the clip from 3 s to 2 s has no length (row 3 of t.csv)"),
        (",3,4", "row 3 of t.csv names no file"),
        ("s.tar,3,4", "s.tar: a clip can be of an audio file, not of a tar file (row 3 of t.csv)"),
    ],
)
def test_nonsense_spoils_its_row(row: str, error: str | None) -> None:
    listing = listed("t.csv", f"file,start,end\ngood.wav,0,1\n{row}\n\n# a comment\nalso.wav,1,2\nwhole.wav,,\n")
    assert listing.failures == []
    first, spoilt, *rest = listing.items
    assert spoilt.error == error
    assert [(item.file, item.start, item.end, item.error) for item in (first, *rest)] == [
        ("good.wav", 0.0, 1.0, None),
        ("also.wav", 1.0, 2.0, None),
        ("whole.wav", None, None, None),
    ]


def test_columns_that_are_kept() -> None:
    Path("a.csv").write_text("file,x,y,,x\na.wav,1,2,3,4\n")
    Path("b.csv").write_text("z,y,file\n5,6,b.wav\n")
    listing = list_items(["a.csv", "b.csv"], ALL)
    assert listing.columns == ["x", "y", "column_4", "x_5", "z"]
    assert [item.kept for item in listing.items] == [("1", "2", "3", "4"), (None, "6", None, None, "5")]
    listing = list_items(["a.csv", "b.csv"], TableOptions(keep=("x",)))
    assert [item.file for item in listing.items] == ["a.wav"]
    [(_, error)] = listing.failures
    assert str(error) == "b.csv cannot be read as a list of files: it has no column 'x' to keep, but 'z', 'y', 'file'"


def test_bytes_that_are_no_text_stay() -> None:
    Path(os.fsdecode(b"\xe9.wav")).touch()
    [item] = listed("t.csv", b"file,start,end\n\xe9.wav,0,1\n").items
    assert item.file == r"\xe9.wav"


def test_columns_of_one_name_in_parquet(tmp_path: Path) -> None:
    values = [pa.array(["7"]), pa.array(["a.wav"]), pa.array([1]), pa.array([2])]
    pq.write_table(pa.table(values, names=["z", "file", "x", "x"]), tmp_path / "t.parquet")
    with open_list(str(tmp_path / "t.parquet"), TableOptions(keep=None)) as table:
        assert table.kept == ("z", "x", "x_4")
        assert [(row.file, row.kept) for row in table.rows] == [("a.wav", ("7", "1", "2"))]


def test_names_in_another_encoding_than_utf_8_are_told() -> None:
    """As Excel writes CSV where it is not asked for UTF-8."""
    touch("Höhe/a.wav", "b.wav")
    text = "file;start;end\nHöhe/a.wav;0;0,5\nb.wav;0;0,5\n"
    listing = listed("t.csv", text.encode("cp1252"))
    assert [item.error is None for item in listing.items] == [False, True]
    error = listing.items[0].error or ""
    assert r"H\xf6he/a.wav: there is no such file, and this name is not in UTF-8" in error
    assert "save the list in UTF-8" in error
    assert "(row 2 of t.csv)" in error
    assert clips(listed("t.csv", text)) == clips(listed("t.csv", text.encode("utf-16")))


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_of_files_that_are_no_text_are_found() -> None:
    Path(os.fsdecode(b"H\xf6he.wav")).touch()
    (item,) = listed("t.csv", b"file\nH\xf6he.wav\n").items
    assert item.error is None

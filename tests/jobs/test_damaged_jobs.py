"""What a job keeps for itself, damaged in every way: each is named, with what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.disk import durable
from hear_edgel3.errors import DatasetError
from hear_edgel3.jobs.writer import _failed_rows
from support.files import write_clip
from support.jobs import clips, files

JOB, ITEMS = Path("out/_job/00000/job.json"), Path("out/_job/00000/items.table")
PART = Path("out/part-000-000001.parquet")


@pytest.fixture(autouse=True)
def _begun() -> None:
    clips()
    extract(partition=(0, 2))


def extract(**options: Any) -> hear_edgel3.jobs.Summary:
    return hear_edgel3.extract("in", "out", files_per_part=2, workers=1, **options)


def job(**changes: object) -> str:
    return json.dumps({**json.loads(JOB.read_text()), **changes})


def described(**changes: object) -> str:
    return job(description={**json.loads(JOB.read_text())["description"], **changes})


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: "",
        lambda: "{",
        lambda: "[]",
        lambda: "null",
        lambda: "7",
        lambda: "{}",
        lambda: "[" * 100_000,
        lambda: '{"a":' * 100_000,
        lambda: job(folder=7),
        lambda: job(folder=None),
        lambda: job(net_engine=["auto"]),
        lambda: job(description=[1]),
        lambda: job(description={}),
        lambda: job(description="tiny"),
        lambda: job(format=[1]),
        lambda: job(format=2),
        lambda: job(format="x" * 10_000),
        lambda: json.dumps({k: v for k, v in json.loads(JOB.read_text()).items() if k != "folder"}),
        lambda: described(size=[224]),
        lambda: described(size=10**12),
        lambda: described(hop_ms=[1]),
        lambda: described(configuration=None),
        lambda: described(colour="red"),
    ],
)
def test_job_json(damaged: Callable[[], str], capsys: pytest.CaptureFixture[str]) -> None:
    good = JOB.read_text()
    JOB.write_text(damaged())
    with pytest.raises(DatasetError, match=r"job\.json (cannot be read|has format).*give another --output") as raised:
        extract()
    assert len(str(raised.value)) < 1000
    assert main(["extract", "in", "--output", "out", "--workers", "1"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    JOB.write_text(good)
    assert extract().parts_done == 1


def test_job_json_that_is_no_text() -> None:
    JOB.write_bytes(b"\xff\xfe" + JOB.read_bytes())
    with pytest.raises(DatasetError, match=r"job\.json cannot be read"):
        extract()


def rewritten(change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(ITEMS)
    pq.write_table(change(table), ITEMS, row_group_size=2)


def nameless(table: pa.Table) -> pa.Table:
    return table.set_column(0, pa.field("file", pa.string()), pa.array([None, *table["file"].to_pylist()[1:]]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda: ITEMS.write_bytes(b""),
        lambda: ITEMS.write_bytes(ITEMS.read_bytes()[:-50]),
        lambda: ITEMS.write_bytes(ITEMS.read_bytes()[:60]),
        lambda: ITEMS.write_bytes(b"not a table"),
        lambda: ITEMS.write_bytes(ITEMS.read_bytes()[:4] + bytes(300) + ITEMS.read_bytes()[304:]),
        lambda: (ITEMS.unlink(), ITEMS.mkdir()),
        ITEMS.unlink,
        lambda: rewritten(lambda table: table.drop_columns(["size"])),
        lambda: rewritten(lambda table: table.rename_columns({"offset": "place"})),
        lambda: rewritten(lambda table: table.set_column(1, "size", pa.array(["1"] * 6))),
        lambda: rewritten(lambda table: table.set_column(0, "file", pa.array([[1]] * 6))),
        lambda: rewritten(nameless),
    ],
)
def test_items(damage: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> None:
    damage()
    with pytest.raises(
        DatasetError, match=r"items\.table, the list of what there is to embed, is damaged .*; move .* away"
    ):
        extract()
    assert main(["extract", "in", "--output", "out", "--workers", "1"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert len(Dataset("out")) == 4  # what is there can still be read


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["error"]),
        lambda table: table.slice(0, 0),
        lambda table: table.replace_schema_metadata({}),
        lambda table: table.replace_schema_metadata({b"hear_edgel3": b"[]"}),
        lambda table: with_seen(table, b"{"),
        lambda table: with_seen(table, b"[" * 100_000),
        lambda table: with_seen(table, b"[]"),
        lambda table: with_seen(table, b"[[1,2]]"),
        lambda table: with_seen(table, b"[[1,2],[1]]"),
        lambda table: with_seen(table, b'[[1,2],["1",2]]'),
        lambda table: with_seen(table, b"7"),
    ],
)
def test_parts(change: Callable[[pa.Table], pa.Table]) -> None:
    extract()
    pq.write_table(change(pq.read_table(PART)), PART)
    with pytest.raises(DatasetError, match=r"000001\.parquet is damaged.*delete it, and the same command"):
        extract()
    PART.unlink()
    assert extract().parts_done == 1
    assert len(files()) == 6


def with_seen(table: pa.Table, text: bytes) -> pa.Table:
    return table.replace_schema_metadata({**table.schema.metadata, b"hear_edgel3.sources": text})


def test_a_part_of_another_job() -> None:
    extract()
    hear_edgel3.extract("in", "other", "sea_64", files_per_part=2, workers=1)
    PART.write_bytes((Path("other") / PART.name).read_bytes())
    with pytest.raises(DatasetError, match=r"000001\.parquet is damaged: it is not of this job; delete it"):
        extract()


def test_error_rows_are_counted_without_statistics() -> None:
    Path("in/2.wav").write_bytes(b"")
    extract()
    extract()
    table = pq.read_table(PART)
    pq.write_table(table, PART, write_statistics=False)
    assert extract().failed_before == 1


def test_the_footer_is_not_asked_about_columns() -> None:
    """Of a damaged one pyarrow ends the process then, as no other reading of a part does."""
    Path("in/2.wav").write_bytes(b"")
    extract()
    with pq.ParquetFile(PART) as opened:
        assert _failed_rows(SimpleNamespace(iter_batches=opened.iter_batches)) == 1


def test_all_is_flushed_before_it_is_said_to_be_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the bytes, the names inside a new folder, its own name, and the folders above."""
    calls: list[str] = []
    here = os.getcwd()

    def name(handle: int) -> str:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), here)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("files are told by their numbers only where /proc is")
    fsync, rename, replace = os.fsync, os.rename, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(name(handle)), fsync(handle))[1])
    monkeypatch.setattr(os, "rename", lambda *names: (calls.append("rename"), rename(*names))[1])
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), replace(*names))[1])
    hear_edgel3.extract("in", "deep/new", workers=1)
    temporary = calls[2].rpartition("/")[0]
    assert calls == [
        "deep",
        ".",
        f"{temporary}/job.json",
        f"{temporary}/items.table",
        temporary,
        "rename",
        "deep/new/_job",
        "deep/new",
        next(call for call in calls if call.startswith("deep/new/.part-000-000000.parquet.")),
        "replace",
        "deep/new",
    ]


def test_file_systems_that_cannot_flush_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*arguments: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(durable.os, "fsync", cannot)
    durable.sync_folder(".")
    with pytest.raises(OSError, match="Invalid argument"):
        durable.sync_file(write_clip("x.wav"))


def test_an_output_whose_name_is_not_utf8() -> None:
    output = os.fsdecode(b"o\xff")
    try:
        os.mkdir(output)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    summary = hear_edgel3.extract("in", output, files_per_part=2, workers=1, partition=(0, 2))
    assert (summary.parts_done, summary.failed) == (2, 0)
    assert hear_edgel3.extract("in", output, workers=1).parts_kept == 2
    assert len(Dataset(output)) == 6
    assert main(["extract", "in", "--output", output, "--workers", "1", "--json"]) == 0

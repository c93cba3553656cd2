"""Jobs that go on after something has changed: their sources, the release, or how older versions laid them out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.errors import InvalidOption
from hear_edgel3.jobs import plan, run
from hear_edgel3.recorded import TimeAndPlace
from support.files import write_clip
from support.jobs import clips, files, rows, table


def extract(**options: Any) -> hear_edgel3.jobs.Summary:
    return hear_edgel3.extract("in", "out", files_per_part=2, workers=1, **options)


def stamps() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Dataset("out").parts}


@pytest.mark.parametrize("change", ["grown", "same size", "bad before", "gone before"])
def test_a_source_that_has_changed_is_done_anew(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    sources = clips()
    if change == "bad before":
        Path(sources[3]).write_bytes(b"")
    if change == "gone before":
        plan_only = Path(sources[3]).read_bytes()
        extract(partition=(0, 3))
        Path(sources[3]).unlink()
        assert extract().failed == 1
        Path(sources[3]).write_bytes(plan_only)
    else:
        extract()
    before, old = stamps(), rows()
    if change == "grown":
        write_clip(sources[3], 2.0, seed=3)
    elif change == "same size":
        write_clip(sources[3], 1.0, seed=33)
    elif change == "bad before":
        write_clip(sources[3], 1.0, seed=3)
    summary = extract()
    assert (summary.changed, summary.parts_done, summary.parts_kept, summary.failed) == (1, 1, 2, 0)
    after = stamps()
    assert [name for name in before if before[name] != after[name]] == ["part-000-000001.parquet"]
    hear_edgel3.extract("in", "fresh", files_per_part=2, workers=1)
    assert table().equals(table("fresh"))
    assert rows()[3] != old[3]
    assert extract().changed == 0
    os.utime(sources[0], ns=(5, 5))
    capsys.readouterr()
    assert main(["extract", "in", "--output", "out", "--workers", "1"]) == 0
    assert "1 files had changed since they were embedded, and were done anew" in capsys.readouterr().err


def test_a_source_that_grows_while_it_is_read_is_done_anew_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was like before it was read is what counts."""
    from hear_edgel3.audio.file import AudioFile

    sources = clips()
    blocks = AudioFile.blocks

    def grows(self: AudioFile) -> Any:
        yield from blocks(self)
        if self.path.name == "5.wav":
            write_clip(sources[5], 3.0)

    with monkeypatch.context() as patched:
        patched.setattr(AudioFile, "blocks", grows)
        extract()
    assert rows()[5]["duration_s"] == 1.0
    assert extract().changed == 1
    assert rows()[5]["duration_s"] == 3.0


def test_members_of_a_shard_that_was_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = clips()
    shutil.make_archive("s", "tar", "in")
    hear_edgel3.extract("s.tar", "out", workers=1)
    assert hear_edgel3.extract("s.tar", "out", workers=1).changed == 0
    os.utime("s.tar", ns=(5, 5))
    summary = hear_edgel3.extract("s.tar", "out", workers=1)
    assert (summary.changed, summary.failed) == (len(sources), 0)


def test_sources_that_are_gone_keep_their_rows() -> None:
    clips()
    extract()
    before = stamps()
    shutil.rmtree("in")
    summary = hear_edgel3.extract([], "out", workers=1)
    assert (summary.changed, summary.parts_kept, summary.all_well) == (0, 3, True)
    assert stamps() == before


def test_a_release_that_changes_no_numbers_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clips()
    monkeypatch.setattr(run, "__version__", "0.0.1")
    extract(partition=(0, 3))
    monkeypatch.setattr(run, "__version__", "99.0")
    assert extract().parts_done == 2
    assert len(Dataset("out")) == 6
    said = [json.loads(pq.read_metadata(part).metadata[b"hear_edgel3"]) for part in Dataset("out").parts]
    assert [text["package_version"] for text in said] == ["0.0.1", "99.0", "99.0"]
    path = Path("out/_job/00000/job.json")
    path.write_text(path.read_text().replace('"embedding_version": 2', '"embedding_version": 7'))
    with pytest.raises(InvalidOption, match="begun with embedding_version 7, and now 2"):
        extract()


def as_it_was_laid_out_before() -> None:
    """The folder of a job as versions before this one wrote it."""
    for items in Path("out/_job").glob("*/items.table"):
        items.rename(items.with_name("items.parquet"))
    for part in Path("out").glob("*.parquet"):
        written = pq.ParquetFile(part)
        only = {k: v for k, v in written.schema_arrow.metadata.items() if k == b"hear_edgel3"}
        old = written.read().replace_schema_metadata(only)
        written.close()
        pq.write_table(old, part)


def test_a_job_of_an_older_version_goes_on() -> None:
    sources = clips()
    extract(partition=(0, 3))
    as_it_was_laid_out_before()
    assert b"hear_edgel3.sources" not in pq.read_metadata("out/part-000-000000.parquet").metadata
    write_clip("in/new.wav")
    write_clip(sources[0], 3.0)  # what it was like before is not known
    summary = extract()
    assert (summary.parts_kept, summary.parts_done, summary.changed) == (1, 3, 0)
    assert files() == [*sources, "in/new.wav"]
    assert sorted(os.listdir("out/_job/00000")) == ["items.parquet", "job.json"]
    assert os.listdir("out/_job/00001") == ["items.table"]
    assert extract().parts_kept == 4


def test_only_data_end_in_parquet() -> None:
    """DuckDB and Hugging Face datasets take all such files below the folder for data."""
    clips()
    extract()
    write_clip("in/new.wav")
    extract()
    assert sorted(path.as_posix() for path in Path("out").rglob("*.parquet")) == [
        f"out/part-{part}.parquet" for part in ("000-000000", "000-000001", "000-000002", "001-000000")
    ]
    assert len(plan.parts_of(plan.Job(os.path.abspath("out"), os.getcwd(), Dataset("out").description, "auto"))) == 4


def test_threads_of_the_caller_and_the_net_are_as_before() -> None:
    import torch

    from hear_edgel3.jobs.worker import _loaded

    clips()
    torch.set_num_threads(2)
    try:
        extract(threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert _loaded.cache_info().currsize == 0


def test_a_job_that_goes_on_says_when_its_new_files_were_recorded() -> None:
    """As it was asked to when it began, by a pattern of its own."""
    asked = TimeAndPlace(pattern="r%Y-%m-%d %H.%M")
    write_clip("in/r2024-05-01 21.30.wav", 0.5)
    extract(recorded=asked)
    write_clip("in/r2024-05-02 06.00.wav", 0.5)
    extract(recorded=asked)
    assert [row["recorded_at"][:16] for row in rows()] == ["2024-05-01T21:30", "2024-05-02T06:00"]
    with pytest.raises(InvalidOption, match="recorded"):
        extract()

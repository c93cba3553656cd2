"""Parts of a job: what is kept, what is added, and how it is cut."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.errors import DatasetError, InvalidOption, MissingExtra, WeightsMismatch
from hear_edgel3.jobs import manifest, partition, plan, worker
from hear_edgel3.jobs.manifest import Item
from support.files import write_clip
from support.jobs import clips, files, rows, run_extract, sea_description
from support.paths import DATA


def test_a_finished_part_is_not_touched() -> None:
    clips()
    hear_edgel3.extract("in", "out", files_per_part=4, workers=1)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in Dataset("out").parts}
    summary = hear_edgel3.extract("in", "out", workers=1)
    assert (summary.files, summary.parts, summary.parts_kept, summary.parts_done) == (0, 2, 2, 0)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in Dataset("out").parts} == before
    assert summary.all_well


def test_new_files_become_new_parts_and_vanished_ones_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    clips()
    hear_edgel3.extract("in", "out", files_per_part=4, workers=1, partition=(0, 2))
    write_clip("in/0new.wav")
    write_clip("elsewhere/b.wav")
    Path("in/5.wav").unlink()
    Path("in/0.wav").unlink()  # was embedded already
    summary = hear_edgel3.extract(["in", "elsewhere"], "out", workers=1)
    assert (summary.files, summary.failed, summary.parts_kept) == (4, 1, 1)
    assert files() == [f"in/{i}.wav" for i in range(6)] + ["in/0new.wav", "elsewhere/b.wav"]
    assert [row["file"] for row in rows() if row["error"]] == ["in/5.wav"]
    # From another folder the same files are the same, and new ones get names that are good there and here.
    Path("other").mkdir()
    monkeypatch.chdir("other")
    write_clip("c.wav")
    summary = hear_edgel3.extract(["../in", "c.wav"], "../out", workers=1)
    assert summary.files == 1
    assert files("../out")[-1] == os.path.abspath("c.wav")
    assert hear_edgel3.extract([], "../out", workers=1).files == 0


def test_retry_failed() -> None:
    sources = clips()
    good = Path(sources[5]).read_bytes()
    Path(sources[5]).write_bytes(b"")
    assert run_extract("in", "--files-per-part", "3") == 1
    assert run_extract("in") == 1  # it still has failed
    first = Path("out/part-000-000000.parquet").stat().st_mtime_ns
    Path(sources[5]).write_bytes(good)
    assert run_extract("--retry-failed") == 0
    assert [row["error"] for row in rows()] == [None] * 6
    assert Path("out/part-000-000000.parquet").stat().st_mtime_ns == first


def test_other_options_are_refused(weights_folder: Path, tmp_path: Path) -> None:
    write_clip("a.wav")
    assert run_extract("a.wav", "--config", "sea_64") == 0
    for options, message in (
        ({"config": "tiny"}, "out was begun with configuration sea_64, and now tiny; "),
        ({"config": "sea_64", "timestamps": True}, "rows scenes, and now timestamps. Give the same"),
        ({"config": "sea_64", "dtype": "float16"}, "dtype float32, and now float16. Give the same"),
        ({"config": "sea_64", "engine": "eager"}, "engine numba, and now eager. Give the same"),
    ):
        with pytest.raises(InvalidOption, match=message):
            hear_edgel3.extract("a.wav", "out", **options)  # type: ignore[arg-type]
    assert main(["extract", "a.wav", "--output", "out", "--config", "tiny"]) == 2


def recorded_engine() -> str:
    return json.loads(Path("out/_job/00000/job.json").read_text())["net_engine"]


@pytest.mark.parametrize("begun", ["numba", "torch", "as an earlier version"])
def test_a_job_goes_on_with_the_engine_that_it_was_begun_with(begun: str, without) -> None:
    """All rows of a dataset are made by one engine, whatever is installed later."""
    write_clip("a.wav")
    write_clip("b.wav", seed=1)
    if begun == "torch":
        with pytest.MonkeyPatch.context() as patch:
            find = importlib.util.find_spec
            patch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "numba" else find(name))
            hear_edgel3.extract("a.wav", "out", workers=1)
    else:
        hear_edgel3.extract("a.wav", "out", workers=1)
    if begun == "as an earlier version":  # which recorded "auto", and took torch for this family
        path = Path("out/_job/00000/job.json")
        path.write_text(path.read_text().replace('"numba"', '"auto"'))
    else:
        assert recorded_engine() == begun
    hear_edgel3.extract("b.wav", "out", workers=1)
    found = {os.path.basename(row["file"]): row["embedding"] for row in rows()}
    made = {}
    for engine in ("numba", "torch"):
        hear_edgel3.extract("b.wav", engine, engine=engine, workers=1)
        made[engine] = rows(engine)[0]["embedding"]
    assert made["numba"] != made["torch"]  # in their last bits
    assert found["b.wav"] == made["numba" if begun == "numba" else "torch"]
    if begun == "numba":
        with pytest.raises(InvalidOption, match=r"engine numba, which runs on the CPU alone. Give device cpu to go on"):
            hear_edgel3.extract("b.wav", "out", device="cuda")
        without("numba")
        with pytest.raises(MissingExtra, match=r"numba.*fast"):
            hear_edgel3.extract("b.wav", "out")


def test_a_worker_checks_the_weights(tmp_path: Path, weights_folder: Path) -> None:
    job = plan.Job("out", ".", sea_description(size=64, sha256="0" * 64), "auto")
    with pytest.raises(WeightsMismatch, match="the job was begun with other weights"):
        worker.model_of(job, worker.Resources("sea_64", str(weights_folder / "sea_64.safetensors")))


def test_processes_that_start_at_once_agree_on_the_parts() -> None:
    clips()
    job = plan.Job(os.path.abspath("out"), os.getcwd(), sea_description(), "auto")
    Path("out").mkdir()
    items = manifest.list_items(["in"]).items
    start = threading.Barrier(8)
    won = []

    def race(n: int) -> None:
        start.wait()
        won.append(plan.publish(job, 0, items[:n], 2))

    racers = [threading.Thread(target=race, args=(n,)) for n in (1, 2, 3, 4, 5, 6, 3, 4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert won.count(True) == 1
    assert os.listdir("out/_job") == ["00000"]
    assert sum(part.n_items for part in plan.parts_of(job)) in range(1, 7)


def test_parts_are_cut_by_count_and_bytes() -> None:
    small = [Item(f"{i}", 10) for i in range(1000)]
    assert [len(part) for part in plan.cut_into_parts(small, None)] == [256, 256, 256, 232]
    assert [len(part) for part in plan.cut_into_parts(small, 300)] == [300, 300, 300, 100]
    assert len(next(plan.cut_into_parts([Item("", 1)] * 1_000_000, None))) == 2048
    large = [Item(f"{i}", 20 << 20) for i in range(5)]
    assert [len(part) for part in plan.cut_into_parts(large, None)] == [1] * 5
    assert [len(part) for part in plan.cut_into_parts([Item("", 100 << 20)] * 1000, None)][:2] == [2, 2]
    packed = [Item("a", 1), *[Item(f"s.tgz/{i}", 1, "s.tgz", i) for i in range(400)], Item("t.tgz/0", 1, "t.tgz", 0)]
    assert [len(part) for part in plan.cut_into_parts([*packed, Item("b", 1)], None)] == [1, 400, 1, 1]
    assert list(plan.cut_into_parts([], None)) == []


def test_a_job_that_is_damaged(tmp_path: Path) -> None:
    write_clip("a.wav")
    assert run_extract("a.wav") == 0
    path = Path("out/_job/00000/job.json")
    good = path.read_text()
    path.write_text(good.replace('"format": 1', '"format": 9'))
    with pytest.raises(DatasetError, match="has format 9"):
        hear_edgel3.extract("a.wav", "out")
    path.write_text("{")
    with pytest.raises(DatasetError, match=r"job\.json cannot be read"):
        hear_edgel3.extract("a.wav", "out")
    path.unlink()
    with pytest.raises(DatasetError, match=r"job\.json cannot be read"):
        hear_edgel3.extract("a.wav", "out")
    path.write_text(good)
    items = path.with_name("items.table")
    items.rename("items.table")
    with pytest.raises(DatasetError, match=r"items\.table, the list of what there is to embed, is damaged"):
        hear_edgel3.extract("a.wav", "out")
    Path("items.table").rename(items)
    Path("out/part-000-000000.parquet").write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"is damaged .* delete it, and the same command makes it again"):
        hear_edgel3.extract("a.wav", "out")
    Path("out/part-000-000000.parquet").unlink()
    assert run_extract("a.wav") == 0


def test_nothing_begun_and_no_sources() -> None:
    with pytest.raises(InvalidOption, match="nothing was begun"):
        hear_edgel3.extract([], "out")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "3", "SLURM_PROCID": "7"}, (2, 3)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, (3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "5"}, (2, 3)),
        (
            {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "2"},
            (2, 3),
        ),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, (1, 4)),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}, (1, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}, (0, 1)),  # a batch script without srun
        (
            {
                "SLURM_ARRAY_TASK_ID": "1",
                "SLURM_ARRAY_TASK_COUNT": "2",
                "SLURM_PROCID": "2",
                "SLURM_STEP_NUM_TASKS": "3",
                "SLURM_JOB_ID": "1",
            },
            (5, 6),
        ),
    ],
)
def test_partitions_of_the_environment(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert partition.of_environment(environment) == expected


@pytest.mark.parametrize(
    "wrong", [{"RANK": "x", "WORLD_SIZE": "3"}, {"SLURM_ARRAY_TASK_STEP": "0"}, {"SLURM_ARRAY_TASK_ID": "9" * 5000}]
)
def test_environments_that_cannot_be(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="give --partition"):
        partition.of_environment({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", **wrong})


def test_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clips()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    summary = hear_edgel3.extract("in", "out", files_per_part=2, workers=1)
    assert (summary.files, summary.parts_done, summary.parts_left) == (2, 1, 2)
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(InvalidOption, match="no numbers"):
        hear_edgel3.extract("in", "out")
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(InvalidOption, match=r"partition 3/3 does not exist.*environment"):
        hear_edgel3.extract("in", "out")
    assert hear_edgel3.extract("in", "out", workers=1, partition=(0, 1)).files == 4


@pytest.mark.parametrize("text", ["1", "1/", "a/b", "2/2", "-1/2", "1/0"])
def test_partitions_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(DATA / "example.flac"), "--output", "out", f"--partition={text}"]) == 2
    assert "partition" in capsys.readouterr().err

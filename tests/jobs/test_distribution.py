"""Who does the parts, how many at once, from which folder, and what is said of it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.jobs import local, ray, run
from support.files import write_clip
from support.jobs import files

LENGTHS = (0.25, 1.0, 0.5)


@pytest.fixture(autouse=True)
def _clips() -> None:
    for i, seconds in enumerate(LENGTHS):
        write_clip(f"in/{i}.wav", seconds, 8000, i)


def test_ray_is_told_how_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int | None, float]] = []

    def here(
        job: Any, resources: Any, parts: Any, concurrency: int | None, num_gpus: float
    ) -> Generator[Any, None, None]:
        asked.append((concurrency, num_gpus))
        return local.run_here(job, resources, parts, lambda *_: None)

    monkeypatch.setattr(ray, "run", here)
    assert hear_edgel3.extract("in", "out", "sea_64", runner="ray", concurrency=3, num_gpus=0.5).all_well
    assert asked == [(3, 0.5)]


@pytest.mark.parametrize(("cpus", "threads", "workers"), [(5, 2, 2), (1, 2, 1)])
def test_as_many_processes_as_the_cpus_have_room_for(
    cpus: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def here(job: Any, resources: Any, parts: Any, n: int, report: Any, *_: object) -> Generator[Any, None, None]:
        asked.append(n)
        return local.run_here(job, resources, parts, report)

    monkeypatch.setattr(run, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(local, "run_in_processes", here)
    assert hear_edgel3.extract("in", "out", "sea_64", threads=threads, files_per_part=1).all_well
    assert asked == ([] if workers == 1 else [workers])


def test_names_in_a_table_are_below_the_folder_that_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tables").mkdir()
    Path("tables/t.csv").write_text("file\n2.wav\n1.wav\n")
    summary = hear_edgel3.extract("tables/t.csv", "out", "sea_64", audio="in", workers=1)
    assert [Path(file).name for file in files()] == ["2.wav", "1.wav"]
    assert (summary.files, summary.failed) == (2, 0)
    assert summary.seconds == LENGTHS[2] + LENGTHS[1]  # to the sample
    assert capsys.readouterr() == ("", "")  # Python's is quiet, unless it is asked not to be

"""Jobs: ``hear-edgel3 extract`` and ``hear_edgel3.extract``; what they find, compute, write, keep and say."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset, Description, embeddings_of
from hear_edgel3.disk.paths import path_of_text
from hear_edgel3.errors import AudioFileError, DatasetError, InvalidOption, OutputError, WeightsMismatch
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.window_net import embed_blocks, mean_embedding
from hear_edgel3.jobs import manifest, partition, plan, reading, writer
from hear_edgel3.jobs import worker as parts
from hear_edgel3.jobs.batching import Batcher
from hear_edgel3.jobs.manifest import Item
from support import signals

LENGTHS = (0.3, 1.0, 0.02, 1.0, 0.55, 1.0)  # seconds


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("RANK", "WORLD_SIZE", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def clip(path: str | Path, seconds: float = 0.5, rate: int = 8000, seed: int = 0) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signals.clip(seconds, rate, seed=seed), rate)
    return path


def clips(folder: str = "in", rate: int = 8000) -> list[str]:
    return [os.fspath(clip(f"{folder}/{i}.wav", seconds, rate, i)) for i, seconds in enumerate(LENGTHS)]


def table(folder: str | Path = "out") -> pa.Table:
    dataset = Dataset(folder)
    return pa.Table.from_batches(dataset.batches())


def rows(folder: str | Path = "out") -> list[dict[str, Any]]:
    return table(folder).to_pylist()


def files(folder: str | Path = "out") -> list[str]:
    return [row["file"] for row in rows(folder)]


def run(*arguments: str) -> int:
    return main(["extract", *arguments, "--output", "out", "--workers", "1", "--quiet"])


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-5 of the peak: the groups that windows run in are others, and means are taken in float64."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# --- what is computed ---


def scene_of(model: Extractor, file: AudioFile) -> np.ndarray:
    path = model.window_path(scene_framing(model.configuration), file.sample_rate)
    return mean_embedding(*embed_blocks([model], file.blocks(), path))


@pytest.mark.parametrize(("config", "rate"), [("tiny", 32000), ("tiny", 44100), ("sea_64", 8000), ("sea_64", 22050)])
def test_scenes_are_those_of_single_files(config: str, rate: int) -> None:
    sources = [*clips(rate=rate), os.fspath(clip("in/long.wav", 11.3, rate, 9))]
    summary = hear_edgel3.extract("in", "out", config, workers=1)
    assert (summary.files, summary.failed, summary.rows) == (7, 0, 7)
    assert summary.seconds == pytest.approx(sum(LENGTHS) + 11.3, abs=1e-3)
    model = hear_edgel3.load(config)
    found = rows()
    assert [row["file"] for row in found] == sources
    for row in found:
        with AudioFile(row["file"]) as file:
            close(np.array(row["embedding"]), scene_of(model, file))
            assert row["duration_s"] == pytest.approx(file.duration)
        assert (row["sample_rate"], row["timestamp_ms"], row["error"]) == (rate, None, None)


@pytest.mark.parametrize(("config", "hop_ms"), [("tiny", None), ("sea_64", 70.0)])
def test_timestamps_are_those_of_hear(config: str, hop_ms: float | None) -> None:
    model = hear_edgel3.load(config)
    sources = clips(rate=model.sample_rate)
    hear_edgel3.extract(sources, "out", config, timestamps=True, hop_ms=hop_ms, workers=1)
    found = rows()
    for source in sources:
        audio, _ = soundfile.read(source)
        expected, times = model.timestamp_embeddings(audio[None], hop_ms)
        mine = [row for row in found if row["file"] == source]
        close(np.array([row["embedding"] for row in mine]), expected[0].numpy())
        np.testing.assert_allclose([row["timestamp_ms"] for row in mine], times[0].numpy(), rtol=1e-6)
    assert Dataset("out").description.hop_ms == (50.0 if hop_ms is None else 70.0)


def test_the_hop_on_the_command_line_is_in_seconds() -> None:
    clip("a.wav", 0.5)
    assert run("a.wav", "--timestamps", "--hop", "0.07") == 0
    assert [row["timestamp_ms"] for row in rows()] == pytest.approx([70.0 * k for k in range(8)])
    assert Dataset("out").description.hop_ms == 70.0


def test_a_dataset_says_what_made_it(weights_folder: Path) -> None:
    clip("a.wav")
    assert run("a.wav", "--config", "sea_64", "--dtype", "float16") == 0
    dataset = Dataset("out")
    model = hear_edgel3.load("sea_64")
    assert model.weights is not None
    said = dataset.description
    assert (said.configuration, said.size, said.dtype) == ("sea_64", 64, "float16")
    assert (said.hop_ms, said.weights_sha256) == (None, model.weights.sha256)
    assert said.package_version == hear_edgel3.__version__
    [batch] = dataset.batches()
    embedding = embeddings_of(batch)
    assert embedding.dtype == np.float16
    with AudioFile("a.wav") as file:
        np.testing.assert_allclose(embedding[0], scene_of(model, file), rtol=1e-3, atol=1e-3)
    metadata = pq.read_metadata(dataset.parts[0])
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_rows_are_the_same_bits_however_they_are_computed() -> None:
    clips()
    for name in ("one", "two", "halves", "stopped"):
        options: dict[str, Any] = {"timestamps": True, "files_per_part": 2}
        if name == "two":
            hear_edgel3.extract("in", name, workers=2, **options)
        elif name == "halves":
            hear_edgel3.extract("in", name, workers=1, partition=(1, 2), **options)
            assert len(Dataset(name).parts) == 1
            hear_edgel3.extract("in", name, workers=1, partition=(0, 2), **options)
        else:
            hear_edgel3.extract("in", name, workers=1, **options)
            if name == "stopped":
                Path(name, "part-000-000001.parquet").unlink()
                summary = hear_edgel3.extract("in", name, workers=1, **options)
                assert (summary.parts_done, summary.parts_kept, summary.files) == (1, 2, 2)
        assert table(name).equals(table("one"))


@pytest.mark.slow
def test_ray_gives_the_same_bits(tmp_path: Path) -> None:
    """In a process of its own, because Ray leaves threads and warnings behind."""
    pytest.importorskip("ray")
    clips()
    clip("in/bad.wav").write_bytes(b"no audio")
    command = [sys.executable, "-m", "hear_edgel3.cli", "extract", "in", "--files-per-part", "3", "--quiet", "--output"]
    assert subprocess.run([*command, "one", "--workers", "1"], check=False).returncode == 1
    environment = {**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["PYTHONPATH"] = os.fspath(Path(hear_edgel3.__file__).parents[1])
    ray = [*command, "two", "--engine", "ray", "--concurrency", "2"]
    assert subprocess.run(ray, check=False, env=environment).returncode == 1
    assert table("two").equals(table("one"))
    assert len(Dataset("two").parts) == 3


# --- what is found ---


def test_folders_globs_and_files() -> None:
    for name in ("a/2.wav", "a/1.FLAC", "a/deep/er/3.ogg", "b.wav"):
        clip(name)
    Path("a/notes.md").write_text("no audio")
    assert run("a", "b.wav", "a/*.wav", "./b.wav", "**/3.ogg", os.path.abspath("b.wav")) == 0
    assert files() == ["a/1.FLAC", "a/2.wav", "a/deep/er/3.ogg", "b.wav"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "txt"])
def test_lists_of_files(ending: str) -> None:
    inside = os.path.abspath(clip("deep/audio/a, b.wav"))
    clip("deep/c.wav")
    path = Path(f"deep/list.{ending}")
    names = ["c.wav", inside, "gone.wav"]
    if ending == "txt":
        path.write_text("\n".join(names) + "\n\n")
    elif ending == "parquet":
        pq.write_table(pa.table({"label": [1, 2, 3], "path": names}), path)
    else:
        comma = {"csv": ",", "tsv": "\t"}[ending]
        path.write_text(f"label{comma}file\n" + "".join(f'1{comma}"{name}"\n' for name in names))
    assert run(os.fspath(path)) == 1
    assert files() == ["deep/c.wav", inside, "deep/gone.wav"]
    gone = f"AudioFileError: {os.path.abspath('deep/gone.wav')} does not exist"
    assert [row["error"] for row in rows()] == [None, None, gone]


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_a_list_on_stdin(separator: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [os.fspath(clip("a.wav")), os.fspath(clip("b.wav"))]
    if separator == b"\0":
        names.append(os.fspath(clip("new\nline.wav")))
    data = separator.join(os.fsencode(name) for name in names)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert run("-") == 0
    assert files() == names


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_shards(ending: str) -> None:
    sources = clips()
    with tarfile.open(f"s.{ending}", "w:gz" if ending == "tar.gz" else "w") as tar:
        for source in sources:
            tar.add(source, os.path.basename(source))
            tar.add(__file__, f"{source}.json")
        odd = tarfile.TarInfo(os.fsdecode(b"sub/\xe9.wav"))
        odd.size = os.path.getsize(sources[0])
        tar.addfile(odd, io.BytesIO(Path(sources[0]).read_bytes()))
    assert run(f"s.{ending}", "--files-per-part", "4") == 0
    # A packed shard can be read from its beginning only, so it is one part.
    assert len(Dataset("out").parts) == (1 if ending == "tar.gz" else 2)
    found = rows()
    assert [row["file"] for row in found] == [f"s.{ending}/{i}.wav" for i in range(6)] + [rf"s.{ending}/sub/\xe9.wav"]
    hear_edgel3.extract(sources, "files", workers=1, files_per_part=4)
    np.testing.assert_allclose(
        [row["embedding"] for row in found[:6]], [row["embedding"] for row in rows("files")], rtol=0, atol=1e-6
    )


def test_shards_that_are_damaged_or_change(capsys: pytest.CaptureFixture[str]) -> None:
    clip("a.wav")
    with tarfile.open("s.tgz", "w:gz") as tar:
        tar.add("a.wav")
    with tarfile.open("t.tar", "w") as tar:
        tar.add("a.wav")
    Path("bad.tar").write_bytes(b"x" * 2000)
    Path("cut.tgz").write_bytes(Path("s.tgz").read_bytes()[:300])
    assert run("s.tgz", "t.tar", "bad.tar", "cut.tgz") == 1
    err = capsys.readouterr().err
    assert "bad.tar cannot be read as a tar file" in err
    assert "cut.tgz cannot be read as a tar file" in err
    assert files()[:2] == ["s.tgz/a.wav", "t.tar/a.wav"]
    clip("b.wav", 0.7)
    with tarfile.open("s.tgz", "w:gz") as tar:
        tar.add("b.wav")
    Path("t.tar").unlink()
    for path in Path("out").glob("*.parquet"):
        path.unlink()
    assert run() == 1
    errors = [row["error"] for row in rows()]
    assert "s.tgz has changed since the job was begun" in errors[0]
    assert "t.tar/a.wav cannot be read from its tar file" in errors[1]


def test_names_in_any_encoding() -> None:
    names = [
        b"in/\xff\xfe.wav",
        b"in/new\nline.wav",
        "in/\u00e9\u6f22.wav".encode(),
        rb"in/\xe9.wav",
        b"in/bad\xe9.wav",
    ]
    content = clip("a.wav").read_bytes()
    Path("in").mkdir()
    for name in names:
        Path(os.fsdecode(name)).write_bytes(b"no audio" if b"bad" in name else content)
    assert run("in") == 1
    found = rows()
    assert {os.fsencode(path_of_text(row["file"])) for row in found} == set(names)
    [error] = [row for row in found if row["error"]]
    assert error["file"] == r"in/bad\xe9.wav"
    assert r"in/bad\xe9.wav cannot be read as audio" in error["error"]
    # The dataset's own names lead back to the files.
    pq.write_table(table().select(["file"]), "again.parquet")
    assert main(["extract", "again.parquet", "--output", "again", "--workers", "1", "--quiet"]) == 1
    assert files("again") == files("out")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.wav", "gone.wav does not exist"),
        ("empty", "the folder empty has no audio files"),
        ("*.nothing", "nothing matches *.nothing"),
        ("", "a source is empty"),
        ("none.txt", "the list none.txt names no files"),
        ("other.csv", "other.csv cannot be read as a list of files: it has no column named file or path, but 'label'"),
        ("broken.parquet", "broken.parquet cannot be read as a list of files"),
        ("none.tar", "the shard none.tar has no audio files"),
    ],
)
def test_sources_that_give_nothing(source: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("none.txt").write_text("\n")
    Path("other.csv").write_text("label\nx\n")
    Path("broken.parquet").write_text("x")
    tarfile.open("none.tar", "w").close()
    with pytest.raises(AudioFileError, match=message.replace("*", r"\*").replace("(", r"\(")):
        hear_edgel3.extract(source, "out")
    assert not Path("out").exists()
    clip("a.wav")
    assert run(source, "a.wav") == 1  # the rest goes on
    assert message in capsys.readouterr().err
    assert files() == ["a.wav"]


# --- what is kept, and what is added ---


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
    clip("in/0new.wav")
    clip("elsewhere/b.wav")
    Path("in/5.wav").unlink()
    Path("in/0.wav").unlink()  # was embedded already
    summary = hear_edgel3.extract(["in", "elsewhere"], "out", workers=1)
    assert (summary.files, summary.failed, summary.parts_kept) == (4, 1, 1)
    assert files() == [f"in/{i}.wav" for i in range(6)] + ["in/0new.wav", "elsewhere/b.wav"]
    assert [row["file"] for row in rows() if row["error"]] == ["in/5.wav"]
    # From another folder the same files are the same, and new ones get names that are good there and here.
    Path("other").mkdir()
    monkeypatch.chdir("other")
    clip("c.wav")
    summary = hear_edgel3.extract(["../in", "c.wav"], "../out", workers=1)
    assert summary.files == 1
    assert files("../out")[-1] == os.path.abspath("c.wav")
    assert hear_edgel3.extract([], "../out", workers=1).files == 0


def test_retry_failed() -> None:
    sources = clips()
    good = Path(sources[5]).read_bytes()
    Path(sources[5]).write_bytes(b"")
    assert run("in", "--files-per-part", "3") == 1
    assert run("in") == 1  # it still has failed
    first = Path("out/part-000-000000.parquet").stat().st_mtime_ns
    Path(sources[5]).write_bytes(good)
    assert run("--retry-failed") == 0
    assert [row["error"] for row in rows()] == [None] * 6
    assert Path("out/part-000-000000.parquet").stat().st_mtime_ns == first


def test_other_options_are_refused(weights_folder: Path, tmp_path: Path) -> None:
    clip("a.wav")
    assert run("a.wav", "--config", "sea_64") == 0
    for options, message in (
        ({"config": "tiny"}, "out was begun with configuration sea_64, and now tiny; "),
        ({"config": "sea_64", "timestamps": True}, "rows scenes, and now timestamps. Give the same"),
        ({"config": "sea_64", "dtype": "float16"}, "dtype float32, and now float16. Give the same"),
        ({"config": "sea_64", "net_engine": "eager"}, "net_engine auto, and now eager. Give the same"),
    ):
        with pytest.raises(InvalidOption, match=message):
            hear_edgel3.extract("a.wav", "out", **options)  # type: ignore[arg-type]
    assert main(["extract", "a.wav", "--output", "out", "--config", "tiny"]) == 2


def test_a_worker_checks_the_weights(tmp_path: Path, weights_folder: Path) -> None:
    job = plan.Job("out", ".", description(size=64, sha256="0" * 64), "auto")
    with pytest.raises(WeightsMismatch, match="the job was begun with other weights"):
        parts.model_of(job, parts.Means("sea_64", str(weights_folder / "sea_64.safetensors")))


def description(size: int = 64, sha256: str = "", hop_ms: float | None = None) -> Description:
    return Description("sea_64", sha256, 1, size, hop_ms, "float32", hear_edgel3.__version__)


def test_processes_that_start_at_once_agree_on_the_parts() -> None:
    clips()
    job = plan.Job(os.path.abspath("out"), os.getcwd(), description(), "auto")
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
    assert [len(part) for part in plan.cut(small, None)] == [256, 256, 256, 232]
    assert [len(part) for part in plan.cut(small, 300)] == [300, 300, 300, 100]
    assert len(next(plan.cut([Item("", 1)] * 1_000_000, None))) == 2048
    large = [Item(f"{i}", 20 << 20) for i in range(5)]
    assert [len(part) for part in plan.cut(large, None)] == [1] * 5
    assert [len(part) for part in plan.cut([Item("", 100 << 20)] * 1000, None)][:2] == [2, 2]
    packed = [Item("a", 1), *[Item(f"s.tgz/{i}", 1, "s.tgz", i) for i in range(400)], Item("t.tgz/0", 1, "t.tgz", 0)]
    assert [len(part) for part in plan.cut([*packed, Item("b", 1)], None)] == [1, 400, 1, 1]
    assert list(plan.cut([], None)) == []


def test_a_job_that_is_damaged(tmp_path: Path) -> None:
    clip("a.wav")
    assert run("a.wav") == 0
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
    items = path.with_name("items.parquet")
    items.rename("items.parquet")
    with pytest.raises(OutputError, match="_job"):
        hear_edgel3.extract("a.wav", "out")
    Path("items.parquet").rename(items)
    Path("out/part-000-000000.parquet").write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"is damaged .* delete it, and the same command makes it again"):
        hear_edgel3.extract("a.wav", "out")
    Path("out/part-000-000000.parquet").unlink()
    assert run("a.wav") == 0


def test_nothing_begun_and_no_sources() -> None:
    with pytest.raises(InvalidOption, match="nothing was begun"):
        hear_edgel3.extract([], "out")


# --- files that fail ---


def test_bad_files_become_error_rows(capsys: pytest.CaptureFixture[str]) -> None:
    sources = clips()
    clip("in/bad.wav").write_bytes(b"")
    soundfile.write("in/nan.wav", np.array([0, np.nan, 0] * 100), 8000, subtype="FLOAT")
    cut = clip("in/cut.flac", 2.0)
    cut.write_bytes(cut.read_bytes()[:-9000])
    assert run("in", "--config", "sea_64", "--json") == 1
    found = {row["file"]: row for row in rows()}
    assert [name for name, row in found.items() if row["error"] is None] == sources
    assert found["in/bad.wav"]["error"] == f"AudioFileError: {os.path.abspath('in/bad.wav')} is empty (0 bytes)"
    assert found["in/nan.wav"]["error"].startswith("InvalidAudio: ")
    assert found["in/cut.flac"]["error"].startswith("AudioFileError: ")
    assert (found["in/bad.wav"]["duration_s"], found["in/cut.flac"]["duration_s"]) == (None, 2.0)
    assert all(row["embedding"] is None for row in found.values() if row["error"])
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["files"], summary["failed"], summary["all_well"], summary["rows"]) == (9, 3, False, 9)
    assert [name for name, _ in summary["errors"]] == ["in/bad.wav", "in/cut.flac", "in/nan.wav"]
    assert "in/bad.wav is empty (0 bytes)" in err


def test_a_file_that_fails_late_leaves_its_error_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first rows may have been written by then; they are taken back."""
    monkeypatch.setattr(writer, "_GROUP_BYTES", 4 * 224 * 16)  # 16 rows
    clip("in/a.wav", 0.3)
    clip("in/b.wav", 20.0)
    clip("in/c.wav", 0.3)
    blocks = AudioFile.blocks

    def torn(self: AudioFile) -> Iterator[torch.Tensor]:
        for i, block in enumerate(blocks(self)):
            if i == 3 and self.path.name == "b.wav":
                raise AudioFileError(f"{self.path} is damaged")
            yield block

    monkeypatch.setattr(AudioFile, "blocks", torn)
    hear_edgel3.extract("in", "out", timestamps=True, workers=1)
    assert [(row["file"], row["timestamp_ms"]) for row in rows()] == [
        *[("in/a.wav", 50.0 * k) for k in range(7)],
        ("in/b.wav", None),
        *[("in/c.wav", 50.0 * k) for k in range(7)],
    ]
    assert sorted(path.name for path in Path("out").iterdir()) == ["_job", "part-000-000000.parquet"]


def test_a_net_that_fails_fails_only_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = clips(rate=32000)
    embed = Extractor.embed_windows

    def limited(self: Extractor, windows: torch.Tensor) -> torch.Tensor:
        if windows.shape[1] == 9600 or len(windows) > 1:
            raise RuntimeError("out of memory")
        return embed(self, windows)

    monkeypatch.setattr(Extractor, "embed_windows", limited)
    summary = hear_edgel3.extract("in", "out", workers=1)
    assert summary.failed == 1
    assert [row["error"] for row in rows()] == [f"ComputationError: {sources[0]}: out of memory"] + [None] * 5


# --- the pieces ---


def test_windows_of_many_files_share_groups() -> None:
    model = hear_edgel3.load("sea_64")
    seen: list[int] = []
    found: dict[int, list[np.ndarray]] = {}
    embed = model.embed_windows

    def watched(windows: torch.Tensor) -> torch.Tensor:
        seen.append(len(windows))
        return embed(windows)

    model.embed_windows = watched  # type: ignore[method-assign]
    batcher = Batcher(model)
    torch.manual_seed(0)
    windows = {key: torch.randn(n, 8000) * 0.1 for key, n in enumerate((3, 1, 16, 5, 20))}
    for key, some in windows.items():
        for owner, result in batcher.add(key, some):
            found.setdefault(owner, []).append(np.asarray(result))
    for owner, result in batcher.flush():
        found.setdefault(owner, []).append(np.asarray(result))
    assert seen == [16, 16, 13]
    for key, some in windows.items():
        close(np.concatenate(found[key]), embed(some).numpy())


def test_lengths_that_differ_wait_for_their_like_but_not_for_ever() -> None:
    model = hear_edgel3.load("sea_64")
    ran: list[tuple[int, ...]] = []

    def fake(windows: torch.Tensor) -> torch.Tensor:
        ran.append(tuple(windows.shape))
        return torch.zeros(len(windows), 64)

    model.embed_windows = fake  # type: ignore[method-assign]
    delivered: list[int] = []
    batcher = Batcher(model)
    for key in range(64):
        delivered += [owner for owner, _ in batcher.add(key, torch.zeros(1, 8000 if key % 2 else 16000 + key))]
    assert (16, 8000) in ran
    waiting = sum(windows.numel() for bucket in batcher._waiting.values() for _, windows in bucket)
    assert waiting <= 8 * 16 * 8000
    delivered += [owner for owner, _ in batcher.flush()]
    assert sorted(delivered) == list(range(64))


def test_pieces_come_in_order_and_faults_come_through() -> None:
    def pieces(i: int) -> Iterator[int]:
        for k in range(i % 5):
            yield 10 * i + k
        if i == 17:
            raise ZeroDivisionError

    found = []

    def take() -> None:
        for i, piece in reading.in_order(pieces, 30, 3):  # type: ignore[arg-type]
            assert piece // 10 == i
            found.append(piece)

    with pytest.raises(ZeroDivisionError):
        take()
    assert found == [10 * i + k for i in range(18) for k in range(i % 5)]
    closed = []

    def endless(i: int) -> Iterator[int]:
        try:
            while True:
                yield i
        finally:
            closed.append(i)

    some = reading.in_order(endless, 30, 3)  # type: ignore[arg-type]
    next(some)
    some.close()  # type: ignore[attr-defined]
    assert 1 <= len(closed) <= 3


def test_leftovers_are_removed_unless_they_are_being_written() -> None:
    Path("out").mkdir()
    left = Path("out/.part-000-000000.parquet.0123.tmp")
    others = Path("out/.part-000-000001.parquet.0123.tmp")
    for path in (left, others):
        path.write_bytes(b"torn")
    with writer.part_writer(Path("out/part-000-000000.parquet"), description()) as living:
        writer.remove_leftovers(Path("out"), {"part-000-000000.parquet"})
        assert not left.exists()
        assert others.exists()
        living.begin()
        living.add("a", None, np.ones((1, 64), np.float32), 1.0, 8000)
    assert files() == ["a"]


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
    assert main(["extract", "a.wav", "--output", "out", f"--partition={text}"]) == 2
    assert "partition" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float64"}, "dtype must be float32 or float16"),
        ({"engine": "spark"}, "engine must be local or ray"),
        ({"workers": 0}, "workers must be a whole number from 1"),
        ({"threads": True}, "threads must be a whole number from 1"),
        ({"files_per_part": 1.5}, "files_per_part must be"),
        ({"hop_ms": 50.0}, "a hop is for embeddings at timestamps"),
        ({"timestamps": True, "hop_ms": 1e-3}, "less than one sample"),
        ({"net_engine": "abacus"}, "engine must be one of"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    clip("a.wav")
    with pytest.raises(InvalidOption, match=message):
        hear_edgel3.extract("a.wav", "out", **options)


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    clip("a.wav")
    assert run("a.wav", "--hop", "0.1") == 2
    assert run("a.wav", "--config", "unknown") == 2
    for wrong in (["--workers", "0"], ["--num-gpus", "-1"], ["--hop", "0"]):
        with pytest.raises(SystemExit) as ended:
            run("a.wav", *wrong)
        assert ended.value.code == 2
    assert not Path("out").exists()


def test_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    sources = clips()
    for i in range(25):
        clip(f"in/x{i:02d}.wav").write_bytes(b"")
    assert main(["extract", "in", "--output", "out", "--workers", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "x real time, 25 failed" in err
    assert "in/x00.wav is empty" in err
    assert "in/x19.wav is empty" in err
    assert "in/x20.wav" not in err
    assert "5 more now; all are the rows of" in err
    assert f"{len(sources) + 25} files (0.00 h of audio" in err
    assert main(["extract", "--output", "out", "--workers", "1"]) == 1
    assert "25 in earlier runs" in capsys.readouterr().err

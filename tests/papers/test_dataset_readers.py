"""The blocks of docs/reading.md, each run against a dataset that ``extract`` wrote, where its reader is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from papers.commands import ROOT, Block, blocks

pytest.importorskip("pyarrow", reason="datasets need the extra `extract`")

BLOCKS = blocks(ROOT / "docs" / "reading.md")
DIMENSION = 320


def block_of(reader: str) -> Block:
    """The block that imports a reader."""
    (found,) = [b for b in BLOCKS if b.language in ("python", "javascript") and reader in b.text]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the dataset ``embeddings``: five sounds and one that cannot be read, in two parts; and one of timestamps."""
    folder = tmp_path_factory.mktemp("datasets")
    sounds = folder / "recordings" / "crickets"
    sounds.mkdir(parents=True)
    noise = np.random.RandomState(0)
    for name in ("00", "01", "07", "08", "09"):
        soundfile.write(sounds / f"{name}.flac", 0.1 * noise.randn(16000), 16000)
    (sounds / "05.flac").touch()  # its row lies between others
    for output, options in {"embeddings": {}, "moments": {"timestamps": True, "dtype": "float16"}}.items():
        summary = hear_edgel3.extract(
            [str(folder / "recordings")],
            folder / output,
            hop_ms=500 if options else None,
            workers=1,
            files_per_part=4,
            **options,  # type: ignore[arg-type]
        )
        assert (summary.files, summary.failed, summary.parts) == (6, 1, 2)
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a page's block for a reader in the folder of the datasets, and returns its variables."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def run(reader: str) -> dict[str, Any]:
        block = block_of(reader)
        variables: dict[str, Any] = {}
        exec(compile(block.text, block.place, "exec"), variables)
        return variables

    return run


@pytest.fixture
def expected(folder: Path) -> np.ndarray:
    """(5, 320) embeddings of the dataset."""
    from hear_edgel3.dataset import Dataset, embeddings_of

    return np.concatenate([embeddings_of(batch) for batch in Dataset(folder / "embeddings").batches()])


# Their own warnings are not ours to mend.
@pytest.mark.filterwarnings("default")
class TestReaders:
    def test_duckdb(self, run: Any) -> None:
        pytest.importorskip("duckdb", reason="DuckDB is not installed")
        nearest = run("import duckdb")["nearest"]
        assert len(nearest) == 3
        assert all(name.endswith(".flac") and "07.flac" not in name and 0 < cosine <= 1 for name, cosine in nearest)

    def test_duckdb_without_the_cast_is_an_error(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
        monkeypatch.chdir(folder)
        with pytest.raises(duckdb.BinderException):
            duckdb.sql("select array_cosine_similarity(embedding, embedding) from 'embeddings/*.parquet'").fetchall()

    def test_duckdb_reads_float16(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
        monkeypatch.chdir(folder)
        query = f"select embedding::FLOAT[{DIMENSION}] from 'moments/*.parquet' where error is null"
        assert len(duckdb.sql(query).fetchall()) == 15

    def test_polars(self, run: Any, expected: np.ndarray) -> None:
        pytest.importorskip("polars", reason="Polars is not installed")
        np.testing.assert_array_equal(run("import polars")["vectors"], expected)

    def test_pandas(self, run: Any, expected: np.ndarray) -> None:
        pytest.importorskip("pandas", reason="pandas is not installed")
        np.testing.assert_array_equal(run("import pandas")["vectors"], expected)

    def test_pyarrow(self, run: Any, expected: np.ndarray) -> None:
        np.testing.assert_array_equal(run("combine_chunks")["vectors"], expected)

    def test_ours(self, run: Any) -> None:
        variables = run("embeddings_of")
        assert variables["vectors"].shape[1] == DIMENSION == variables["dataset"].description.size

    def test_hugging_face(self, run: Any, expected: np.ndarray) -> None:
        pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
        np.testing.assert_array_equal(run("from datasets import")["vectors"], expected)

    def test_spark(self, run: Any) -> None:
        pytest.importorskip("pyspark", reason="PySpark is not installed")
        if shutil.which("java") is None:
            pytest.skip("Spark needs Java, which is not installed")
        variables = run("pyspark")
        try:
            assert variables["count"] == 5
        finally:
            variables["spark"].stop()

    def test_lancedb(self, run: Any) -> None:
        pytest.importorskip("lancedb", reason="LanceDB is not installed")
        nearest = run("lancedb")["nearest"]
        assert len(nearest) == 3
        assert nearest[0].endswith("00.flac")  # the query itself

    def test_javascript(self, folder: Path, tmp_path: Path) -> None:
        if shutil.which("npm") is None:
            pytest.skip("Node's npm is not installed")
        packages = ("hyparquet@1.33.0", "hyparquet-compressors@1.1.2")
        install = ["npm", "install", "--silent", "--prefix", str(tmp_path), *packages]
        try:
            subprocess.run(install, capture_output=True, timeout=60, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot install hyparquet here: {error}")
        (tmp_path / "read.mjs").write_text(
            block_of("hyparquet")
            .text.replace("'embeddings", f"'{folder}/embeddings")
            .replace("`embeddings", f"`{folder}/embeddings")
        )
        done = subprocess.run(["node", tmp_path / "read.mjs"], capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        assert len(lines) == 5
        assert all(line.endswith(f".flac {DIMENSION}") for line in lines)


# Their own warnings are not ours to mend.
@pytest.mark.filterwarnings("default")
class TestBareFolders:
    """What is in a dataset's folder beside the data is not taken for data."""

    def test_duckdb(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
        monkeypatch.chdir(folder)
        for files in ("embeddings", "embeddings/**/*.parquet"):
            assert duckdb.sql(f"select count(*) from read_parquet('{files}')").fetchall() == [(6,)]

    def test_polars(self, folder: Path) -> None:
        polars = pytest.importorskip("polars", reason="Polars is not installed")
        assert len(polars.read_parquet(folder / "embeddings" / "**" / "*.parquet")) == 6

    def test_hugging_face(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
        assert len(datasets.load_dataset(str(folder / "embeddings"), cache_dir=str(tmp_path))["train"]) == 6

    @pytest.mark.parametrize("reader", ["pandas", "pyarrow"])
    def test_those_that_skip_underscores(self, reader: str, folder: Path) -> None:
        if reader == "pandas":
            assert len(pytest.importorskip("pandas").read_parquet(folder / "embeddings")) == 6
        else:
            assert pytest.importorskip("pyarrow.dataset").dataset(folder / "embeddings").count_rows() == 6


def test_every_reader_has_a_test() -> None:
    """A section without one would be a promise that nobody keeps."""
    sections = [b for b in BLOCKS if b.language in ("python", "javascript")]
    tests = [name for name in vars(TestReaders) if name.startswith("test_") and "duckdb_" not in name]
    assert len(tests) == len(sections)

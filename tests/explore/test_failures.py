"""Pages that cannot be written, and what the command says."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption, OutputError, UnknownConfiguration
from hear_edgel3.explore.build import explore
from support.datasets import description, write_rows
from support.pages import SIZE, write_dataset, write_odd_clip


def test_nothing_is_left_when_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dataset(["a.wav"])
    Path("page.html").write_text("older")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write page\.html: No space left"):
        explore(folder, "page.html", tags=False)
    assert Path("page.html").read_text() == "older"
    assert sorted(os.listdir()) == ["embeddings", "page.html"]


def test_a_page_that_cannot_be_written_is_found_out_before_the_work() -> None:
    with pytest.raises(OutputError, match="the folder nowhere does not exist"):
        explore("not read", "nowhere/page.html")


def test_the_page_takes_no_place_of_the_dataset_or_its_sounds() -> None:
    folder = write_dataset(["sounds/a.wav", "sounds/b.wav"])
    write_odd_clip("sounds/a.wav")
    Path("link.html").symlink_to("sounds/a.wav")
    part = next(Path(folder).glob("*.parquet"))
    before = {path: path.read_bytes() for path in (part, Path("sounds/a.wav"))}
    for page in (part, "sounds/a.wav", "sounds/../sounds/a.wav", "link.html"):
        with pytest.raises(OutputError, match="it is what is read"):
            explore(folder, page, tags=False, projection="pca")
    with pytest.raises(OutputError, match="it is what is read"):
        explore(folder, "sounds/a.wav", tags=False, projection="pca", audio=Path.cwd())
    assert {path: path.read_bytes() for path in before} == before
    Path("a.wav").write_text("another")
    explore(folder, "a.wav", tags=False, projection="pca")
    assert Path("a.wav").read_text().startswith("<!")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--tags", "mn04"], UnknownConfiguration),
        (["--tags", "sea_64"], InvalidOption),
        (["--projection", "tsne"], SystemExit),
        (["--seed", "-1"], SystemExit),
        (["--seed", str(2**32)], SystemExit),
        (["--tags", "tiny", "--no-tags"], SystemExit),
    ],
)
def test_wrong_usage(arguments: list[str], error: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(["a.wav"])
    if error is SystemExit:
        with pytest.raises(SystemExit) as left:
            main(["explore", str(folder), *arguments])
        assert left.value.code == 2
    else:
        assert main(["explore", str(folder), *arguments]) == 2
    assert capsys.readouterr().out == ""
    assert os.listdir() == ["embeddings"]


def test_what_is_said_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    write_odd_clip("a.wav")
    write_rows(Path("embeddings"), description(SIZE), [{"file": "b.wav", "error": "E: bad"}], "part-1.parquet")
    folder = write_dataset(["a.wav"])
    assert main(["explore", f"{folder}/", "--projection", "pca", "--title", "T"]) == 0
    out, err = capsys.readouterr()
    assert out == "embeddings.html\n"
    assert "1/1" in err
    assert "1 clips, laid out by PCA; 1 files have no embedding" in err


def test_the_command_is_cheap_to_import() -> None:
    code = (
        "import sys, hear_edgel3.cli.explore; sys.exit(str({'torch', 'pyarrow', 'umap', 'soundfile'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr == "set()\n"

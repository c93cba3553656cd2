"""The installed program: what it imports, how it ends, and its flags."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hear_edgel3
from hear_edgel3.cli import _VERBS, main
from support.embed_command import results, run_embed
from support.files import contents, write_clip
from support.paths import REPOSITORY
from support.processes import SCRIPT
from support.types import Captured

pytestmark = pytest.mark.usefixtures("seeded_weights")


def script(*arguments: str, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert check is None or done.returncode == check, done.stderr
    return done


def test_the_script_embeds() -> None:
    write_clip("a.wav")
    done = script("embed", "a.wav", "-mtype", "sea", "-e", "64", "-t", "0.5")
    # The first run on a machine says that it compiles.
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("", "a.wav -> a.npz (2 embeddings of size 64)")
    np.testing.assert_array_equal(
        contents("a.npz")["embedding"], hear_edgel3.embed_file("a.wav", "sea_64", hop_size=0.5).embedding
    )


def test_the_script_fails_in_words() -> None:
    Path("a.wav").write_bytes(b"no audio")
    done = script("embed", "a.wav", "-c", "sea_64", check=1)
    assert done.stderr == "error: a.wav cannot be read as audio: Format not recognised\n"
    assert script("embed", "-t", "0", check=2).stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_names_that_are_no_text() -> None:
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x8e\xb5.wav")
    write_clip("plain.wav").rename(name)
    Path(os.fsdecode(b"bad\xe9.wav")).write_bytes(b"no audio")
    done = script("embed", ".", "-c", "sea_64", "-t", "0.5", check=1)
    assert done.stderr.endswith("\n  bad\\udce9.wav cannot be read as audio: Format not recognised\n")
    assert results() == [name.replace(".wav", ".npz")]
    assert str(contents(results()[0])["source"]).startswith(str(Path.cwd()))
    assert run_embed(name) == 0


def test_the_script_says_its_version() -> None:
    assert script("--version").stdout == f"hear-edgel3 {hear_edgel3.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a shell")
def test_a_reader_that_goes_away() -> None:
    with subprocess.Popen([SCRIPT, "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(60)


HEAVY = {"torch", "soundfile", "safetensors", "huggingface_hub", "h5py", "weights_convert"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["embed", "--help"], ["list"], ["list", "--json"], ["--version"], ["info", "tiny"]]
)
def test_cheap_commands_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from hear_edgel3.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print('cheap')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("cheap\n")
    assert len(done.stdout.splitlines()) > 1


def test_help_names_every_flag(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["embed", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    long = "config weights output suffix hop engine no-centering overwrite recursive device quiet"
    old = "--model-type -mtype --emb-dim -e --retrain-type -retrain --model-sparsity -sp -o -x -n -t -q"
    for flag in [*(f"--{name}" for name in long.split()), *old.split()]:
        assert f"{flag}," in out or f"{flag} " in out or f"{flag}\n" in out, flag


def test_the_readme_has_every_command() -> None:
    """Whoever does not find a command there takes it that there is none."""
    table = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("## Commands")[1].split("\n## ")[0]
    assert sorted(re.findall(r"hear-edgel3 (\w+)", table)) == sorted(_VERBS)


def test_verbose_says_where_weights_come_from(weights_folder: Path) -> None:
    write_clip("a.wav")
    done = script("--verbose", "embed", "a.wav", "-c", "sea_64", "-t", "0.5")
    assert done.stdout == ""
    assert f"weights of sea_64: {weights_folder / 'sea_64.safetensors'} ($HEAR_EDGEL3_WEIGHTS)" in done.stderr

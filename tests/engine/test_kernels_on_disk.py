"""Compiled kernels on disk: kept, found again, and compiled again where they are damaged."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hear_edgel3.compiled import jit
from support.processes import python

NOTICE = "hear_edgel3: compiling kernels for this machine; this takes some seconds, once\n"
TINY_NET = """
import torch
torch.set_num_threads(1)
from hear_edgel3.engine.runner import Runner
from hear_edgel3.families.l3.net import L3Net

torch.manual_seed(0)
net = L3Net((2,) * 8, final_norm=False).eval()
x = torch.randn(2, 64, 8)
with torch.no_grad():
    for conv in net.convs[1:]:
        conv.weight.mul_(torch.rand_like(conv.weight) < 0.2)
    embedding = Runner("numba")(net, x)
    assert torch.allclose(embedding, net(x), atol=1e-5)
"""


@pytest.fixture(autouse=True)
def _in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are kept where they are kept for users."""
    monkeypatch.delenv("HEAR_EDGEL3_KERNELS")


def test_a_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    """The first one says on stderr, once, what takes so long; HEAR_EDGEL3_CACHE says where it is kept."""
    first = python(TINY_NET, HEAR_EDGEL3_CACHE=str(tmp_path / "here"))
    assert (first.returncode, first.stdout, first.stderr) == (0, "", NOTICE)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "here" / "kernels").iterdir()}
    assert len(kept) >= 2
    second = python(TINY_NET, HEAR_EDGEL3_CACHE=str(tmp_path / "here"))
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "here" / "kernels").iterdir()} == kept


def test_without_a_home(tmp_path: Path) -> None:
    """Of an account that the system does not know, with no variable that says where to keep anything."""
    code = """
import pwd

def unknown(number):
    raise KeyError(number)

pwd.getpwuid = unknown
from hear_edgel3.compiled import jit

@jit.kernel
def homeless(x):
    return x + 1

assert homeless(2) == 3
"""
    done = python(code, HOME=None, HEAR_EDGEL3_CACHE=None, HEAR_EDGEL3_KERNELS=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", NOTICE)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[float, bool]]:
    """What a kernel gives, and whether it had to be compiled, as in a new process."""
    said: list[None] = []
    monkeypatch.setattr(jit, "_say_once", lambda: said.append(None))

    def call() -> tuple[float, bool]:
        said.clear()

        @jit.kernel
        def series(x: float, n: int) -> float:
            total = 0.0
            for i in range(n):
                total += x * i
            return total

        return series(2.0, 5), bool(said)

    return call


def kernels() -> list[Path]:
    return sorted(jit.kernels_folder().glob("series-*.bin"))


def test_a_kernel_is_kept(fresh) -> None:
    assert jit.kernels_folder() == Path(os.environ["HEAR_EDGEL3_CACHE"]) / "kernels"
    assert fresh() == (20.0, True)
    assert len(kernels()) == 1
    assert fresh() == (20.0, False)
    assert [path.suffix for path in jit.kernels_folder().iterdir()] == [".bin"]  # nothing half-written


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in (None, ""):
        monkeypatch.delenv("HEAR_EDGEL3_CACHE") if value is None else monkeypatch.setenv("HEAR_EDGEL3_CACHE", value)
        assert jit.kernels_folder() == tmp_path / ".cache" / "hear_edgel3" / "kernels"


def test_a_folder_for_kernels_alone(fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_KERNELS", str(tmp_path / "mine"))
    assert fresh() == (20.0, True)
    assert jit.kernels_folder() == tmp_path / "mine"
    assert [path.suffix for path in (tmp_path / "mine").iterdir()] == [".bin"]
    assert not Path(os.environ["HEAR_EDGEL3_CACHE"]).exists()
    monkeypatch.setenv("HEAR_EDGEL3_KERNELS", "")
    assert jit.kernels_folder() == Path(os.environ["HEAR_EDGEL3_CACHE"]) / "kernels"


AT_ONCE = """
import sys
from hear_edgel3.compiled import jit

@jit.kernel
def slow(x):
    return x + 1

save = jit._DiskCache.save_overload

def counted(*arguments):
    print("compiled")
    save(*arguments)

jit._DiskCache.save_overload = counted
print("ready", flush=True)
sys.stdin.read()
assert slow(2) == 3
"""


def test_processes_that_start_at_once_compile_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_ONCE]
    environment = {**os.environ, "HEAR_EDGEL3_CACHE": str(tmp_path)}
    printed = ""
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            )
            for _ in range(3)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
        for process in started:
            assert process.stdout is not None
            printed += process.stdout.read()
            assert process.wait() == 0
    assert printed == "compiled\n"
    assert [path.suffix for path in (tmp_path / "kernels").iterdir()] == [".bin"]


def test_a_kernel_that_another_process_never_finishes(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs, say on another machine: it is compiled here after all."""
    monkeypatch.setattr(jit, "_LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(jit, "lock", _busy)
    assert fresh() == (20.0, True)
    assert len(kernels()) == 1


def _busy(file: object) -> None:
    raise BlockingIOError


def test_a_kernel_that_could_not_be_compiled_is_not_waited_for(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(BaseException):
        """As an interrupt from the keyboard, or no memory."""

    def interrupted(*_arguments: object) -> None:
        assert [path.suffix for path in jit.kernels_folder().iterdir()] == [".lock"]
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("numba.core.dispatcher._FunctionCompiler.compile", interrupted)
        with pytest.raises(Interrupted):
            fresh()
    assert not list(jit.kernels_folder().iterdir())
    # Whoever is waited for now, for a minute, is nobody.
    monkeypatch.setattr(jit.time, "sleep", _not_waited)
    assert fresh() == (20.0, True)
    assert fresh() == (20.0, False)


def test_a_process_that_was_killed_while_it_compiled_is_not_waited_for(tmp_path: Path) -> None:
    alone = AT_ONCE.replace("sys.stdin.read()\n", "")
    killed = alone.replace("save(*arguments)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    for code, status, left in ((killed, -9, ".lock"), (alone, 0, ".bin")):
        start = time.monotonic()
        done = python(code, HEAR_EDGEL3_CACHE=str(tmp_path))
        assert done.returncode == status
        assert time.monotonic() - start < jit._LONGEST_WAIT_S
        assert [path.suffix for path in (tmp_path / "kernels").iterdir()] == [left]


def _not_waited(seconds: float) -> None:
    raise AssertionError("it waits")


def test_loading_imports_nothing_that_only_compiling_needs(tmp_path: Path) -> None:
    """Which takes half a second."""
    assert python(TINY_NET, HEAR_EDGEL3_CACHE=str(tmp_path)).returncode == 0
    code = TINY_NET + "import sys; assert 'numba.np.arraymath' not in sys.modules"
    again = python(code, HEAR_EDGEL3_CACHE=str(tmp_path))
    assert (again.returncode, again.stderr) == (0, "")


def test_other_sources_are_compiled_again(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh() == (20.0, True)
    monkeypatch.setattr(jit, "_sources", lambda folder: "of another version")
    assert fresh() == (20.0, True)
    assert len(kernels()) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "other": lambda content: b"not a kernel",
    "a pickle": lambda content: pickle.dumps((1, 2)),
    "cut": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    # machine code that would crash
    **{
        f"flipped {i}": lambda content, i=i: bytes(
            b ^ (255 if j == len(content) * i // 10 else 0) for j, b in enumerate(content)
        )
        for i in range(10)
    },
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_is_compiled_again(damage: str, fresh) -> None:
    fresh()
    (path,) = kernels()
    good = path.read_bytes()
    path.write_bytes(DAMAGES[damage](good))
    assert path.read_bytes() != good
    assert fresh() == (20.0, True)
    assert fresh() == (20.0, False)  # and the file is whole again


def test_a_file_where_the_folder_should_be(fresh) -> None:
    jit.kernels_folder().parent.mkdir(parents=True, exist_ok=True)
    jit.kernels_folder().write_text("in the way")
    assert fresh() == (20.0, True)
    assert fresh() == (20.0, True)
    assert jit.kernels_folder().read_text() == "in the way"


def test_a_folder_where_the_file_should_be(fresh) -> None:
    fresh()
    (path,) = kernels()
    path.unlink()
    path.mkdir()
    assert fresh() == (20.0, True)


def test_a_folder_that_cannot_be_written(fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # root may write anywhere, but here
        folder = Path("/proc")
    if not folder.is_dir() or sys.platform != "linux":
        pytest.skip("every folder can be written")
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(folder))
    assert fresh() == (20.0, True)
    assert not (folder / "kernels").exists()

"""Ctrl-C, and SIGTERM of a batch system, end a command soon, with one line, and nothing half-written is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main

# Where tests run in a script's background SIGINT is ignored, and so it would be by what they start.
_PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from hear_edgel3.cli import main; sys.exit(main(sys.argv[1:]))"
)
pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.skipif(sys.platform == "win32", reason="signals")]


@pytest.fixture(scope="module")
def long_sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four recordings of ten minutes, a.wav to d.wav. Nobody changes them."""
    folder = tmp_path_factory.mktemp("long")
    sound = np.random.default_rng(0).standard_normal(48000 * 600).astype("f4") / 10
    for name in "abcd":
        soundfile.write(folder / f"{name}.wav", sound, 48000)
    return folder


@pytest.mark.parametrize(
    ("command", "stop"),
    [
        ("embed in -o out", "SIGINT"),
        ("embed in -o out", "SIGTERM"),
        ("tag in", "SIGINT"),
        ("tag in --workers 2", "SIGTERM"),
        ("search ds in/a.wav in/b.wav", "SIGINT"),
    ],
)
def test_commands_end(command: str, stop: str, long_sounds: Path) -> None:
    os.symlink(long_sounds, "in")
    if command.startswith("search"):
        soundfile.write("short.wav", soundfile.read("in/a.wav", 48000)[0], 48000)
        assert main(["extract", "short.wav", "-o", "ds", "--workers", "1", "-q"]) == 0
    before = set(Path().rglob("*"))
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *command.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        _wait_until_it_runs(process.pid)
        time.sleep(2)
        assert process.poll() is None, "it ended before it could be stopped"
        process.send_signal(getattr(signal, stop))
        began = time.monotonic()
        err = process.communicate(timeout=60)[1].decode()
    # Each would go on for longer than that by more than ten seconds; alone on a machine they end within one.
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("hear-edgel3: interrupted")
    assert "Traceback" not in err
    assert {path for path in set(Path().rglob("*")) - before if path.suffix != ".npz" and path.name != "out"} == set()


def _wait_until_it_runs(pid: int) -> None:
    """Until it handles SIGTERM: before, on a busy machine, Python may still be loading the package."""
    status = Path(f"/proc/{pid}/status")
    handled = re.compile(r"^SigCgt:\s*(\w+)", re.MULTILINE)
    end = time.monotonic() + 30
    while status.exists() and time.monotonic() < end:
        found = handled.search(status.read_text())
        if found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1:
            break
        time.sleep(0.05)


def _ends_with(program: str) -> tuple[int, list[str]]:
    """Runs a program in which ``_run`` stands for a command."""
    imports = "import signal, sys, time, hear_edgel3.cli as cli"
    as_usual = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    whole = f"{imports}\n{as_usual}\n{program}\ncli._run = _run\nsys.exit(cli.main([]))"
    done = subprocess.run([sys.executable, "-c", whole], check=False, capture_output=True, timeout=60)
    return done.returncode, done.stderr.decode().splitlines()


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_interrupts_that_a_library_swallows_come_again(stop: str) -> None:
    program = f"""
def _run(given):
    for _ in range(3):
        try:
            signal.raise_signal(signal.{stop})
        except BaseException:
            pass
        for _ in range(20):
            time.sleep(0.01)
    return 0
"""
    assert _ends_with(program) == (130, ["hear-edgel3: interrupted"])


def test_an_interrupt_where_c_calls_python_is_not_reported() -> None:
    """As while a kernel is compiled, where it only gets printed; and other errors there still are."""
    program = """
import ctypes

def interrupted():
    signal.raise_signal(signal.SIGTERM)
    time.sleep(0)

def wrong():
    raise ValueError("of somebody else")

def _run(given):
    ctypes.CFUNCTYPE(None)(wrong)()
    ctypes.CFUNCTYPE(None)(interrupted)()
    for _ in range(20):
        time.sleep(0.01)
    return 0
"""
    code, lines = _ends_with(program)
    assert code == 130
    assert lines[-2:] == ["ValueError: of somebody else", "hear-edgel3: interrupted"]
    assert sum(line.startswith("Traceback") for line in lines) == 1


def test_what_was_swallowed_does_not_come_again_in_the_next_command() -> None:
    program = """
def swallowing(given):
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        pass
    return 0

cli._run = swallowing
assert cli.main([]) == 0

def _run(given):
    for _ in range(20):
        time.sleep(0.01)
    return 0
"""
    assert _ends_with(program) == (0, [])


@pytest.mark.parametrize(("stop", "code"), [("SIGINT", 7), ("SIGTERM", -signal.SIGTERM)])
def test_an_interrupt_while_a_command_is_left_is_for_the_program_around(stop: str, code: int) -> None:
    """And finds its handlers as they were."""
    program = f"""
set_handler = signal.signal

def interrupted(number, handler):
    if handler in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal = set_handler
        signal.raise_signal(signal.{stop})
    return set_handler(number, handler)

cli._run = lambda given: 0
from hear_edgel3._interrupts import interruptible
try:
    with interruptible():
        signal.signal = interrupted
except KeyboardInterrupt as error:
    assert type(error) is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    sys.exit(7)

def _run(given):
    return 0
"""
    assert _ends_with(program) == (code, [])


def test_an_interrupt_that_comes_again_too_late_ends_nothing() -> None:
    """The command ends between the question whether it runs and the signal."""
    program = """
import hear_edgel3._interrupts as interrupts

class JustLeft(list):
    def __contains__(self, command):
        return True

def _run(given):
    return 0

interrupts._commands = JustLeft([object()])
interrupts._come_again(signal.SIGTERM, interrupts._commands[0])
interrupts._commands = []
"""
    assert _ends_with(program) == (0, [])


def test_an_interrupt_in_code_made_of_text_ends_with_the_exit_code() -> None:
    program = """
def _run(given):
    exec("signal.raise_signal(signal.SIGINT)")
    return 0
"""
    assert _ends_with(program) == (130, ["hear-edgel3: interrupted"])

"""Compiles exported C libraries, as strictly as compilers can be asked to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hear_edgel3.exporting.folders import read_folder_facts

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def needed(*programs: str) -> None:
    """Skips a test without these programs."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def sanitizers_needed(compiler: str, place: Path) -> None:
    """Skips a test without a compiler and its sanitizers, which some systems have in a package of their own."""
    needed(compiler)
    (place / "empty.c").write_text("int main(void) { return 0; }\n")
    words = [compiler, *SANITIZED, "-o", str(place / "empty"), str(place / "empty.c")]
    if subprocess.run(words, capture_output=True, check=False, timeout=60).returncode != 0:
        pytest.skip(f"{compiler} has no sanitizers here")


def compiled(folder: Path, what: str, output: Path, *flags: str, compiler: str = "gcc") -> Path:
    """Compiles the program "example" or "test" of a library, with the library in it; all warnings are errors.

    Args:
        folder: The library.
        what: The program.
        output: The folder for what is made.
        flags: More than strictness.
        compiler: Which.
    """
    prefix = read_folder_facts(folder)["prefix"]
    made = output / f"{prefix}_{what}"
    sources = [str(folder / f"{prefix}_{what}.c"), str(folder / f"{prefix}.c")]
    run([compiler, *STRICT, *flags, "-o", str(made), *sources, "-lm"])
    return made


def run(words: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a program that has to end with a code."""
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, timeout=300)
    assert done.returncode == code, f"{words[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done

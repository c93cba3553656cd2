"""What is kept of a room: the changed code, which tests go through what, and what came of each mutant."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_SETTINGS = """
[tool.mutmut]
source_paths = ["hear_edgel3", "weights_convert"]
only_mutate = {code}
also_copy = {copied}
"""
# The first half of `mutmut run`, without its runs of the tests.
_MAKE = (
    "from mutmut import __main__ as m; m.copy_src_dir(); m.copy_also_copy_files(); m.setup_source_paths(); "
    "m.create_mutants(1)"
)
_LONG_S = 3.0

Ask = Callable[[dict[str, Any]], dict[str, Any]]


class CannotGoOn(Exception):
    """The folder is of another run."""


@dataclass(frozen=True)
class Result:
    """What came of a mutant.

    Attributes:
        mutant: Its name.
        what: ``killed`` or ``survived``.
        by: The test that killed it.
        how: How, if the test did not just fail.
        seconds: What that took.
        tests: How many tests it met.
    """

    mutant: str
    what: str
    by: str | None
    how: str | None
    seconds: float
    tests: int


@dataclass(frozen=True)
class Seen:
    """What is known of a test: its seconds, and the functions of the room that it goes through."""

    seconds: float
    functions: frozenset[str]


@dataclass(frozen=True)
class Change:
    """The change of a mutant.

    Attributes:
        file: Path from the repository.
        function: With its class, if it has one.
        was: The lines that are changed, without spaces around.
        now: What they are changed to.
    """

    file: str
    function: str
    was: str
    now: str

    def text(self) -> list[str]:
        """For people."""
        return [f"- {line}" for line in self.was.split("\n")] + [f"+ {line}" for line in self.now.split("\n")]


def equivalents(file: Path = _HERE / "mutants_equivalent.toml") -> dict[Change, str]:
    """The changes that no test can notice, and why."""
    entries = tomllib.loads(file.read_text())["mutant"]
    return {Change(entry["file"], entry["function"], entry["was"], entry["now"]): entry["because"] for entry in entries}


def in_order(mutant: str, tests: dict[str, Seen], results: Iterable[Result]) -> dict[str, float]:
    """The tests that a mutant is to meet, the likeliest to notice first, with the seconds of each.

    First those that noticed others of its function, then of its file; then by how many words the names have in
    common, and file by file, for what a file's tests share is made once. Those that take long come last.
    """
    function, module = _function(mutant), _module(mutant)
    chosen = [name for name, test in tests.items() if function in test.functions] or list(tests)
    kills = Counter[str]()
    for result in results:
        if result.by in tests:
            kills[result.by] += (_function(result.mutant) == function) * 1000 + (_module(result.mutant) == module)
    words = _words(function.rpartition(".")[2])

    def place(name: str) -> tuple[int, int, int, str]:
        file = name.partition("::")[0]
        alike = len(words & _words(Path(file).stem + name.partition("::")[2].partition("[")[0]))
        return -kills[name], int(tests[name].seconds > _LONG_S), -alike, file

    return {name: tests[name].seconds for name in sorted(chosen, key=place)}


def _function(mutant: str) -> str:
    return mutant.partition("__mutmut_")[0]


def _module(mutant: str) -> str:
    return _function(mutant).rpartition(".")[0]


def _words(name: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in re.findall("[A-Z]?[a-z]+", name)} - {"test", "x", ""}


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()


class Kept:
    """A room's folder.

    Args:
        folder: Where it is, or will be.
        root: The repository.
        seed: Of the sample.
        sample: How many are in the sample.

    Raises:
        CannotGoOn: It is of another sample, or the code has changed.
    """

    def __init__(self, folder: Path, root: Path, seed: int, sample: int) -> None:
        self.folder, self.seed, self._root, self._sample = folder, seed, root, sample
        self._mutants = folder / "mutants"
        self._metas: dict[str, Path] | None = None

    def make(self, patterns: tuple[str, ...]) -> None:
        """Copies the repository and makes the mutants, or sees that what there is can be gone on with."""
        begun = self._begun()
        note = self.folder / "begun.json"
        if note.exists():
            found = json.loads(note.read_text())
            for key, what in (("seed", "another --seed"), ("sample", "another --sample"), ("code", "other code")):
                if found[key] != begun[key]:
                    raise CannotGoOn(f"{self.folder} was begun with {what}: take a new folder")
            return
        shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was stopped in this
        self.folder.mkdir(parents=True)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=self._root, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._root / name, self.folder / name)
        code_folders = ("hear_edgel3", "weights_convert")
        copied = sorted(
            e.name for e in self.folder.iterdir() if not e.name.startswith(".") and e.name not in code_folders
        )
        with (self.folder / "pyproject.toml").open("a") as file:
            file.write(_SETTINGS.format(code=json.dumps(patterns), copied=json.dumps(copied)))
        self._mutants.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", _MAKE], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not self.mutants():
            raise CannotGoOn(f"mutmut made nothing: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        self.note()

    def note(self) -> None:
        """Says that the mutants are all made."""
        (self.folder / "begun.json").write_text(json.dumps(self._begun()))

    def _begun(self) -> dict[str, Any]:
        code = [path for name in ("hear_edgel3", "weights_convert") for path in (self._root / name).rglob("*.py")]
        return {"seed": self.seed, "sample": self._sample, "code": _digest(code)}

    def mutants(self) -> dict[str, Path]:
        """All mutants, and the files with their changed code."""
        if self._metas is None:
            self._metas = {
                name: meta.with_suffix("")
                for meta in sorted(self._mutants.rglob("*.meta"))
                for name in json.loads(meta.read_text())["exit_code_by_key"]
            }
        return self._metas

    def size(self) -> int:
        """How many of them are in the sample."""
        return min(self._sample, len(self.mutants()))

    def refresh_tests(self) -> None:
        """Takes the tests as they are now."""
        place = self._mutants / "tests"
        shutil.rmtree(place)
        shutil.copytree(self._root / "tests", place, ignore=shutil.ignore_patterns("__pycache__"))

    def learned(self, files: list[str]) -> dict[str, Seen]:
        """The tests of some files, having run those that are new; without those that do not pass."""
        shared = _digest(path for path in (self._root / "tests").rglob("*.py") if not path.name.startswith("test_"))
        stamps = {file: _digest([self._root / file]) + shared for file in files}
        known = self._notes(stamps)
        # Which files are done is only known when the last one is.
        whole, all_stamps = self.folder / "learned.json", json.dumps(stamps)
        if not whole.exists() or whole.read_text() != all_stamps:
            with self.server(()) as ask:
                ask({"learn": stamps, "known": list(known), "notes": str(self.folder / "tests.jsonl")})
            whole.write_text(all_stamps)
            known = self._notes(stamps)
        bad = [name for name, line in known.items() if line["outcome"] == "failed"]
        if bad:
            print(f"tests that fail anyway, left out: {', '.join(bad)}", file=sys.stderr, flush=True)
        return {
            name: Seen(line["seconds"], frozenset(line["functions"]))
            for name, line in known.items()
            if line["outcome"] == "passed"
        }

    def _notes(self, stamps: dict[str, str]) -> dict[str, Any]:
        lines = _read_lines(self.folder / "tests.jsonl")
        return {line["test"]: line for line in lines if stamps.get(line["test"].partition("::")[0]) == line["stamp"]}

    @contextlib.contextmanager
    def server(self, warm: tuple[str, ...]) -> Iterator[Ask]:
        """A process that tries mutants, see `mutants_server`."""
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(self._mutants.resolve()),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling the tests takes longer than running most
        with (self.folder / "said.txt").open("a") as said:
            process = subprocess.Popen(
                [sys.executable, str(_HERE / "mutants_server.py"), *warm],
                cwd=self._mutants,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        try:

            def ask(what: dict[str, Any]) -> dict[str, Any]:
                assert process.stdin is not None
                assert process.stdout is not None
                print(json.dumps(what), file=process.stdin, flush=True)
                answer = process.stdout.readline()
                if not answer:
                    raise CannotGoOn(f"the tests' process died; {self.folder / 'said.txt'} has what it said")
                found: dict[str, Any] = json.loads(answer)
                return found

            yield ask
        except BaseException:
            process.kill()
            raise
        finally:
            process.communicate()  # nothing more: it ends

    def results(self) -> dict[str, Result]:
        """What came of the mutants that were tried."""
        return {line["mutant"]: Result(**line) for line in _read_lines(self.folder / "results.jsonl")}

    def add(self, result: Result) -> None:
        """Keeps a result."""
        with (self.folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")

    def change(self, mutant: str) -> Change:
        """What is changed."""
        _, was, now = self._difference(mutant)
        return Change(self._file(mutant), _shown(mutant), was, now)

    def place(self, mutant: str, root: Path) -> str:
        """The file and line, in the repository as it is now."""
        first, was, _ = self._difference(mutant)
        file = self._file(mutant)
        for name, node in _functions((root / file).read_text()):
            if name == _shown(mutant):
                return f"{file}:{node.lineno + first}"
        return f"{file} ({was})"

    def _file(self, mutant: str) -> str:
        return str(self.mutants()[mutant].relative_to(self._mutants))

    def _difference(self, mutant: str) -> tuple[int, str, str]:
        text = self.mutants()[mutant].read_text()
        lines = text.split("\n")
        name = mutant.rpartition(".")[2]
        code = {
            found: lines[node.lineno : node.end_lineno]  # without the first line, which has the name
            for _, node in _functions(text)
            if (found := node.name) in (name, f"{_function(name)}__mutmut_orig")
        }
        was, now = code[f"{_function(name)}__mutmut_orig"], code[name]
        differ = [o for o in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes() if o[0] != "equal"]
        _, a, b, c, d = differ[0] if differ else ("", 0, 0, 0, 0)
        return a + 1, _stripped(was[a:b]), _stripped(now[c:d])


def _stripped(lines: list[str]) -> str:
    return "\n".join(line.strip() for line in lines)


def _shown(mutant: str) -> str:
    """The name of a mutant's function, with its class."""
    parts = _function(mutant).rpartition(".")[2].split("ǁ")
    return ".".join(parts[1:]) if len(parts) > 1 else parts[0].removeprefix("x_")


def _functions(text: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.parse(text).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        for part in inner:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{node.name}.{part.name}" if isinstance(node, ast.ClassDef) else part.name, part


def _read_lines(file: Path) -> list[Any]:
    """Lines of JSON; one that was being written when the process was killed is left out, and is taken away."""
    if not file.exists():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        file.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]

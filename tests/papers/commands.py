"""The commands that README.md and docs show: reads them, and runs them in the order in which they stand.

    python tests/papers/commands.py run [--any-output] [--but NAME,NAME] PAGE [NAME ...]

Needs nothing but Python and bash. A block of commands carries one of two markers on the line above it, ``<!-- run: NAME
-->`` or ``<!-- needs: THINGS -->`` (:data:`THINGS`). If a block without a language follows a ``run`` block, its lines
must be among those printed, in their order; numbers may differ in their last digits, and ``...`` stands for any lines.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
THINGS = frozenset("network gpu cluster time microphone software macos windows".split())
SHELLS = frozenset("bash sh shell console powershell bat".split())

_FENCE = re.compile(r"^( *)(`{3,})([\w-]*)[^`]*$")
_MARKER = re.compile(r"^ *<!-- (run|needs): (.+?) -->$")
_NUMBER = re.compile(r"(?<![\w./])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w/])")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: its path, relative to the root.
        line: number of its first fence, from 1.
        language: after the fence; empty if there is none.
        text: what is in it.
        run: its name, if CI runs it.
        needs: what it needs that CI does not have.
        prints: the block without a language that follows it at once; None if there is none.
    """

    page: str
    line: int
    language: str
    text: str
    run: str | None = None
    needs: tuple[str, ...] = ()
    prints: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and the pages of docs."""
    made = ROOT / "docs"
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(made.glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: a marker that stands before no block, a fence that is not closed, or a name used twice.
    """
    name = str(page.resolve().relative_to(ROOT))
    found: list[Block] = []
    marker: re.Match[str] | None = None
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    last_end = -2  # line on which the last block ended
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            if marker is not None:
                raise ValueError(f"{name}:{number}: the marker above stands before no block")
            marker = _MARKER.match(line)
            continue
        text, end = _inside(lines, opening, f"{name}:{number}")
        kind, value = (marker[1], marker[2]) if marker else ("", "")
        block = Block(
            name,
            number,
            opening[3],
            text,
            run=value if kind == "run" else None,
            needs=tuple(value.split(", ")) if kind == "needs" else (),
        )
        if not block.language and found and found[-1].run and number - last_end == 1:
            found[-1] = Block(**{**vars(found[-1]), "prints": text})
        else:
            found.append(block)
        marker, last_end = None, end
    names = [block.run for block in found if block.run]
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: two blocks have the same name: {', '.join(sorted(names))}")
    return found


def _inside(lines: Iterator[tuple[int, str]], opening: re.Match[str], place: str) -> tuple[str, int]:
    """The lines up to the fence that closes a block, without its indentation, and that fence's number."""
    inside = []
    for number, line in lines:
        if line.strip() == opening[2]:
            return "\n".join(inside), number
        inside.append(line.removeprefix(opening[1]))
    raise ValueError(f"{place}: the block is not closed")


def missing(expected: str, printed: str) -> str | None:
    """The first line of ``expected`` that ``printed`` does not have after those before it, or None."""
    rest = iter(re.split(r"[\r\n]+", printed))
    for line in expected.splitlines():
        if line.strip() not in ("", "...") and not any(_alike(line, other) for other in rest):
            return line
    return None


def _alike(expected: str, printed: str) -> bool:
    """Whether two lines agree but for the last digits of fractions."""
    if _NUMBER.sub("#", expected).split() != _NUMBER.sub("#", printed).split():
        return False
    pairs = zip(_NUMBER.findall(expected), _NUMBER.findall(printed), strict=True)
    return all(a == b or ("." in a and math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=0.005)) for a, b in pairs)


def run(page: Path, names: Sequence[str] = (), any_output: bool = False, but: Sequence[str] = ()) -> None:
    """Runs the blocks of a page that carry ``run``, or those named.

    Args:
        page: where they are.
        names: those to run; none for all.
        any_output: do not compare what is printed with what the page shows.
        but: those not to run.

    Raises:
        SystemExit: one of them failed, did not print what the page shows, or does not exist.
    """
    runnable = [block for block in blocks(page) if block.run]
    unknown = {*names, *but} - {block.run for block in runnable}
    if unknown:
        sys.exit(f"{page} has no block {', '.join(sorted(unknown))}")
    for block in runnable:
        if (names and block.run not in names) or block.run in but:
            continue
        print(f"\n--- {block.place}: {block.run}\n{block.text}", flush=True)
        start = time.monotonic()
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block.text], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        printed = b""
        assert process.stdout is not None
        for piece in iter(process.stdout.read1, b""):
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            printed += piece
        if process.wait() != 0:
            sys.exit(f"{block.place}: {block.run} ended with status {process.returncode}")
        line = None if any_output else missing(block.prints or "", printed.decode(errors="replace"))
        if line is not None:
            sys.exit(f"{block.place}: {block.run} did not print, or not in this place:\n{line}")
        print(f"--- {block.run}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _run = _parser.add_subparsers(required=True).add_parser("run")
    _run.add_argument("--any-output", action="store_true")
    _run.add_argument("--but", default=[], type=lambda names: names.split(","))
    _run.add_argument("page", type=Path)
    _run.add_argument("names", nargs="*", metavar="name")
    _given = _parser.parse_args()
    run(_given.page, _given.names, _given.any_output, _given.but)

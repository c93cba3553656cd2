"""Work in a process apart, for libraries that do not come back from some damaged files, or end the process.

Nothing in the process that asked could stop them, for they keep the lock of Python. A question is a line of JSON and
bytes; so is an answer. The process apart imports only what its reader needs, nothing from the folder in which it is
started, and it runs nothing that comes with a question.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias, cast

Answer: TypeAlias = tuple[dict[str, Any], Iterable[bytes | memoryview]]
Reader: TypeAlias = Callable[[dict[str, Any], bytes], Answer]

# The search path is the asking process's, so that this folder and the one where it was started come from nowhere.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from hear_edgel3.disk.apart import serve; serve(sys.argv[1])"


class Refused(Exception):
    """What a reader says is wrong with a file, in words for the one who asked."""


class Failed(Exception):
    """What a library raised while it read."""


class Ended(Exception):
    """The process ended instead of answering."""


class Apart:
    """A process that answers questions, one at a time.

    Args:
        reader: What answers, as ``module:name`` of a function in this package.
        library: How to call the library that it uses, in errors.
        patience_s: Seconds that an answer may take.
    """

    def __init__(self, reader: str, library: str, patience_s: int) -> None:
        self._library, self._patience_s = library, patience_s
        # In the asking process's order, in which this package comes from the empty path where nothing else has it.
        path, root = [*filter(None, sys.path)], str(Path(__file__).parents[2])
        if root not in path:
            path.insert(0, root)
        self._process = subprocess.Popen(  # noqa: S603 - this very Python
            [sys.executable, "-c", _PROGRAM, reader, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._questions = cast(io.RawIOBase, self._process.stdin)
        self._answers = io.BufferedReader(cast(io.RawIOBase, self._process.stdout))

    @property
    def has_ended(self) -> bool:
        """Whether it ended when it was asked."""
        return self._process.returncode is not None

    def ask(self, question: dict[str, Any], body: bytes | memoryview = b"") -> tuple[dict[str, Any], bytearray]:
        """Asks, and waits.

        Args:
            question: What can be JSON.
            body: Bytes to go with it.

        Returns:
            The answer, and the bytes that came with it.

        Raises:
            Refused: The reader says what is wrong.
            Failed: The reader failed.
            Ended: It took too long, or crashed; this one answers nothing more.
        """
        head, answer = {}, bytearray()
        try:
            self._write(json.dumps({**question, "bytes": len(body), "patience": self._patience_s}).encode() + b"\n")
            self._write(body)
            if line := self._answers.readline():
                head = json.loads(line)
                answer = bytearray(head["bytes"])
                if self._answers.readinto(answer) < len(answer):
                    head = {}
        except BrokenPipeError:
            head = {}
        if not head:
            raise Ended(self._end())
        if "error" in head:
            raise (Refused if head["refused"] else Failed)(head["error"])
        return head, answer

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._questions.close()
        self._answers.close()

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._questions.write(rest) or 0 :]

    def _end(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return f"the {self._library} library did not come back within {self._patience_s} s"
        return f"the {self._library} library ended the process that read it (code {code})"


def serve(reader: str) -> None:
    """Answers questions until there are no more; what the process apart runs.

    Args:
        reader: What answers, as ``module:name``.
    """
    assert threading.current_thread() is threading.main_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks ends this one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    module, _, name = reader.partition(":")
    answer: Reader = getattr(importlib.import_module(module), name)
    questions, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that a library that prints does not answer
    for line in questions:
        question = json.loads(line)
        body = questions.read(question["bytes"])
        # What does not come back is ended by the system, also where Python does not get to run.
        signal.alarm(question["patience"])
        pieces: list[bytes | memoryview] = []
        try:
            head, parts = answer(question, body)
            pieces = list(parts)
        except Exception as error:
            # Damaged files make libraries raise nearly everything that there is.
            head = {"error": str(error) or type(error).__name__, "refused": isinstance(error, Refused)}
        signal.alarm(0)
        size = sum(memoryview(piece).nbytes for piece in pieces)
        answers.write(json.dumps({**head, "bytes": size}).encode() + b"\n")
        for piece in pieces:
            answers.write(piece)
        answers.flush()

"""From items to windows: decoding, resampling and cutting, by threads that are a little ahead of the net."""

from __future__ import annotations

import atexit
import queue
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import torch

from hear_edgel3.audio.file import naming
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.disk.state import FileState
from hear_edgel3.errors import OutputError
from hear_edgel3.extractor.window_net import WindowNet
from hear_edgel3.framing.rules import WindowRule
from hear_edgel3.recorded import Recorded, TimeAndPlace
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from hear_edgel3.sources.seen import look
from hear_edgel3.sources.shards import is_packed

# Files that are read, or have been read and wait for the net; and groups of windows of each.
_FILES_AHEAD = 8
_GROUPS_AHEAD = 4
_PATIENCE_S = 0.5  # with threads that are to end
# With those of them that still compute when the interpreter is to end; and how often it is seen whether any does.
_PATIENCE_AT_EXIT_S, _LOOK_EVERY_S = 10.0, 0.25

# A header that knows no length says something enormous.
_LONGEST_KNOWN_S = 1e9

_T = TypeVar("_T")


@dataclass(frozen=True)
class FileOpened:
    """A file has been opened: it is sound audio, at least at its beginning.

    Attributes:
        duration: Its length in seconds; None if it does not know.
        sample_rate: Its sample rate in Hz.
        channels: How many channels it has.
        recorded: When and where it was made, if that was asked for.
    """

    duration: float | None
    sample_rate: int
    channels: int
    recorded: Recorded | None = None


@dataclass(frozen=True)
class FileWindows:
    """Some of a file's windows.

    Attributes:
        samples: (n, window) float32 at the net's rate.
        seconds: How many seconds of the file have been read since the windows before these.
    """

    samples: torch.Tensor
    seconds: float


@dataclass(frozen=True)
class FileEnded:
    """A file has no more windows.

    Attributes:
        error: Why, if it is a bad one; None at its end.
        seen: What it was like just before it was opened; None if it was not there.
        last_weight: How much the last of its windows counts in a mean over them, of which the others count 1.
    """

    error: Exception | None
    seen: FileState | None = None
    last_weight: float = 1.0


# What happens to a file while it is read, in this order; of windows there may be none or many.
ReadEvent = FileOpened | FileWindows | FileEnded


class ItemReader:
    """Reads items for a net.

    Args:
        model: What the windows are cut for.
        rule: The rule that says where the windows lie.
        folder: The folder that relative paths are relative to.
        threads: How many threads read. Packed shards, which can only be read in order, are read by one.
        channel: What of the files' channels: "mean" of all, or the number of one, from 0.
        look: What to find out of when and where they were made; None for nothing.
    """

    def __init__(
        self,
        model: WindowNet,
        rule: WindowRule,
        folder: str,
        threads: int,
        channel: int | str,
        look: TimeAndPlace | None = None,
    ) -> None:
        self._look = look
        self._model = model
        self._rule = rule
        self._threads = threads
        self._folder = folder
        self._files = ItemOpener(folder, channel)
        # Asked here, because in the threads that read, torch has another number of threads.
        self._group = model.windows_at_once(rule.window)

    def read(self, items: Sequence[Item], bad: Mapping[int, Exception]) -> Generator[tuple[int, ReadEvent], None, None]:
        """What happens to the items, in their order.

        Args:
            items: The items to read.
            bad: The items not to touch, and why, by their position.

        Yields:
            The position of an item, and what happened to it.
        """
        packed = any(item.shard is not None and is_packed(item.shard) for item in items)

        def events(i: int) -> Generator[ReadEvent, None, None]:
            if i in bad:
                yield FileEnded(bad[i], look(items[i], self._folder))
            else:
                yield from self._read_one(items[i])

        yield from in_order(events, len(items), 1 if packed else self._threads, self._files.close)

    def _read_one(self, item: Item) -> Generator[ReadEvent, None, None]:
        seen = look(item, self._folder)
        try:
            with self._files.open(item) as file, naming(item.name):
                rate = check_rate(file.sample_rate, "the file's sample rate")
                duration = file.duration
                recorded = None if self._look is None else self._look.of_file(item.file, self._folder, file)
                known = duration if duration < _LONGEST_KNOWN_S else None
                yield FileOpened(known, rate, file.channels, recorded)

                path = self._model.window_path(self._rule, rate, lambda _window: self._group)
                told = 0
                for windows in path.groups(file.blocks()):
                    yield FileWindows(windows, (path.fed - told) / rate)
                    told = path.fed
        except OutputError:
            raise  # not the file's fault
        except (OSError, ValueError, RuntimeError, MemoryError, EOFError, tarfile.TarError) as error:
            yield FileEnded(error, seen)
        else:
            yield FileEnded(None, seen, path.last_weight)


def in_order(
    pieces: Callable[[int], Generator[_T, None, None]],
    count: int,
    threads: int,
    at_end: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, _T]]:
    """What ``pieces(0)``, ``pieces(1)``, ... yield, one after the other, computed by threads that are a little ahead.

    Args:
        pieces: Makes a generator for each number.
        count: How many generators there are.
        threads: How many threads run them.
        at_end: Is called when all threads have ended, whatever ended them; not if one is stuck in a read that does not
            come back (a disk or a network that does not answer), which nothing can end. It is left behind then, so that
            an interruption is not waited for.
    """
    stopped = threading.Event()
    begun: queue.SimpleQueue[tuple[int, queue.Queue[_T | _End]] | None] = queue.SimpleQueue()

    def put(out: queue.Queue[_T | _End], piece: _T | _End) -> bool:
        while not stopped.is_set():
            try:
                out.put(piece, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def run(i: int, out: queue.Queue[_T | _End]) -> None:
        error = None
        try:
            with closing(pieces(i)) as source:
                for piece in source:
                    if not put(out, piece):
                        return
        except BaseException as raised:  # a fault of the program, which must not be waited for for ever
            error = raised
        put(out, _End(error))

    def work() -> None:
        while (task := begun.get()) is not None and not stopped.is_set():
            run(*task)

    # A thread takes the earliest file that none has started, so the one that is waited for is always being read.
    waiting: deque[tuple[int, queue.Queue[_T | _End]]] = deque()
    # Not those of concurrent.futures, which the interpreter waits for at its end.
    readers = [threading.Thread(target=work, name=f"hear-edgel3-read-{n}", daemon=True) for n in range(threads)]
    started = 0
    try:
        for reader in readers:
            reader.start()
        while started < count or waiting:
            while started < count and len(waiting) < max(_FILES_AHEAD, threads):
                out: queue.Queue[_T | _End] = queue.Queue(_GROUPS_AHEAD)
                waiting.append((started, out))
                begun.put((started, out))
                started += 1
            i, out = waiting.popleft()
            while not isinstance(piece := out.get(), _End):
                yield i, piece
            if piece.error is not None:
                raise piece.error
    finally:
        stopped.set()
        for _ in readers:
            begun.put(None)
        _wait_for(readers, _PATIENCE_S)
        if left := [reader for reader in readers if reader.is_alive()]:
            # Before Python 3.14 the interpreter ends them with itself wherever they are, and in torch that aborts it.
            atexit.register(_wait_while_busy, left)
        else:
            at_end()


def _wait_for(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Until all have ended of those that were started, but no longer."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))


def _wait_while_busy(threads: Sequence[threading.Thread]) -> None:
    """Until all have ended, or those that are left do not compute, as one does that is stuck in a read."""
    deadline = time.monotonic() + _PATIENCE_AT_EXIT_S
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        begun, spent = time.monotonic(), time.process_time()
        _wait_for(threads, _LOOK_EVERY_S)
        # This thread only waits, so that what the process has computed they have.
        if time.process_time() - spent < 0.1 * (time.monotonic() - begun):
            return


@dataclass(frozen=True)
class _End:
    error: BaseException | None

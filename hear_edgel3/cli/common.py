"""What several subcommands share: reading numbers, and keeping count of inputs that failed."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from hear_edgel3.errors import ComputationError, HearEdgeL3Error, InvalidOption


def positive(text: str) -> float:
    """A positive number of seconds, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, got {text}")
    return value


def count(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return value


def add_device_and_engine(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where the net runs, and on what."""
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="what runs the net: auto (default), torch, numba, onnxruntime, openvino or eager",
    )


class _Movable(Protocol):
    def to(self, device: str) -> Any: ...


_Model = TypeVar("_Model", bound=_Movable)


def on_device(model: _Model, device: str) -> _Model:
    """Moves a model to the device that was asked for.

    Raises:
        InvalidOption: there is no such device here.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
        raise InvalidOption(f"device {device!r} cannot be used: {error}") from error
    return model


class Failures:
    """Inputs that failed: each is reported on stderr at once, and again at the end.

    Args:
        failed: inputs that have failed already, with their errors.
    """

    def __init__(self, failed: Iterable[tuple[str, HearEdgeL3Error]] = ()) -> None:
        self._failed: list[tuple[str, HearEdgeL3Error]] = []
        for name, error in failed:
            self.add(name, error)

    def __len__(self) -> int:
        return len(self._failed)

    def add(self, name: str, error: Exception) -> None:
        """Keeps a failure and prints one line, without tearing a progress bar.

        torch says with a plain RuntimeError that a device is out of memory; the next file may fit.
        """
        from tqdm import tqdm

        known = error if isinstance(error, HearEdgeL3Error) else ComputationError(f"{name}: {error}")
        self._failed.append((name, known))
        tqdm.write(f"error: {_with_name(name, str(known))}", file=sys.stderr)

    def summarise(self, total: int) -> None:
        """Lists the failures once more, unless there was but one input.

        Args:
            total: how many inputs there were.
        """
        if self._failed and total > 1:
            print("failures:", file=sys.stderr)
            for name, error in self._failed:
                print(f"  {_with_name(name, str(error).splitlines()[0])}", file=sys.stderr)


def _with_name(name: str, text: str) -> str:
    return text if name in text else f"{name}: {text}"

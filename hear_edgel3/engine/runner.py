"""Engines: ways to run a net for embeddings. Their table is :mod:`hear_edgel3.engine.table`.

An engine takes a net and returns a callable that gives the numbers of its eval mode (to its stated tolerance). It
neither switches the net to that mode, which other threads would notice, nor minds the caller's autocast.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import nn

from hear_edgel3 import _forks
from hear_edgel3._checks import check_word
from hear_edgel3.engine.eval_mode import in_eval_mode, plain
from hear_edgel3.engine.expected import Choice
from hear_edgel3.engine.seen import Seen
from hear_edgel3.engine.table import MODULES, NAMES
from hear_edgel3.errors import InvalidOption

Compiled = Callable[[torch.Tensor], torch.Tensor]
# What takes a front end and windows, and gives embeddings.
Ready = Callable[[nn.Module, torch.Tensor], torch.Tensor]
# The devices whose autocast every supported torch knows how to switch off.
_AUTOCAST = ("cpu", "cuda", "xpu")


class Engine(Protocol):
    """What the module of an engine has.

    It asks a net what it has, never of which class it is, so that a new family touches no engine.
    """

    def check_installed(self) -> None:
        """Raises MissingExtra if a package that it needs is not installed."""

    def obstacle(self, net: nn.Module) -> str | None:
        """Why it cannot run a net, or None."""

    def pays(self, net: nn.Module) -> str | None:
        """Why "auto" should take it for a net that it can run, or None."""

    def compile_net(self, net: nn.Module) -> Compiled:
        """The net as it runs it, which is as in eval mode, whatever mode the net is in now or later.

        If that has a method ``from_samples(frontend, windows)``, it embeds windows, or returns None if it cannot. If it
        has ``fetch(addresses)``, that is for :meth:`~hear_edgel3.engine.seen.Seen.fetch_with`.
        """


# One net is compiled at a time.
_COMPILING = threading.RLock()
_forks.wait_for(_COMPILING, _forks.COMPILING)


def _engine(name: str) -> Engine:
    return cast(Engine, importlib.import_module(MODULES[name]))


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """What is computed within is not cast to another precision, whatever the caller has asked torch for."""
    if device.type not in _AUTOCAST or not _autocasts(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _autocasts(device_type: str) -> bool:
    try:
        return torch.is_autocast_enabled(device_type)
    except TypeError:  # before torch 2.4, which asks for no device: it is switched off, be it on or not
        return True


def check_engine(name: str) -> None:
    """Finds out, without a net, whether an engine exists and is installed.

    Raises:
        InvalidOption: there is no such engine.
        MissingExtra: what it needs is not installed.
    """
    check_word(name, "engine", NAMES)
    if name != "auto":
        _engine(name).check_installed()


class Runner:
    """Runs a net through an engine, compiling it again whenever its parameters have changed or moved.

    Numbers that are written behind autograd's back, into ``.data``, are the one kind of change that cannot be noticed;
    :meth:`forget` is for these.

    Args:
        engine: one of :data:`~hear_edgel3.engine.table.NAMES`.

    Raises:
        InvalidOption: there is no such engine.
        MissingExtra: what it needs is not installed.
    """

    def __init__(self, engine: str = "auto") -> None:
        check_engine(engine)
        self._wanted = engine
        self._compiled: _Compiled | None = None

    def __getstate__(self) -> dict[str, object]:
        """What is pickled: not the compiled net, which can be made again."""
        return {**self.__dict__, "_compiled": None}

    def forget(self) -> None:
        """Has the net compiled again when it runs next."""
        self._compiled = None

    def choose(self, net: nn.Module) -> Choice:
        """The engine for a net.

        Raises:
            InvalidOption: the one that was asked for cannot run it.
        """
        net = plain(net)
        if self._wanted != "auto":
            obstacle = _engine(self._wanted).obstacle(net)
            if obstacle is not None:
                raise InvalidOption(f"engine={self._wanted!r} cannot run this net: {obstacle}; use engine='auto'")
            return Choice(self._wanted, "it was asked for")
        for name in MODULES:
            engine = _engine(name)
            reason = engine.pays(net) if engine.obstacle(net) is None else None
            if reason is not None:
                return Choice(name, reason)
        raise AssertionError("torch runs every net")

    def __call__(self, net: nn.Module, x: torch.Tensor, kept: object | None = None) -> torch.Tensor:
        """Runs ``net``, which keeps its parameters and mode, on ``x``: as in eval mode, in the net's own precision.

        Args:
            net: The net.
            x: What its front end makes.
            kept: As for :meth:`ready`.
        """
        with without_autocast(x.device):
            return self._ready(net, kept)[1](x)

    def ready(self, net: nn.Module, kept: object | None = None) -> Ready:
        """``net`` as it is now, for one group of windows after the other: to look whether it has changed takes time.

        Args:
            net: The net.
            kept: What is another object than before, or None, if it can have changed. If it is the same, nobody looks.

        Returns:
            What runs it on what a front end makes of windows, as :meth:`__call__`; an engine may run both at once.
        """
        run = self._ready(net, kept)[1]
        from_samples = getattr(run, "from_samples", None)

        def embed(frontend: nn.Module, windows: torch.Tensor) -> torch.Tensor:
            with without_autocast(windows.device):
                embedding = None if from_samples is None else from_samples(frontend, windows)
                if embedding is None:
                    # A copy: hooks may write to what a front end is given, which may be the caller's, and overlap.
                    own = windows.clone(memory_format=torch.contiguous_format)
                    # Another: a net of somebody's own may put all that it puts out into the same memory.
                    embedding = run(in_eval_mode(frontend)(own)).clone()
                return cast(torch.Tensor, embedding)

        return embed

    def windows_at_once(self, net: nn.Module, usual: int) -> int:
        """How many windows to give it at once, for a net of which torch is best given ``usual`` ones."""
        compiled = self._compiled  # if the net has changed since, it most likely runs through the same engine
        wanted = self._ready(net)[0] if compiled is None else compiled.ready[0]
        return max(usual, wanted * torch.get_num_threads())

    def _ready(self, net: nn.Module, kept: object | None = None) -> tuple[int, Compiled]:
        """How many windows for each thread the net's engine wants at least, and the compiled net."""
        compiled = self._compiled
        if compiled is None or not compiled.still(net, kept):
            seen = Seen(net)
            with (
                _COMPILING,
                torch.inference_mode(False),
                torch.no_grad(),
                without_autocast(seen.device),
                without_autocast(torch.device("cpu")),
            ):
                compiled = self._compiled
                if compiled is None or not compiled.still(net, kept):  # no other thread has done it meanwhile
                    holding = plain(net)
                    engine = _engine(self.choose(holding).name)
                    ready = (getattr(engine, "WINDOWS_PER_THREAD", 0), engine.compile_net(holding))
                    if (fetch := getattr(ready[1], "fetch", None)) is not None:
                        seen.fetch_with(fetch)
                    compiled = self._compiled = _Compiled(seen, kept, ready)
        return compiled.ready


@dataclass
class _Compiled:
    """A net that was compiled, as it was then.

    Attributes:
        seen: The net.
        kept: What was said of it then, or when it was last looked at.
        ready: How many windows for each thread the engine wants at least, and the compiled net.
    """

    seen: Seen
    kept: object | None
    ready: tuple[int, Compiled]

    def still(self, net: nn.Module, kept: object | None) -> bool:
        """Whether it was made of `net`, which has not changed."""
        if kept is not None and kept is self.kept and self.seen.of(net):
            return True
        if not self.seen.still(net):
            return False
        self.kept = kept
        return True

"""What computes, and what is said meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hear_edgel3._checks import check_device_name, check_flags, check_paths, check_whole
from hear_edgel3.detectors.cache import Embedded, embed_labelled
from hear_edgel3.disk.stderr import say
from hear_edgel3.sources.item import Item


@dataclass(frozen=True)
class Work:
    """What computes.

    Attributes:
        cache: The folder that embeddings are kept in; None for the user's.
        weights: The weights file of the net; None to find it.
        engine: What runs the net.
        device: Where it runs; None for the CPU, and for training the net the GPU where there is one.
        workers: How many processes embed; None for the CPUs there are.
        quiet: Whether nothing but warnings is said on stderr.
    """

    cache: str | os.PathLike[str] | None = None
    weights: str | os.PathLike[str] | None = None
    engine: str = "auto"
    device: str | None = None
    workers: int | None = None
    quiet: bool = True

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: One of them cannot be used, whatever the net.
        """
        check_paths(cache=self.cache)
        if self.device is not None:
            check_device_name(self.device)
        if self.workers is not None:
            check_whole(self.workers, "workers", 1)
        check_flags(quiet=self.quiet)

    def tell(self, line: str) -> None:
        """Says a line on stderr."""
        if not self.quiet:
            say(f"hear-edgel3: {line}")

    def tell_notes(self, notes: Sequence[str], warnings: Sequence[str]) -> None:
        """Says what the user should know, each a line.

        Args:
            notes: All of it.
            warnings: What of it is said even if nothing else is: not all that was asked for could be done.
        """
        for note in notes:
            if note in warnings:
                say(f"warning: {note}")
            else:
                self.tell(note)

    def embed(self, items: Sequence[Item], config: str | os.PathLike[str]) -> Embedded:
        """The embeddings of sounds, as :func:`hear_edgel3.detectors.cache.embed_labelled` keeps them."""
        return embed_labelled(
            items,
            config,
            self.cache,
            weights=self.weights,
            engine=self.engine,
            device=self.device or "cpu",
            workers=self.workers,
            quiet=self.quiet,
        )

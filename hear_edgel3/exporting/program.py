"""What is exported: one module from samples to embedding and classes, and what a target must know of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from hear_edgel3._checks import number_of, shown
from hear_edgel3.engine.eval_mode import in_eval_mode, plain
from hear_edgel3.engine.exported import exportable
from hear_edgel3.engine.folded import folded_module, not_float32_on_cpu
from hear_edgel3.engine.runner import without_autocast
from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.card import FRONTEND, NET, WHOLE, make_card
from hear_edgel3.extractor.as_it_is import AsItIs
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.as_built import hooks_of, what_changed
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.families.protocols import SelectingNet
from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.heads import Head
from hear_edgel3.tagging.outputs import outputs_of

# Traced with this many windows; any number can be given later, where the engine allows it.
_EXAMPLES = 2
PARTS = (WHOLE, NET, FRONTEND)


class Answers(nn.Module):
    """From samples, or images, to everything that a file puts out.

    Args:
        frontend: Makes images of samples; None if images are given.
        net: Makes embeddings of images, and logits behind them if there is no ``head``; None for images alone.
        size: The values of the embedding that ``net`` puts out.
        head: Makes logits of embeddings; None if there is none.
        targets: What the logits are; None if there are none.
        temperature: What they are divided by.
        puts_logits: Whether the embedding that was asked for is what the head puts out.
    """

    def __init__(
        self,
        frontend: nn.Module | None,
        net: nn.Module | None,
        size: int,
        head: nn.Module | None,
        targets: str | None,
        temperature: float,
        puts_logits: bool,
    ) -> None:
        super().__init__()
        self.frontend, self.net, self.head = frontend, net, head
        self.size, self.targets, self.temperature, self.puts_logits = size, targets, temperature, puts_logits

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, samples) or (n, n_mels, n_frames) to one tensor (n, ...) for each output."""
        if self.frontend is not None:
            x = self.frontend(x)
        if self.net is None:
            return (x,)
        found = self.net(x)
        if self.targets is None:
            return (found,)
        embedding = found[:, : self.size]
        logits = found[:, self.size :] if self.head is None else self.head(found)
        embedding = logits if self.puts_logits else embedding
        if self.targets == "numbers":
            return embedding, logits
        scaled = logits if self.temperature == 1 else logits / self.temperature
        probabilities = torch.softmax(scaled, dim=1) if self.targets == "single" else torch.sigmoid(scaled)
        return embedding, logits, probabilities

    def embeddings(self, images: torch.Tensor) -> torch.Tensor:
        """(n, n_mels, n_frames) images to what the net makes of them, (n, size), before any head."""
        assert self.net is not None
        found: torch.Tensor = self.net(images)
        return found[:, : self.size] if self.head is None else found


@dataclass(frozen=True)
class Program:
    """A module to export.

    Attributes:
        module: In eval mode, in float32 on the CPU. Its outputs are those of ``outputs``, in that order.
        reference: The same function of the same float32 input, computed in float64: what a file is compared with.
        usual: The same as this package computes it, in float32.
        fast: The same as the engine "torch" runs it: what a file's time is compared with.
        images: The front end of this package, which makes the input of a file without one.
        example: An input to trace it with, (n, samples) or (n, n_mels, n_frames) float32.
        source: The name of its input: "samples" or "spectrogram".
        outputs: Their names: "embedding", and "logits" and "probabilities", or "numbers"; or "spectrogram".
        length_axis: The axis of its input that may have any length; None if all are alike.
        card: What the file is to say of itself.
    """

    module: Answers
    reference: nn.Module
    usual: nn.Module
    fast: nn.Module
    images: nn.Module
    example: torch.Tensor
    source: str
    outputs: tuple[str, ...]
    length_axis: int | None
    card: dict[str, Any]


class _Images64(nn.Module):
    """A front end that computes in float64, or images that are given, in that type."""

    def __init__(self, frontend: nn.Module | None) -> None:
        super().__init__()
        self.frontend = frontend

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, samples) or (n, n_mels, n_frames) to (n, n_mels, n_frames) float64."""
        images: torch.Tensor = x if self.frontend is None else cast(Any, self.frontend).in_float64(x)
        return images.double()


def length_in_samples(row: Checkpoint, length: float | str | None) -> int | None:
    """The samples of the only windows that a file shall take; None for any number of them.

    Args:
        row: What is exported.
        length: Seconds, "dynamic", or None for what suits the net.

    Raises:
        InvalidOption: The net does not take such windows, or the length is none.
    """
    only, seconds = row.only_window_ms, number_of(length)
    if only is not None:
        if length is None or (math.isfinite(seconds) and round(seconds * 1000) == only):
            return row.window
        raise InvalidOption(
            f"{row.name} takes windows of {only / 1000:g} s only; got length={shown(length)}; leave it out"
        )
    if length is None or (isinstance(length, str) and length == "dynamic"):
        return None
    if not 0 < seconds <= 3600:
        raise InvalidOption(f"length must be dynamic, or seconds above 0 and up to 3600; got {shown(length)}")
    samples = round(seconds * row.net_sample_rate)
    least: int = getattr(row.frontend.build(), "minimum_samples", 1)
    if samples < least:
        raise InvalidOption(
            f"length={length!r} is too short for {row.name}; use at least {least / row.net_sample_rate:g}"
        )
    return samples


@contextmanager
def program_of(
    extractor: Extractor, part: str, length: int | None, float64: bool, in_pairs: bool = False
) -> Iterator[Program]:
    """What is to be exported, as long as the block runs: the extractor's net puts out its logits meanwhile.

    Args:
        extractor: In float32 on the CPU.
        part: One of :data:`PARTS`.
        length: The samples of the only windows that it takes; None for any number of them.
        float64: Whether the engine computes in float64.
        in_pairs: Whether the front end computes its DFT in pairs of float32 (:func:`has_pairs`).

    Raises:
        InvalidOption: It cannot be exported.
    """
    row = extractor.configuration.checkpoint
    problem = not_float32_on_cpu(extractor.net) if any(True for _ in extractor.net.parameters()) else None
    if problem is not None:
        raise InvalidOption(f"{row.name} cannot be exported: {problem}; load it anew")
    with torch.inference_mode(False), torch.no_grad():
        net, head, puts_logits = _parts(plain(extractor.net))
    has_own_logits = head is None and extractor.labels is not None and isinstance(net, SelectingNet)
    targets = outputs_of(row).targets if part != FRONTEND and (head is not None or has_own_logits) else None
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        without_autocast(torch.device("cpu")),
        cast(SelectingNet, net).adding("logits") if has_own_logits and targets else nullcontext(),
    ):
        size = extractor.configuration.embedding_size
        whole = part != FRONTEND
        with torch.device("cpu"):  # which would slow everything down if it lasted
            portable = None if part == NET else _portable(extractor.frontend, row, float64, in_pairs)
            plain_head = None if head is None else in_eval_mode(head)
            rest = (targets, outputs_of(row).temperature, puts_logits)
            runs = _as_it_runs(net, row) if whole else net
            folded = in_eval_mode(folded_module(runs)) if whole else None
            exported = in_eval_mode(exportable(runs)) if whole else None
            images = in_eval_mode(extractor.frontend)
            frontend = None if part == NET else images
            unfolded = in_eval_mode(runs) if whole else None
            module, fast, usual = (
                Answers(first, second, size, plain_head, *rest).eval()
                for first, second in ((portable, exported), (frontend, folded), (frontend, unfolded))
            )
            wide, wide_head = (
                None if one is None else copy.deepcopy(one).double().requires_grad_(False)
                for one in (unfolded, plain_head)
            )
            reference = Answers(_Images64(frontend), wide, size, wide_head, *rest).eval()
            n_samples = extractor.net_sample_rate if length is None else length
            example = torch.zeros(_EXAMPLES, n_samples, dtype=torch.float32)
        if part == NET:
            example = images(example)
        outputs = _outputs(whole, targets)
        found = usual(example)
        shapes: dict[str, list[int | None]] = {name: [*y.shape[1:]] for name, y in zip(outputs, found, strict=True)}
        if not whole and length is None:
            shapes["spectrogram"][-1] = None
        takes: list[int | None] = [*example.shape[1:]]
        if length is None:
            takes[-1] = None
        card = make_card(extractor, part, length, takes, shapes)
        axis = None if length is not None else example.ndim - 1
        yield Program(module, reference, usual, fast, images, example, card["input"], outputs, axis, card)


def _as_it_runs(net: nn.Module, row: Checkpoint) -> nn.Module:
    """A net, or if somebody has changed it what runs it just as it is: its forms know nothing of that."""
    if any("forward" in vars(module) for module in net.modules()):
        raise InvalidOption(
            f"{row.name} cannot be exported: one of its modules has another forward, which nobody can take along; put "
            f"a module that computes it in its place"
        )
    changed = what_changed(net)
    return net if changed is None else AsItIs(net, changed)


def _parts(net: nn.Module) -> tuple[nn.Module, Head | None, bool]:
    """What makes the embedding, the head on it, and whether what the head puts out was asked for."""
    if isinstance(net, HeadedNet):
        return net.net, net.head, net.puts_out == "logits"
    return net, None, False


def _outputs(whole: bool, targets: str | None) -> tuple[str, ...]:
    if not whole:
        return ("spectrogram",)
    if targets is None:
        return ("embedding",)
    return ("embedding", "numbers") if targets == "numbers" else ("embedding", "logits", "probabilities")


def has_pairs(extractor: Extractor, part: str) -> bool:
    """Whether what is exported has a front end, and that a form with the DFT in pairs of float32."""
    make = getattr(extractor.frontend, "portable_in_pairs", None)
    return part != NET and make is not None and make() is not None


def _portable(frontend: nn.Module, row: Checkpoint, float64: bool, in_pairs: bool) -> nn.Module:
    if hooks_of(frontend) or "forward" in vars(frontend):
        raise InvalidOption(
            f"the front end of {row.name} has hooks or another forward, which no form that other engines run has; "
            f"leave it out (part='net', --no-frontend)"
        )
    make = getattr(frontend, "portable", None)
    portable: nn.Module | None
    if in_pairs:
        portable = cast(Any, frontend).portable_in_pairs()
    else:
        portable = None if make is None else make(float64)
    if portable is None:
        raise InvalidOption(
            f"the front end of {row.name} has no form that other engines run; leave it out (part='net', --no-frontend)"
        )
    return portable.eval()

"""Training: batches of one length, a loss on embeddings and logits, and a state on disk that training goes on from.

Devices, mixed precision and several processes are accelerate's; everything random is drawn from seeds that follow from
the epoch, so that a run that was killed and goes on gives the same student as one that was not.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hear_edgel3._extras import require
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.stderr import say
from hear_edgel3.distillation.examples import Examples
from hear_edgel3.distillation.lessons import Lessons
from hear_edgel3.distillation.loss import DistillationLoss
from hear_edgel3.distillation.measuring import BY_SOURCE, deciding_loss, measure, named
from hear_edgel3.distillation.recipe import Recipe, fingerprint
from hear_edgel3.distillation.student import Learner
from hear_edgel3.distillation.target_scale import TargetScale
from hear_edgel3.errors import ComputationError, InvalidOption, OutputError
from hear_edgel3.training.schedule import cosine

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE = "training.pt"
METRICS = "metrics.csv"


@dataclass
class Progress:
    """How far a training has come; all of it is on disk after each epoch.

    Attributes:
        epoch: The number of epochs that are done.
        best_loss: The lowest validation loss so far, of sources that were left out where there are any.
        best_epoch: The number of its epoch, from 1.
        best: The net's state after that epoch.
        seconds: The time that training has taken so far.
        metrics: One row of numbers per epoch.
    """

    epoch: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    metrics: list[dict[str, float]] = field(default_factory=list)


def make_accelerator(recipe: Recipe, device: str | None) -> Accelerator:
    """The thing that knows devices, processes and precisions.

    Args:
        recipe: for its precision.
        device: "cpu" to stay there; None for what there is.

    Raises:
        MissingExtra: accelerate is not installed.
        InvalidOption: the precision cannot be had here, or there is no such choice of device.
    """
    if device not in (None, "cpu"):
        raise InvalidOption(f'device must be "cpu", or None for the GPU where there is one; got {device!r}')
    require("accelerate", "distilling", "distill")
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        # It keeps one device and precision per process, and would refuse, or silently not take, others after the first.
        AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision=recipe.precision,
            # The other processes wait while the first one asks the teacher, which may take hours.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))],
        )
    except ValueError as error:
        raise InvalidOption(f"precision {recipe.precision!r} cannot be had here: {error}") from error
    if recipe.precision == "fp16" and accelerator.device.type == "cpu":  # of which newer versions of it say nothing
        raise InvalidOption('precision \'fp16\' cannot be had here: it needs a GPU; use "bf16" or "no"')
    return accelerator


def train(
    recipe: Recipe,
    student: Learner,
    target_scale: TargetScale,
    lessons: Lessons,
    validation: Examples,
    folder: Path,
    accelerator: Accelerator,
    quiet: bool = False,
    by_source: Examples | None = None,
    guesses: Mapping[str, float] = MappingProxyType({}),
) -> Progress:
    """Trains the student, or goes on where an earlier run with the same recipe and the same examples was stopped.

    After each epoch ``folder`` has ``training.pt`` and ``metrics.csv`` up to it, and the curves are in
    ``folder/tensorboard`` if tensorboard is installed.

    Args:
        recipe: How to train.
        student: What to train.
        target_scale: The scale in which it learns embeddings.
        lessons: What it learns from.
        validation: Clips of files that it does not learn from.
        folder: Of the result.
        accelerator: Where to compute.
        quiet: Without progress bars and lines.
        by_source: Clips of sources that it does not learn from, which then decide which epoch is the best one.
        guesses: Figures that stand in each epoch's row besides, as what a net has to beat.

    Raises:
        OutputError: nothing can be written there, or it holds another training.
        ComputationError: the training diverged.
        InvalidAudio, InvalidOption: there are too few clips of one length for a batch, or for one in each process.
    """
    counts = [len(part.clips) for part in (validation, by_source) if part is not None]
    identity = fingerprint(recipe.to_dict(), *lessons.identity, *counts, target_scale.mean.sum().item())
    net: nn.Module = student.net
    if accelerator.device.type == "cpu":
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimizer: Any = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.lr,
    )
    net, optimizer = accelerator.prepare(net, optimizer)
    progress = _load_state(folder / STATE, identity, net, optimizer, accelerator)
    loss_of = DistillationLoss(target_scale, student.n_classes is not None, recipe.logits_weight, accelerator.device)
    with _Curves(folder, progress.epoch) as curves:
        while progress.epoch < recipe.epochs and not _is_over(progress, recipe):
            begun = time.monotonic()
            row = _epoch(progress.epoch, recipe, student, net, optimizer, lessons, loss_of, accelerator, quiet)
            for prefix, part in (("", validation), (BY_SOURCE, by_source)):
                if part is not None:
                    bare = accelerator.unwrap_model(net)
                    row |= named(prefix, measure(bare, loss_of, part, recipe.batch_seconds, accelerator.device))
            row |= guesses
            progress.epoch += 1
            progress.seconds += time.monotonic() - begun
            row = {"epoch": progress.epoch, "seconds": round(progress.seconds, 1), **row}
            progress.metrics.append(row)
            # Nothing that was found while batch norm measured stands in the way of what comes after.
            begins = progress.epoch in (1, recipe.measuring_epochs + 1)
            if begins or deciding_loss(row) < progress.best_loss:
                # One that is not finite is worse than all others.
                progress.best_loss = deciding_loss(row) if math.isfinite(deciding_loss(row)) else math.inf
                progress.best_epoch = progress.epoch
                state = accelerator.unwrap_model(net).state_dict()
                progress.best = {name: value.detach().cpu().clone() for name, value in state.items()}
            if not math.isfinite(row["train_loss"]):
                raise ComputationError(
                    f"training diverged in epoch {progress.epoch} (loss {row['train_loss']}); use a lower lr (--lr)"
                )
            if accelerator.is_main_process:
                _save_state(folder, identity, net, optimizer, accelerator, progress)
                curves.add(row, progress.epoch)
            if not quiet and accelerator.is_main_process:
                _say(progress, recipe)
            accelerator.wait_for_everyone()
    return progress


def _is_over(progress: Progress, recipe: Recipe) -> bool:
    """Whether training has stopped getting better."""
    fixed = progress.epoch > recipe.measuring_epochs
    return fixed and progress.epoch - progress.best_epoch >= recipe.patience


def _epoch(
    epoch: int,
    recipe: Recipe,
    student: Learner,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    lessons: Lessons,
    loss_of: DistillationLoss,
    accelerator: Accelerator,
    quiet: bool,
) -> dict[str, float]:
    """One pass over one variant of every clip."""
    from tqdm import tqdm

    loader = lessons.epoch(epoch, accelerator.process_index, accelerator.num_processes, accelerator.device)
    student.train(measuring=epoch < recipe.measuring_epochs)
    total = torch.zeros(3, dtype=torch.float64)
    bar = tqdm(
        loader,
        total=len(loader),
        desc=f"epoch {epoch + 1}/{recipe.epochs}",
        unit="batch",
        file=sys.stderr,
        disable=quiet or not accelerator.is_main_process,
        leave=False,
        dynamic_ncols=True,
    )
    # What layers and masks draw at random follows from the epoch alone; the caller's generators stay as they are.
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(hash((recipe.seed, epoch, accelerator.process_index)) & 0x7FFFFFFF)
        for number, batch in enumerate(bar):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * cosine((epoch + number / len(bar)) / recipe.epochs, recipe.warmup)
            outputs = net(_augmented(batch.inputs, student, recipe.masking))
            parts = loss_of.parts(outputs, batch)
            loss = loss_of(*parts)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += torch.tensor([loss.item(), parts[0].mean().item(), parts[1].mean().item()])
    total /= len(bar)
    return {
        "lr": optimizer.param_groups[0]["lr"],
        "train_loss": total[0].item(),
        "train_embedding_loss": total[1].item(),
        "train_logits_loss": total[2].item(),
    }


def _augmented(inputs: torch.Tensor, student: Learner, masking: float) -> torch.Tensor:
    """Inputs turned in time, and masked where the front end knows how; as they are where just they were asked about."""
    if student.hears_what_was_asked:
        return inputs
    shift = int(torch.randint(inputs.shape[2], (1,)))
    inputs = inputs.roll(shift, dims=2)
    mask = getattr(student.frontend, "mask", None)
    return inputs if mask is None else mask(inputs, masking)


def _load_state(path: Path, identity: str, net: nn.Module, optimizer: Any, accelerator: Accelerator) -> Progress:
    """The progress on disk, put into net and optimizer; a new one if there is none."""
    if not path.is_file():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found, progress = state["identity"], Progress(**state["progress"])
    except Exception as error:  # torch raises many kinds for a damaged file, some with a page of advice
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OutputError(f"{path} is damaged ({reason}); delete it to start again") from error
    if found != identity:
        raise OutputError(
            f"{path} belongs to another distillation (other options, teacher or audio); use another --output, or "
            f"delete it to start again"
        )
    accelerator.unwrap_model(net).load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    if accelerator.scaler is not None and state["scaler"] is not None:
        accelerator.scaler.load_state_dict(state["scaler"])
    return progress


def _save_state(
    folder: Path, identity: str, net: nn.Module, optimizer: Any, accelerator: Accelerator, progress: Progress
) -> None:
    buffer = io.BytesIO()
    state = {
        "identity": identity,
        "net": accelerator.unwrap_model(net).state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": None if accelerator.scaler is None else accelerator.scaler.state_dict(),
        "progress": vars(progress),
    }
    torch.save(state, buffer)
    text = io.StringIO()
    table = csv.DictWriter(text, list(progress.metrics[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in progress.metrics)
    with atomic_write(folder / METRICS) as file:
        file.write(text.getvalue().encode())
    with atomic_write(folder / STATE) as file:
        file.write(buffer.getbuffer())


class _Curves:
    """Curves for TensorBoard, if that is installed; else nothing. Use it as a context manager.

    Args:
        folder: of the result.
        epoch: the last one that is there already; what is behind it is replaced.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._folder = folder / "tensorboard"
        self._epoch = epoch
        self._writer: Any = None

    def add(self, row: Mapping[str, float], epoch: int) -> None:
        """Writes the numbers of an epoch.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        try:
            if self._writer is None:
                self._writer = SummaryWriter(self._folder, purge_step=self._epoch + 1)
            for key, value in row.items():
                self._writer.add_scalar(key, value, epoch)
            self._writer.flush()
        except OSError as error:
            raise OutputError(f"cannot write into {self._folder}: {error.strerror or error}") from error

    def __enter__(self) -> _Curves:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            with suppress(OSError):  # everything was flushed, or that it was not has been said
                self._writer.close()


def _say(progress: Progress, recipe: Recipe) -> None:
    row = progress.metrics[-1]
    keys = ("validation_loss", "r2", "top1_agreement", "kl")
    said = []
    for prefix in ("", BY_SOURCE):
        parts = [f"{key} {row[prefix + key]:.4g}" for key in keys if prefix + key in row]
        said.append(", ".join(parts if prefix else [f"train_loss {row['train_loss']:.4g}", *parts]))
    figures = "; by source: ".join(filter(None, said))
    best = " (best)" if progress.best_epoch == progress.epoch else ""
    say(f"epoch {progress.epoch}/{recipe.epochs}, {progress.seconds:.0f} s: {figures}{best}")

"""The trainer: epochs of a task, with a state on disk after each that training goes on from.

Devices, mixed precision and several processes are accelerate's; everything random is drawn from seeds that follow from
the epoch, so that a training that was killed and goes on gives the same net as one that was not. What is trained, and
how, is said by a :class:`Task`: a distillation, or a net that is trained further on labelled sounds.
"""

from __future__ import annotations

import io
import math
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import nn

from hear_edgel3._extras import require
from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.stderr import say
from hear_edgel3.errors import ComputationError, InvalidOption, OutputError
from hear_edgel3.training.metrics import METRICS, put_right, table_of

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE = "training.pt"


@dataclass
class Progress:
    """How far a training has come; all of it is on disk after each epoch.

    Attributes:
        epoch: The number of epochs that are done.
        best_loss: The lowest deciding figure so far.
        best_epoch: The number of its epoch, from 1; 0 for what training began with.
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


class Batches(Protocol):
    """The batches of one epoch for one process; what one is, is the task's affair."""

    def __len__(self) -> int:
        """Their number, the same in all processes."""

    def __iter__(self) -> Iterator[Any]:
        """The batches, on the device."""


class Task(ABC):
    """What is trained, and how.

    Attributes:
        net: What is trained. The trainer moves it to the device.
        what: What to call it where a folder holds another one: "distillation (other options, teacher or audio)".
        identity: A digest of all that decides what comes out, by which a state on disk is known to be its own.
        epochs: Their number.
        max_norm: The largest norm of all gradients of a step; None if they are left as they are.
        may_rest: Whether there are steps in which some parameters get no gradient.
        counts_start: Whether the net is measured before it is trained, and may be the best one as it is.
        best_counts: Whether the best epoch may count in the end though it is not the last one, and is told.
    """

    net: nn.Module
    what: str
    identity: str
    epochs: int
    max_norm: float | None = None
    may_rest: ClassVar[bool] = False
    counts_start: bool = False
    best_counts: bool = True

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the net's parameters, in one or several groups."""

    @abstractmethod
    def batches(self, epoch: int, process: int, n_processes: int, device: torch.device) -> Batches:
        """The batches of an epoch, which count from 0, for one of some processes."""

    @abstractmethod
    def begin(self, epoch: int) -> None:
        """Makes the net ready for an epoch: train mode, or what of it is frozen."""

    @abstractmethod
    def learning_rates(self, epoch: int, share: float) -> Sequence[float]:
        """The learning rate of each group of parameters, where ``share`` of an epoch is done."""

    @abstractmethod
    def loss(self, net: nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The loss of a batch, and other scalars whose means over the epoch are told.

        Args:
            net: The net to call, which may be wrapped.
            batch: One of :meth:`batches`.
        """

    @abstractmethod
    def measure(self, net: nn.Module, device: torch.device) -> dict[str, float]:
        """Figures of the net after an epoch, on what it does not learn from."""

    @abstractmethod
    def deciding(self, row: Mapping[str, float]) -> float:
        """The figure that is the lowest in the best epoch."""

    def seed(self, epoch: int, process: int) -> int:  # noqa: ARG002
        """What layers that draw at random are seeded with in an epoch."""
        return epoch

    def forgets(self, epochs: int) -> bool:
        """Whether nothing that was found before stands in the way of the epoch after which so many are done."""
        return epochs == 1 and not self.counts_start

    def is_over(self, progress: Progress) -> bool:  # noqa: ARG002
        """Whether training has stopped getting better."""
        return False

    def run_epoch(self, number: int, run: Run) -> dict[str, float]:
        """One epoch."""
        return run_epoch(number, run)

    def save(self, folder: Path, identity: str, net: nn.Module, run: Run, progress: Progress) -> None:
        """Writes the state down."""
        save_state(folder, identity, net, run, progress)

    def say(self, progress: Progress) -> None:
        """Says what the last epoch came to."""
        row = progress.metrics[-1]
        figures = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("epoch", "seconds"))
        say_epoch(progress, self.epochs, figures, self.best_counts)


@dataclass(frozen=True)
class Run:
    """A task on its device.

    Attributes:
        task: What is trained.
        net: The net as it is called, which may be wrapped.
        optimizer: Of its parameters.
        accelerator: Where to compute.
        quiet: Without progress bars and lines.
    """

    task: Task
    net: nn.Module
    optimizer: Any
    accelerator: Accelerator
    quiet: bool

    @property
    def bare(self) -> nn.Module:
        """The net without what it is wrapped in."""
        net: nn.Module = self.accelerator.unwrap_model(self.net)
        return net


def make_accelerator(precision: str, device: str | None, purpose: str, extra: str) -> Accelerator:
    """The thing that knows devices, processes and precisions.

    Args:
        precision: "no", "bf16" or "fp16".
        device: "cpu" to stay there; None for what there is.
        purpose: What it is needed for: "distilling".
        extra: The extra of this package that brings it.

    Raises:
        MissingExtra: accelerate is not installed.
        InvalidOption: the precision cannot be had here, or there is no such choice of device.
    """
    if device is not None and not (isinstance(device, str) and device == "cpu"):
        raise InvalidOption(f'device must be "cpu", or None for the GPU where there is one; got {device!r}')
    require("accelerate", purpose, extra)
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        # It keeps one device and precision per process, and would refuse, or silently not take, others after the first.
        AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision=precision,
            # The other processes wait while the first one asks a teacher, or decodes, which may take hours.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))],
        )
    except ValueError as error:
        raise InvalidOption(f"precision {precision!r} cannot be had here: {error}") from error
    if precision == "fp16" and accelerator.device.type == "cpu":  # of which newer versions of it say nothing
        raise InvalidOption('precision \'fp16\' cannot be had here: it needs a GPU; use "bf16" or "no"')
    return accelerator


def train(
    task: Task, folder: Path, accelerator: Accelerator, quiet: bool = False, wandb: str | None = None
) -> Progress:
    """Trains, or goes on where an earlier run of the same task was stopped.

    After each epoch ``folder`` has ``training.pt`` and ``metrics.csv`` up to it, and the curves are in
    ``folder/tensorboard`` if tensorboard is installed.

    Args:
        task: What is trained, and how.
        folder: Of the result; it exists.
        accelerator: Where to compute.
        quiet: Without progress bars and lines.
        wandb: The project of Weights & Biases that gets the curves too; None without. Whether they are sent or kept in
            ``folder/wandb`` is told by its own ``WANDB_MODE``.

    Raises:
        OutputError: nothing can be written there, or it holds another training.
        ComputationError: the training diverged.
        MissingExtra: the curves are to be sent, and the package is not installed.
    """
    if wandb is not None:
        require("wandb", "sending curves to Weights & Biases", "wandb")
    net = task.net
    if accelerator.device.type == "cpu":
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if task.may_rest:
        from accelerate.utils import DistributedDataParallelKwargs

        accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
    net, optimizer = accelerator.prepare(net, task.optimizer())
    run = Run(task, net, optimizer, accelerator, quiet)
    progress = load_state(folder / STATE, run)
    if progress.metrics and accelerator.is_main_process:
        put_right(folder / METRICS, progress.metrics)
    with _Curves(folder, progress.epoch, wandb, task.identity) as curves:
        if task.counts_start and not progress.metrics:
            _count_start(run, progress)
        while progress.epoch < task.epochs and not task.is_over(progress):
            begun = time.monotonic()
            row = task.run_epoch(progress.epoch, run)
            row |= task.measure(run.bare, accelerator.device)
            progress.epoch += 1
            progress.seconds += time.monotonic() - begun
            row = {"epoch": progress.epoch, "seconds": round(progress.seconds, 1), **row}
            progress.metrics.append(row)
            deciding = task.deciding(row)
            if task.forgets(progress.epoch) or deciding < progress.best_loss:
                # One that is not finite is worse than all others.
                progress.best_loss = deciding if math.isfinite(deciding) else math.inf
                progress.best_epoch = progress.epoch
                progress.best = _copied(run.bare)
            if not math.isfinite(row["train_loss"]):
                raise ComputationError(
                    f"training diverged in epoch {progress.epoch} (loss {row['train_loss']}): use a lower "
                    "learning rate (--lr, or lr= in Python)"
                )
            if accelerator.is_main_process:
                task.save(folder, task.identity, run.bare, run, progress)
                curves.add(row, progress.epoch)
            if not quiet and accelerator.is_main_process:
                task.say(progress)
            accelerator.wait_for_everyone()
    return progress


def _count_start(run: Run, progress: Progress) -> None:
    """Measures the net as it is."""
    begun = time.monotonic()
    row = run.task.measure(run.bare, run.accelerator.device)
    progress.seconds += time.monotonic() - begun
    progress.metrics.append({"epoch": 0, "seconds": round(progress.seconds, 1), **row})
    deciding = run.task.deciding(row)
    progress.best_loss = deciding if math.isfinite(deciding) else math.inf
    progress.best = _copied(run.bare)


def _copied(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}


def run_epoch(number: int, run: Run) -> dict[str, float]:
    """One epoch, as every task has it: its means of losses, and the learning rate at its end."""
    from tqdm import tqdm

    task, accelerator, optimizer = run.task, run.accelerator, run.optimizer
    batches = task.batches(number, accelerator.process_index, accelerator.num_processes, accelerator.device)
    task.begin(number)
    total: dict[str, float] = {}
    bar = tqdm(
        batches,
        total=len(batches),
        desc=f"epoch {number + 1}/{task.epochs}",
        unit="batch",
        file=sys.stderr,
        disable=run.quiet or not accelerator.is_main_process,
        leave=False,
        dynamic_ncols=True,
    )
    # What layers and masks draw at random follows from the epoch alone; the caller's generators stay as they are.
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(task.seed(number, accelerator.process_index))
        for done, batch in enumerate(bar):
            for group, rate in zip(optimizer.param_groups, task.learning_rates(number, done / len(bar)), strict=True):
                group["lr"] = rate
            loss, parts = task.loss(run.net, batch)
            accelerator.backward(loss)
            if task.max_norm is not None:
                accelerator.clip_grad_norm_(run.net.parameters(), task.max_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            for name, value in {"train_loss": loss, **parts}.items():
                total[name] = total.get(name, 0.0) + value.item()
            bar.set_postfix_str(f"loss {loss.item():.4g}", refresh=False)
    return {"lr": optimizer.param_groups[0]["lr"], **{name: value / len(batches) for name, value in total.items()}}


def say_epoch(progress: Progress, epochs: int, figures: str, best_counts: bool = True) -> None:
    """Says what an epoch came to, on stderr, and whether it is the best so far, unless that does not count."""
    best = " (best)" if best_counts and progress.best_epoch == progress.epoch else ""
    say(f"epoch {progress.epoch}/{epochs}, {progress.seconds:.0f} s: {figures}{best}")


def load_state(path: Path, run: Run) -> Progress:
    """The progress on disk, put into net and optimiser; a new one if there is none.

    Raises:
        OutputError: It is damaged, or that of another training.
    """
    if not path.is_file():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found, progress = state["identity"], Progress(**state["progress"])
    except Exception as error:  # torch raises many kinds for a damaged file, some with a page of advice
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OutputError(f"{path} is damaged ({reason}); delete it to start again") from error
    if found != run.task.identity:
        raise OutputError(
            f"{path} belongs to another {run.task.what}; use another --output, or delete it to start again"
        )
    run.bare.load_state_dict(state["net"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.accelerator.scaler is not None and state["scaler"] is not None:
        run.accelerator.scaler.load_state_dict(state["scaler"])
    return progress


def save_state(folder: Path, identity: str, net: nn.Module, run: Run, progress: Progress) -> None:
    """Writes the state, then the table of metrics; each is there as a whole or not at all.

    Args:
        folder: Of the result.
        identity: Of the task.
        net: Without what it is wrapped in.
        run: What has the rest of the state.
        progress: How far it has come.
    """
    buffer = io.BytesIO()
    scaler = run.accelerator.scaler
    state = {
        "identity": identity,
        "net": net.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "progress": vars(progress),
    }
    torch.save(state, buffer)
    # Both are on disk before the first takes its place. Whoever is killed before the second does leaves a table with an
    # epoch less than the state, by which it is put right.
    with atomic_write(folder / METRICS) as table:
        table.write(table_of(progress.metrics))
        table.flush()
        os.fsync(table.fileno())
        with atomic_write(folder / STATE) as file:
            file.write(buffer.getbuffer())


class _Curves:
    """Curves for TensorBoard, if that is installed, and for Weights & Biases, if asked for. A context manager.

    Args:
        folder: of the result.
        epoch: the last one that is there already; what is behind it is replaced.
        wandb: the project at Weights & Biases, or None.
        identity: of the task.
    """

    def __init__(self, folder: Path, epoch: int, wandb: str | None, identity: str) -> None:
        self._result = folder
        self._folder = folder / "tensorboard"
        self._epoch = epoch
        self._writer: Any = None
        self._project, self._identity = wandb, identity
        self._run: Any = None

    def add(self, row: Mapping[str, float], epoch: int) -> None:
        """Writes the numbers of an epoch.

        Raises:
            OutputError: they cannot be written.
        """
        if self._project is not None:
            self._send(row, epoch)
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

    def _send(self, row: Mapping[str, float], epoch: int) -> None:
        if self._run is None:
            wandb = require("wandb", "sending curves to Weights & Biases", "wandb")
            make_folder(self._result)
            # With its own number a training that goes on adds to the curves that it has.
            self._run = wandb.init(
                project=self._project,
                name=self._result.resolve().name,
                dir=str(self._result),
                id=self._identity[:32],
                resume="allow",
            )
        self._run.log(dict(row), step=epoch)

    def __enter__(self) -> _Curves:
        return self

    def __exit__(self, *_: object) -> None:
        if self._run is not None:
            self._run.finish()
        if self._writer is not None:
            with suppress(OSError):  # everything was flushed, or that it was not has been said
                self._writer.close()

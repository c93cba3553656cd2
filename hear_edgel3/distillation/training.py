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
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hear_edgel3._extras import require
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.distillation.batches import make_batches
from hear_edgel3.distillation.examples import Batch, Examples
from hear_edgel3.distillation.lessons import Lessons, Reader
from hear_edgel3.distillation.recipe import Recipe, fingerprint
from hear_edgel3.distillation.student import Learner
from hear_edgel3.distillation.target_scale import TargetScale
from hear_edgel3.errors import ComputationError, InvalidOption, OutputError

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE = "training.pt"
METRICS = "metrics.csv"
_TEN_SECONDS = 10.0


@dataclass
class Progress:
    """How far a training has come; all of it is on disk after each epoch.

    Attributes:
        epoch: The number of epochs that are done.
        best_loss: The lowest validation loss so far.
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
) -> Progress:
    """Trains the student, or goes on where an earlier run with the same recipe and the same examples was stopped.

    After each epoch ``folder`` has ``training.pt`` and ``metrics.csv`` up to it, and the curves are in
    ``folder/tensorboard`` if tensorboard is installed.

    Raises:
        OutputError: nothing can be written there, or it holds another training.
        ComputationError: the training diverged.
        InvalidAudio, InvalidOption: there are too few clips of one length for a batch, or for one in each process.
    """
    identity = fingerprint(recipe.to_dict(), *lessons.identity, len(validation.clips), target_scale.mean.sum().item())
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
            row |= measure(accelerator.unwrap_model(net), loss_of, validation, recipe.batch_seconds, accelerator.device)
            progress.epoch += 1
            progress.seconds += time.monotonic() - begun
            row = {"epoch": progress.epoch, "seconds": round(progress.seconds, 1), **row}
            progress.metrics.append(row)
            # Nothing that was found while batch norm measured stands in the way of what comes after.
            begins = progress.epoch in (1, recipe.measuring_epochs + 1)
            if begins or row["validation_loss"] < progress.best_loss:
                # One that is not finite is worse than all others.
                finite = math.isfinite(row["validation_loss"])
                progress.best_loss = row["validation_loss"] if finite else math.inf
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


class DistillationLoss:
    """Mean squared error of the embedding in its scale, and binary cross-entropy with the teacher's probabilities.

    The second is the loss of Schmid et al. 2023 with its weight on the teacher alone; there are no labels here.
    """

    def __init__(self, target_scale: TargetScale, has_logits: bool, logits_weight: float, device: torch.device) -> None:
        self.target_scale = TargetScale(
            target_scale.mean.to(device),
            None if target_scale.components is None else target_scale.components.to(device),
            target_scale.scale.to(device),
        )
        self.has_logits = has_logits
        self.logits_weight = logits_weight

    def parts(self, outputs: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) losses of each example on the embedding and on the logits."""
        size = self.target_scale.size
        wanted = self.target_scale.targets(batch.embedding)
        on_embedding = (outputs[:, :size].float() - wanted).square().mean(dim=1)
        if not self.has_logits:
            return on_embedding, torch.zeros_like(on_embedding)
        assert batch.logits is not None
        on_logits = nn.functional.binary_cross_entropy_with_logits(
            outputs[:, size:].float(), torch.sigmoid(batch.logits), reduction="none"
        ).mean(dim=1)
        return on_embedding, on_logits

    def __call__(self, on_embedding: torch.Tensor, on_logits: torch.Tensor) -> torch.Tensor:
        """The loss, of both parts."""
        return on_embedding.mean() + self.logits_weight * on_logits.mean()


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
                group["lr"] = recipe.lr * _schedule((epoch + number / len(bar)) / recipe.epochs, recipe.warmup)
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


def _schedule(done: float, warmup: float) -> float:
    """The learning rate's factor when a fraction ``done`` of all steps is done: a line up, then a cosine down."""
    if done < warmup:
        return max(done / warmup, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) + 1e-3


@torch.no_grad()
def measure(
    net: nn.Module, loss_of: DistillationLoss, examples: Examples, batch_seconds: float, device: torch.device
) -> dict[str, float]:
    """How near a student comes to the teacher on the unchanged variants of some clips.

    Args:
        net: the student's net, whose outputs are in the scale of ``loss_of``.
        loss_of: the loss.
        examples: of the clips.
        batch_seconds: seconds of audio at once.
        device: of the net.

    Returns:
        ``validation_loss`` and its two parts; ``r2``, the fraction of the variance of the teacher's embeddings (each
        value, or all principal components, scaled to a variance of 1) that is explained; ``cosine``, the mean cosine in
        that scale; for nets with logits ``top1_agreement``, the fraction of clips with the same most probable class,
        and ``top1_agreement_10s``, the same for those of ten seconds.
    """
    net.eval()
    generator = torch.Generator().manual_seed(0)
    batches = make_batches([clip[0] for clip in examples.clips], batch_seconds, generator)
    size = loss_of.target_scale.size
    found: dict[str, list[torch.Tensor]] = {
        key: [] for key in ("embedding", "logits", "cosine", "same", "ten", "wanted")
    }
    for batch in Reader(examples, batches, device):
        outputs = net(batch.inputs).float()
        on_embedding, on_logits = loss_of.parts(outputs, batch)
        wanted = loss_of.target_scale.targets(batch.embedding)
        found["embedding"].append(on_embedding)
        found["logits"].append(on_logits)
        found["wanted"].append(wanted)
        found["cosine"].append(nn.functional.cosine_similarity(outputs[:, :size], wanted, dim=1))
        if batch.logits is not None and loss_of.has_logits:
            found["same"].append((outputs[:, size:].argmax(dim=1) == batch.logits.argmax(dim=1)).float())
            found["ten"].append(torch.full((len(outputs),), float(batch.seconds == _TEN_SECONDS), device=device))
    values = {key: torch.cat(parts).double() for key, parts in found.items() if parts}
    spread = (values["wanted"] - values["wanted"].mean(dim=0)).square().mean().clamp_min(1e-12)
    result = {
        "validation_loss": float(loss_of(values["embedding"], values["logits"])),
        "validation_embedding_loss": float(values["embedding"].mean()),
        "validation_logits_loss": float(values["logits"].mean()),
    }
    if len(values["wanted"]) > 1:  # one clip alone has no variance
        result["r2"] = float(1 - values["embedding"].mean() / spread)
    result["cosine"] = float(values["cosine"].mean())
    if "same" in values:
        result["top1_agreement"] = float(values["same"].mean())
        if values["ten"].any():
            result["top1_agreement_10s"] = float(values["same"][values["ten"] > 0].mean())
    return result


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
    keys = ("train_loss", "validation_loss", "r2", "top1_agreement")
    parts = [f"{key} {row[key]:.4g}" for key in keys if key in row]
    best = " (best)" if progress.best_epoch == progress.epoch else ""
    print(
        f"epoch {progress.epoch}/{recipe.epochs}, {progress.seconds:.0f} s: {', '.join(parts)}{best}", file=sys.stderr
    )

"""Fine-tuning: a net and its head, trained further on labelled sounds.

In two phases: the head alone, unless it comes fitted; then the net too, or its last layers, at a lower rate that rises
and falls (Kornblith et al., "Do better ImageNet models transfer better?", CVPR 2019, for the second alone; Howard and
Ruder, "Universal language model fine-tuning", ACL 2018, for phases and rates). Batch norm keeps its statistics, which
those of few sounds would spoil.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.detectors.augmentation import ClipAugmentation
from hear_edgel3.detectors.clips import Decoded, Planned, decode, plan_epoch
from hear_edgel3.detectors.validating import Targets, deciding, outputs_of
from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.distillation.recipe import fingerprint
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.families.schema import Configuration
from hear_edgel3.framing.rules import CentredFraming
from hear_edgel3.heads import Head
from hear_edgel3.labels import Kind, Labelled, Split
from hear_edgel3.registry.names import with_classes, with_features
from hear_edgel3.training import loop
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.mixing import Mix
from hear_edgel3.training.schedule import cosine
from hear_edgel3.training.spectrograms import MelFrontend, SpectrogramAugmentation

if TYPE_CHECKING:
    from accelerate import Accelerator

_AHEAD = 4
_MAKERS = 2
_HEAD_EPOCHS = 5
_LONGEST_S = 10.0
_MOST_WEIGHT = 10.0
_DEPTHS = 4
CLASS_WEIGHTS = ("balanced", "none")


@dataclass(frozen=True)
class FineTuneOptions:
    """How a net is trained further.

    Attributes:
        epochs: The epochs of both phases together.
        head_epochs: Those of the first, in which only the head learns; None for none if the head is fitted, else five.
        lr: The highest learning rate of the net.
        head_lr: The learning rate of the head; in the second phase, the highest.
        share: The share of the net's parameters, from its output on, that learn in the second phase.
        layer_decay: The rate of the first layers that learn, as a factor of that of the last.
        warmup: The share of the second phase in which rates rise.
        weight_decay: Of weights, not of offsets and scales (AdamW).
        batch_size: Clips per step.
        clip_seconds: The longest part of a sound that is learnt from at once, which lies at random in longer ones; None
            for as long as the median sound, at most ten seconds. Nets of windows of one length learn from these.
        patience: Training stops after so many epochs that are not better.
        class_weights: "balanced" for classes that weigh the same however many sounds they have, or "none".
        label_smoothing: The share of a label that is spread over all classes.
        average: By how much the net that is measured lags behind: the weight of its own past per step (a running mean
            of the weights); 0 for the net itself.
        freeze_norm: Whether batch norm keeps its statistics.
        augmentation: What is done to samples.
        mixup: The alpha of mixup of spectrograms; 0 for none.
        mel_jitter: Whether the range of mel bands jitters, where the front end has one.
        freq_mask: The most mel bands that are hidden, as a share of all.
        time_mask: The most frames that are hidden, likewise.
        precision: "no", "bf16" or "fp16".
        seed: Of all that is random.
        wandb: The project at Weights & Biases that gets the curves; None without.
    """

    epochs: int = 30
    head_epochs: int | None = None
    lr: float = 1e-3
    head_lr: float = 1e-3
    share: float = 1.0
    layer_decay: float = 1.0
    warmup: float = 0.1
    weight_decay: float = 0.01
    batch_size: int = 32
    clip_seconds: float | None = None
    patience: int = 1000
    class_weights: str = "balanced"
    label_smoothing: float = 0.1
    average: float = 0.0
    freeze_norm: bool = True
    augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
    mixup: float = 0.3
    mel_jitter: bool = True
    freq_mask: float = 0.1
    time_mask: float = 0.0
    precision: str = "no"
    seed: int = 0
    wandb: str | None = None

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name, least in (("epochs", 1), ("head_epochs", 0), ("batch_size", 1), ("patience", 1), ("seed", 0)):
            value = getattr(self, name)
            if name == "head_epochs" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidOption(f"{name} must be a whole number of at least {least}, got {value!r}")
        if self.head_epochs is not None and self.head_epochs > self.epochs:
            raise InvalidOption(f"head_epochs={self.head_epochs} are more than all epochs, {self.epochs}")
        for name, most in (
            ("lr", 10.0), ("head_lr", 10.0), ("share", 1.0), ("layer_decay", 1.0), ("clip_seconds", 60.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if name == "clip_seconds" and value is None:
                continue
            if not _is_number(value) or not 0 < value <= most:
                raise InvalidOption(f"{name} must be a number above 0, at most {most:g}; got {value!r}")
        for name in ("warmup", "weight_decay", "label_smoothing", "average", "mixup", "freq_mask", "time_mask"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1:
                raise InvalidOption(f"{name} must be a number from 0 to below 1, got {value!r}")
        if self.class_weights not in CLASS_WEIGHTS:
            raise InvalidOption(f"class_weights must be {' or '.join(CLASS_WEIGHTS)}, got {self.class_weights!r}")
        if self.precision not in ("no", "bf16", "fp16"):
            raise InvalidOption(f"precision must be no, bf16 or fp16; got {self.precision!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a card."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, eq=False)
class Tuned:
    """A net that was trained further.

    Attributes:
        net_state: The state of the net; of one without a head, of a net with classes of the set's number.
        head_state: That of the head; None if there is none.
        metrics: One row of figures per epoch; the first is that of what training began with, if there was a
            validation part.
        best_epoch: Whose state it is, from 1; 0 if nothing that was learnt was better on the validation part.
        seconds: The time that it took.
    """

    net_state: dict[str, torch.Tensor]
    head_state: dict[str, torch.Tensor] | None
    metrics: list[dict[str, float]]
    best_epoch: int
    seconds: float


def fine_tune(
    labelled: Labelled,
    split: Split,
    extractor: Extractor,
    head: Head | None,
    options: FineTuneOptions,
    folder: Path,
    accelerator: Accelerator,
    quiet: bool = False,
    cache: Path | None = None,
) -> Tuned:
    """Trains a net further, or goes on where an earlier run with the same arguments was stopped.

    Args:
        labelled: The sounds.
        split: What is learnt from, and what decides which epoch is the best.
        extractor: The net, with the features that ``head`` is on. It stays as it is.
        head: What makes outputs of embeddings: fitted on those of the net as it is, or new. None for the net's own
            classifier, whose last layer is a new one unless it has as many classes.
        options: How.
        folder: Where the state, the metrics and the curves are kept; it is made if need be.
        accelerator: Where to compute.
        quiet: Without progress bars and lines.
        cache: Where decoded sounds are kept, for other runs too; None for ``folder``.

    Raises:
        InvalidOption: The net has no classifier of its own, or an option does not fit.
        LabelsError: None of the sounds can be read.
        OutputError: Something cannot be written, or the folder holds another training.
        ComputationError: Training diverged.
    """
    make_folder(folder)
    kept = folder / "cache" if cache is None else cache
    rate = extractor.net_sample_rate
    learnt = decode(labelled.items, split.train, kept, rate, accelerator, quiet)
    heard = decode(labelled.items, split.validation, kept, rate, accelerator, quiet) if len(split.validation) else None
    tuned = make_tuned_net(extractor, head, len(labelled.classes), options.seed)
    task = _FineTuning(labelled, tuned, learnt, heard, options)
    task.prepare(accelerator)
    progress = loop.train(task, folder, accelerator, quiet, options.wandb)
    state = progress.best
    tuned.model.load_state_dict(state)
    task.finish()
    state = {name: value.detach().cpu().clone() for name, value in tuned.model.state_dict().items()}
    parts = {
        part: {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
        for part in ("net", "head")
    }
    return Tuned(
        parts["net"], parts["head"] if head is not None else None, progress.metrics, progress.best_epoch,
        progress.seconds,
    )  # fmt: skip


class Model(nn.Module):
    """A net, and a head behind it if it has one."""

    def __init__(self, net: nn.Module, head: Head | None) -> None:
        super().__init__()
        self.net = net
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, C) outputs of (n, n_mels, n_frames) images."""
        found: torch.Tensor = self.net(images)
        return found if self.head is None else self.head(found)


@dataclass(frozen=True, eq=False)
class TunedNet:
    """What is trained, and what it hears with.

    Attributes:
        model: The net with its head.
        frontend: Its front end.
        configuration: Of the net.
        head_names: The names of the parameters of the first phase.
    """

    model: Model
    frontend: nn.Module
    configuration: Configuration
    head_names: frozenset[str]


def make_tuned_net(extractor: Extractor, head: Head | None, n_classes: int, seed: int) -> TunedNet:
    """A copy of a net, with its head, or with a new last layer of its own classifier.

    Raises:
        InvalidOption: It has no classifier of its own, or the head does not fit.
    """
    configuration = extractor.configuration
    if head is None:
        row = configuration.checkpoint
        if row.n_classes is None:
            raise InvalidOption(f"{configuration.name} has no classifier of its own; choose a head")
        configuration = with_features(with_classes(configuration, n_classes), ["logits"])
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            net = configuration.net.build()
        before = extractor.net.state_dict()
        taken = {k: v for k, v in before.items() if k in net.state_dict() and net.state_dict()[k].shape == v.shape}
        fresh = set(net.state_dict()) - set(taken)
        net.load_state_dict(taken, strict=False)
        names = frozenset(f"net.{name}" for name, _ in net.named_parameters() if name in fresh)
        model = Model(net.float(), None)
    else:
        if head.layout.inputs != configuration.embedding_size or head.layout.outputs != n_classes:
            raise InvalidOption(
                f"the head makes {head.layout.outputs} outputs of {head.layout.inputs} values, but {configuration.name}"
                f" puts out {configuration.embedding_size}, and there are {n_classes} classes"
            )
        model = Model(copy.deepcopy(extractor.net).float(), copy.deepcopy(head))
        names = frozenset(f"head.{name}" for name, _ in head.named_parameters())
    model.requires_grad_(True)
    return TunedNet(model, copy.deepcopy(extractor.frontend).eval(), configuration, names)


def make_targets(labelled: Labelled, rows: np.ndarray, learnt: np.ndarray, balanced: bool) -> Targets:
    """What is right for some sounds.

    Args:
        labelled: The set.
        rows: The numbers of these sounds.
        learnt: The numbers of those that are learnt from, by which classes are weighted and numbers scaled.
        balanced: Whether classes weigh the same.
    """
    n_classes, kind = len(labelled.classes), labelled.kind
    weights, scale = np.ones(n_classes, np.float32), np.ones(n_classes, np.float32)
    if kind is Kind.NUMBERS:
        spread = labelled.targets[learnt].std(axis=0)
        scale = np.where(spread > 1e-6 * np.maximum(1.0, np.abs(labelled.targets[learnt]).max(axis=0)), spread, 1.0)
    elif balanced:
        counts = labelled.positives(learnt).astype(np.float64)
        if kind is Kind.SINGLE:
            has = counts > 0
            weights = np.where(has, counts.sum() / (has.sum() * np.maximum(counts, 1)), 0.0).clip(max=_MOST_WEIGHT)
        else:
            known = np.full(n_classes, len(learnt)) if labelled.mask is None else labelled.mask[learnt].sum(axis=0)
            weights = np.where(counts > 0, (known - counts) / np.maximum(counts, 1), 1.0).clip(1.0, _MOST_WEIGHT)
    values = labelled.targets[rows]
    return Targets(
        kind,
        torch.from_numpy(values.astype(np.int64 if kind is Kind.SINGLE else np.float32)),
        None if labelled.mask is None else torch.from_numpy(labelled.mask[rows]),
        torch.from_numpy(np.asarray(weights, np.float32)),
        torch.from_numpy(np.asarray(scale, np.float32)),
    )


def loss_of(outputs: torch.Tensor, targets: Targets, mix: Mix | None, smoothing: float) -> torch.Tensor:
    """The loss of a batch: cross entropy, binary cross entropy over what is known, or squared error of scaled numbers.

    Args:
        outputs: (n, C).
        targets: Of these.
        mix: How the clips were mixed with one another; never for numbers.
        smoothing: The share of a label that is spread over all classes.
    """
    outputs = outputs.float()
    if targets.kind is Kind.NUMBERS:
        return ((outputs - targets.values) / targets.scale).square().mean()
    if targets.kind is Kind.SINGLE:
        n_classes = outputs.shape[1]
        wanted = functional.one_hot(targets.values, n_classes).float()
        wanted = (1 - smoothing) * wanted + smoothing / n_classes
        wanted = wanted * targets.weights[targets.values][:, None]
        if mix is not None:
            wanted = mix.of(wanted)
        return -(wanted * functional.log_softmax(outputs, dim=1)).sum(dim=1).mean()
    wanted = (1 - smoothing) * targets.values + smoothing / 2
    known = torch.ones_like(wanted) if targets.known is None else targets.known.float()
    if mix is not None:
        wanted, known = mix.of(wanted), known * known[mix.partner.to(known.device)]
    losses = functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none", pos_weight=targets.weights)
    return (losses * known).sum() / known.sum().clamp_min(1.0)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Clips to learn from.

    Attributes:
        samples: (n, n_samples) on the device.
        targets: Of these.
        draws: What is random in the spectrograms.
    """

    samples: torch.Tensor
    targets: Targets
    draws: Draws


class _FineTuning(loop.Task):
    """A net that learns labels.

    Args:
        labelled: The set.
        tuned: What is trained.
        learnt: The sounds that it learns from.
        heard: Those that it is measured with; None if there are none.
        options: How.
    """

    what = "training (other options, another net or other sounds)"
    max_norm = 5.0
    may_rest = True

    def __init__(
        self, labelled: Labelled, tuned: TunedNet, learnt: Decoded, heard: Decoded | None, options: FineTuneOptions
    ) -> None:
        self.net = tuned.model
        self.epochs = options.epochs
        self.counts_start = heard is not None  # type: ignore[misc]
        self._tuned, self._learnt, self._heard, self._options = tuned, learnt, heard, options
        balanced = options.class_weights == "balanced"
        self._kind = labelled.kind
        self._targets = make_targets(labelled, learnt.rows, learnt.rows, balanced)
        self._wanted = None if heard is None else make_targets(labelled, heard.rows, learnt.rows, balanced)
        self._longest, self._windows = self._length()
        self._head_epochs = 0
        self._groups = _groups(tuned, options)
        self._spectrograms = SpectrogramAugmentation(mixup=0.0 if self._kind is Kind.NUMBERS else options.mixup)
        self._scaled = False
        self._average: dict[str, torch.Tensor] | None = None

    def _length(self) -> tuple[int, CentredFraming | None]:
        """The samples of the longest clip, and the windows of a net that takes only these."""
        row, rate = self._tuned.configuration.checkpoint, self._learnt.sample_rate
        if row.scene.whole_up_to_ms == 0:
            framing = scene_framing(self._tuned.configuration).windows
            return framing.window, framing
        seconds = self._options.clip_seconds
        if seconds is None:
            seconds = min(_LONGEST_S, float(np.median(self._learnt.lengths)) / rate)
        return max(1, round(seconds * rate)), None

    def prepare(self, accelerator: Accelerator) -> None:
        """Makes the head ready to begin, and says what the training is known by."""
        options, model = self._options, self._tuned.model
        model.to(accelerator.device)
        head = model.head
        fitted = head is None or head.mean is None or bool(head.mean.any())
        if head is not None and not fitted:
            self._standardize(head, accelerator.device)
        if options.head_epochs is not None:
            self._head_epochs = options.head_epochs
        elif not fitted or (head is None and self._tuned.head_names):
            self._head_epochs = min(_HEAD_EPOCHS, options.epochs // 2)
        if self._kind is Kind.NUMBERS and head is not None:
            self._scale(head, into=True)
        start = [float(p.detach().double().abs().sum()) for p in model.parameters()]
        self.identity = fingerprint(
            {k: v for k, v in options.to_dict().items() if k != "wandb"},
            self._tuned.configuration.name,
            start,
            self._learnt.rows.tolist(),
            self._learnt.lengths.tolist(),
            self._targets.values.sum(dim=0).tolist(),
            [] if self._heard is None else self._heard.rows.tolist(),
        )

    def _standardize(self, head: Head, device: torch.device) -> None:
        """Measures the embeddings that a new head standardises."""
        found = outputs_of(
            self._tuned.model.net.eval(), self._tuned.frontend, self._tuned.configuration, self._learnt, device
        ).double()
        head.standardize(found.mean(dim=0).float(), found.std(dim=0, correction=0).float())

    def _scale(self, head: Head, into: bool) -> None:
        """Has a head put out numbers of a deviation of 1, so that steps are as large for all; or undoes that."""
        scale = self._targets.scale.to(head.output.weight.device)
        factor = 1.0 / scale if into else scale
        with torch.no_grad():
            head.output.weight.mul_(factor[:, None])
            head.output.bias.mul_(factor)
        self._scaled = into

    def finish(self) -> None:
        """Has the head put out numbers as they are."""
        if self._scaled and self._tuned.model.head is not None:
            self._scale(self._tuned.model.head, into=False)

    def optimizer(self) -> torch.optim.Optimizer:
        groups = [
            {"params": group.parameters, "weight_decay": self._options.weight_decay if group.decays else 0.0}
            for group in self._groups
        ]
        for mask, parameter in _masks(self._tuned):
            parameter.register_hook(partial(_kept, mask.to(parameter.device)))  # type: ignore[no-untyped-call]
        return torch.optim.AdamW(groups, lr=self._options.lr)

    def batches(self, epoch: int, process: int, n_processes: int, device: torch.device) -> loop.Batches:
        options = self._options
        rng = np.random.default_rng((options.seed, epoch))
        lengths = self._learnt.lengths
        speed = options.augmentation.speed
        plans = plan_epoch(lengths, self._longest, options.batch_size, speed, n_processes, rng)
        if not plans:
            raise LabelsError(f"{len(lengths)} sounds to learn from are too few for {n_processes} processes")
        return _Epoch(self, epoch, list(enumerate(plans))[process::n_processes], device)

    def made(self, epoch: int, number: int, plan: Planned) -> tuple[torch.Tensor, torch.Tensor, Draws]:
        """The samples of a batch, the numbers of its sounds, and what is random in its spectrograms."""
        options, rate = self._options, self._learnt.sample_rate
        made = []
        for i, speed in zip(plan.numbers, plan.speeds, strict=True):
            rng = np.random.default_rng((options.seed, epoch, 1 + i))
            n = int(self._learnt.lengths[i])
            if self._windows is not None:
                made.append(self._window(i, n, speed, rng))
                continue
            wanted = max(1, int(plan.length * speed))
            start = int(rng.integers(n - wanted + 1)) if n > wanted else 0
            sound = self._learnt.read(i, start, wanted)
            made.append(options.augmentation(sound, speed, plan.length, rate, rng))
        samples = torch.from_numpy(np.stack(made))
        return samples, torch.tensor(plan.numbers), Draws.at(options.seed, epoch, number)

    def _window(self, i: int, n: int, speed: float, rng: np.random.Generator) -> np.ndarray:
        """A window of a sound, anywhere where one lies when the sound is heard whole: it may reach beyond the ends."""
        framing = self._windows
        assert framing is not None
        rate, length = self._learnt.sample_rate, framing.window
        half = length // 2
        middle = float(rng.uniform(0, n))
        first = int(middle) - int(half * speed)
        wanted = max(1, int(length * speed))
        start = max(0, first)
        sound = self._learnt.read(i, start, first + wanted - start)
        padded = np.zeros(wanted, np.float32)
        padded[start - first : start - first + len(sound)] = sound
        return self._options.augmentation(padded, speed, length, rate, rng)

    def begin(self, epoch: int) -> None:
        model, resting = self._tuned.model, epoch < self._head_epochs
        model.train()
        if model.head is not None and resting:
            model.net.eval()
        if self._options.freeze_norm or resting:
            for module in model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        for group in self._groups:
            for parameter in group.parameters:
                parameter.requires_grad_(group.is_head or not resting)

    def learning_rates(self, epoch: int, share: float) -> Sequence[float]:
        options = self._options
        if epoch < self._head_epochs:
            return [options.head_lr if group.is_head else 0.0 for group in self._groups]
        done = (epoch - self._head_epochs + share) / max(1, self.epochs - self._head_epochs)
        factor = cosine(done, options.warmup)
        return [factor * (options.head_lr if group.is_head else options.lr * group.factor) for group in self._groups]

    def loss(self, net: nn.Module, batch: _Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        images, mix = self._images(batch)
        return loss_of(net(images), batch.targets, mix, self._options.label_smoothing), {}

    @torch.no_grad()
    def _images(self, batch: _Batch) -> tuple[torch.Tensor, Mix | None]:
        frontend, options = self._tuned.frontend, self._options
        if options.mel_jitter and hasattr(frontend, "in_range"):
            images = self._spectrograms.spectrograms(cast(MelFrontend, frontend), batch.samples, batch.draws)
        else:
            images = frontend(batch.samples)
        images = _hidden(images, 1, options.freq_mask, batch.draws)
        images = _hidden(images, 2, options.time_mask, batch.draws)
        images, mix = self._spectrograms(images, batch.draws)
        return images, mix

    def measure(self, net: nn.Module, device: torch.device) -> dict[str, float]:
        if self._heard is None or self._wanted is None:
            return {}
        net.eval()
        frontend = self._tuned.frontend
        found = outputs_of(net, frontend, self._tuned.configuration, self._heard, device)
        if self._scaled:
            found = found * self._targets.scale
        return self._wanted.figures(found)

    def deciding(self, row: Mapping[str, float]) -> float:
        # Without anything to measure with, the last epoch is taken.
        return deciding(self._kind, row) if self._heard is not None else -row["epoch"]

    def seed(self, epoch: int, process: int) -> int:
        return int(np.random.SeedSequence([self._options.seed, epoch, process]).generate_state(1)[0])

    def is_over(self, progress: loop.Progress) -> bool:
        last = max(progress.best_epoch, self._head_epochs)
        return self._heard is not None and progress.epoch - last >= self._options.patience


class _Epoch:
    """The batches of an epoch, made by other threads while one is learnt."""

    def __init__(self, task: _FineTuning, epoch: int, plans: list[tuple[int, Planned]], device: torch.device) -> None:
        self._task, self._epoch, self._plans, self._device = task, epoch, plans, device

    def __len__(self) -> int:
        return len(self._plans)

    def __iter__(self) -> Iterator[_Batch]:
        with ThreadPoolExecutor(_MAKERS) as pool:
            coming: list[Future[tuple[torch.Tensor, torch.Tensor, Draws]]] = []
            try:
                for number, plan in self._plans:
                    coming.append(pool.submit(self._task.made, self._epoch, number, plan))
                    if len(coming) > _AHEAD:
                        yield self._batch(coming.pop(0))
                while coming:
                    yield self._batch(coming.pop(0))
            finally:
                for future in coming:
                    future.cancel()

    def _batch(self, future: Future[tuple[torch.Tensor, torch.Tensor, Draws]]) -> _Batch:
        samples, numbers, draws = future.result()
        return _Batch(samples.to(self._device), self._task._targets.of(numbers).to(self._device), draws)


@dataclass(frozen=True, eq=False)
class _Group:
    """Parameters that learn at one rate.

    Attributes:
        parameters: Which.
        is_head: Whether they learn in the first phase too.
        decays: Whether they are weights.
        factor: Of the learning rate.
    """

    parameters: list[nn.Parameter]
    is_head: bool
    decays: bool
    factor: float = 1.0


def _groups(tuned: TunedNet, options: FineTuneOptions) -> list[_Group]:
    """The parameters that learn, by their rates; the others are frozen for good."""
    named = list(tuned.model.named_parameters())
    head = [p for name, p in named if name in tuned.head_names]
    net = [p for name, p in named if name not in tuned.head_names]
    n_frozen = len(net) - max(1, round(options.share * len(net)))
    for parameter in net[:n_frozen]:
        parameter.requires_grad_(False)
    net = net[n_frozen:]
    groups = [_Group([p for p in head if (p.ndim > 1) == decays], True, decays) for decays in (True, False)]
    for depth, part in enumerate(np.array_split(np.arange(len(net)), _DEPTHS)):
        factor = options.layer_decay ** (1 - depth / (_DEPTHS - 1))
        some = [net[i] for i in part]
        groups += [
            _Group([p for p in some if (p.ndim > 1) == decays], False, decays, factor) for decays in (True, False)
        ]
    return [group for group in groups if group.parameters]


def _masks(tuned: TunedNet) -> list[tuple[torch.Tensor, nn.Parameter]]:
    """What stays zero of the weights of a pruned net, and whose it is."""
    if tuned.configuration.checkpoint.zeros <= 0:
        return []
    weights = [p for p in tuned.model.net.parameters() if p.ndim > 1 and bool((p == 0).any())]
    return [((p.detach() != 0).to(p.dtype), p) for p in weights]


def _kept(mask: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return gradient * mask


def _hidden(images: torch.Tensor, dim: int, share: float, draws: Draws) -> torch.Tensor:
    """Images of which a stretch, up to a share of them, is set to each one's mean."""
    if not share:
        return images
    size, n = images.shape[dim], len(images)
    length = torch.rand(n, generator=draws.torch) * share * size
    start = (torch.rand(n, generator=draws.torch) * (size - length)).long()
    place = torch.arange(size)[None]
    hit = ((place >= start[:, None]) & (place < (start + length.long())[:, None])).to(images.device)
    hit = hit[:, :, None] if dim == 1 else hit[:, None, :]
    return torch.where(hit, images.mean(dim=(1, 2), keepdim=True), images)

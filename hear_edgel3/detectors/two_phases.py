"""Fine-tuning in two phases as a task of the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from hear_edgel3.detectors.ahead import Ahead
from hear_edgel3.detectors.clips import Decoded, Planned, plan_epoch
from hear_edgel3.detectors.label_task import LabelTask
from hear_edgel3.detectors.targets import Targets, loss_of
from hear_edgel3.detectors.tune_options import FineTuneOptions
from hear_edgel3.detectors.tuned_net import TunedNet, keep_zeros, make_groups
from hear_edgel3.detectors.validating import outputs_of
from hear_edgel3.errors import LabelsError
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.framing.rules import CentredFraming, SegmentFraming
from hear_edgel3.heads import Head
from hear_edgel3.labels import Kind, Labelled
from hear_edgel3.training import loop
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.mixing import Mix
from hear_edgel3.training.schedule import cosine
from hear_edgel3.training.spectrograms import MelFrontend, SpectrogramAugmentation

_HEAD_EPOCHS = 3
_LONGEST_S = 10.0
_WIDENED_BY = 512


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips to learn from.

    Attributes:
        samples: (n, n_samples) on the device.
        targets: Of these.
        draws: What is random in the spectrograms.
    """

    samples: torch.Tensor
    targets: Targets
    draws: Draws


class TwoPhaseTuning(LabelTask):
    """A net that learns labels in two phases; arguments as in :class:`LabelTask`."""

    max_norm = 5.0

    def __init__(
        self, labelled: Labelled, tuned: TunedNet, learnt: Decoded, heard: Decoded | None, options: FineTuneOptions
    ) -> None:
        super().__init__(labelled, tuned, learnt, heard, options)
        self._kind = labelled.kind
        self._longest, self._windows = self._length()
        self._head_epochs = 0
        self.keeps_norm = options.freeze_norm
        self.best_counts = heard is not None and options.patience < self.epochs
        self._groups = make_groups(tuned, options.share, options.layer_decay)
        self._spectrograms = SpectrogramAugmentation(mixup=0.0 if self._kind is Kind.NUMBERS else options.mixup)
        self._scaled = False

    def _length(self) -> tuple[int, CentredFraming | SegmentFraming | None]:
        """The samples of the longest clip, and the windows of a net that takes only these."""
        row, rate = self._tuned.configuration.checkpoint, self._learnt.sample_rate
        if row.scene.whole_up_to_ms == 0:
            framing = scene_framing(self._tuned.configuration).windows
            return framing.window, framing
        seconds = self._options.clip_seconds
        if seconds is None:  # what the net hears in one piece later
            longest = min(_LONGEST_S, row.scene.whole_up_to_ms / 1000)
            seconds = min(longest, float(np.median(self._learnt.lengths)) / rate)
        return max(1, round(seconds * rate)), None

    def _make_ready(self, device: torch.device) -> None:
        options, head = self._options, self._tuned.model.head
        fitted = head is None or head.mean is None or bool(head.mean.any())
        if head is not None and not fitted:
            self._standardize(head, device)
        if options.head_epochs is not None:
            self._head_epochs = options.head_epochs
        elif not fitted or (head is None and self._tuned.head_names):
            self._head_epochs = min(_HEAD_EPOCHS, options.n_epochs // 2)
        if self._kind is Kind.NUMBERS and (last := self._last()) is not None:
            if fitted and head is not None:
                self._scale(last, 1.0 / self._targets.scale)
            else:  # it begins with the mean of the numbers, which may be far from 0, and takes many steps to reach
                with torch.no_grad():
                    last.bias.copy_((self._targets.values.double().mean(dim=0) / self._targets.scale).float())
            self._scaled = True

    def _standardize(self, head: Head, device: torch.device) -> None:
        """Measures the embeddings that a new head standardises."""
        found = outputs_of(
            self._tuned.model.net.eval(), self._tuned.frontend, self._tuned.configuration, self._learnt, device
        ).double()
        head.standardize(found.mean(dim=0).float(), found.std(dim=0, correction=0).float())

    def _last(self) -> nn.Linear | None:
        """The layer that puts numbers out, and has a scale of its own while it learns.

        None for a classifier that the net had before: it stays as it is.
        """
        model = self._tuned.model
        if model.head is not None:
            return model.head.output
        names = {name.rpartition(".")[0] for name in self._tuned.head_names}
        layers = [model.get_submodule(name) for name in names]
        return layers[0] if len(layers) == 1 and isinstance(layers[0], nn.Linear) else None

    def _scale(self, last: nn.Linear, factor: torch.Tensor) -> None:
        """Multiplies what a layer puts out: to a deviation of 1, so that steps are as large for all; or back."""
        factor = factor.to(last.weight.device)
        with torch.no_grad():
            last.weight.mul_(factor[:, None])
            last.bias.mul_(factor)

    def finish(self) -> None:
        """Has the last layer put out numbers as they are."""
        if self._scaled and (last := self._last()) is not None:
            self._scale(last, self._targets.scale)
            self._scaled = False

    def optimizer(self) -> torch.optim.Optimizer:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        groups = [
            {"params": group.parameters, "weight_decay": self._options.weight_decay if group.decays else 0.0}
            for group in self._groups
        ]
        keep_zeros(self._tuned)
        return torch.optim.AdamW(groups, lr=self._options.lr)

    def batches(self, epoch: int, process: int, n_processes: int, device: torch.device) -> loop.Batches:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        options = self._options
        rng = np.random.default_rng((options.seed, epoch))
        lengths = self._learnt.lengths
        speed = options.augmentation.speed
        plans = plan_epoch(lengths, self._longest, options.batch_size, speed, n_processes, rng)
        if not plans:
            raise LabelsError(f"{len(lengths)} sounds to learn from are too few for {n_processes} processes")
        mine = list(enumerate(plans))[process::n_processes]

        def finish(made: tuple[torch.Tensor, torch.Tensor, Draws]) -> Batch:
            samples, numbers, draws = made
            return Batch(samples.to(device), self._targets.of(numbers).to(device), draws)

        return Ahead(mine, lambda plan: self._made(epoch, *plan), finish)

    def _made(self, epoch: int, number: int, plan: Planned) -> tuple[torch.Tensor, torch.Tensor, Draws]:
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
        """A window of a sound, anywhere where one could lie when the sound is heard whole."""
        framing = self._windows
        assert framing is not None
        rate, length = self._learnt.sample_rate, framing.window
        wanted = max(1, int(length * speed))
        first = first_of_window(framing, n, speed, float(rng.uniform(0, 1)))
        start = max(0, first)
        sound = self._learnt.read(i, start, first + wanted - start)
        padded = np.zeros(wanted, np.float32)
        padded[start - first : start - first + len(sound)] = sound
        return self._options.augmentation(padded, speed, length, rate, rng)

    @torch.no_grad()
    def _widen(self) -> None:
        """Has a head take values that hardly vary among the sounds, but do when these are altered, for less.

        In what was recorded at 8 kHz, say, the upper bands are all but constant; standardised, what altering does to
        them would drown everything else.
        """
        model, head = self._tuned.model, self._tuned.model.head
        if head is None or head.deviation is None:
            return
        device, found = head.deviation.device, []
        plans = plan_epoch(
            self._learnt.lengths,
            self._longest,
            self._options.batch_size,
            self._options.augmentation.speed,
            1,
            np.random.default_rng((self._options.seed, self.epochs)),
        )
        model.eval()
        for number, plan in enumerate(plans[: 1 + _WIDENED_BY // self._options.batch_size]):
            samples, numbers, draws = self._made(self.epochs, number, plan)
            batch = Batch(samples.to(device), self._targets.of(numbers), draws)
            found.append(model.net(self._images(batch)[0]))
        embeddings = torch.cat(found).float()
        head.deviation.copy_(torch.maximum(head.deviation, embeddings.std(dim=0, correction=0)))

    def begin(self, epoch: int) -> None:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        if epoch == 0:
            self._widen()
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
        """As in :class:`hear_edgel3.training.loop.Task`."""
        options = self._options
        if epoch < self._head_epochs:
            return [options.head_lr if group.is_head else 0.0 for group in self._groups]
        done = (epoch - self._head_epochs + share) / max(1, self.epochs - self._head_epochs)
        factor = cosine(done, options.warmup)
        return [factor * (options.head_lr if group.is_head else options.lr * group.factor) for group in self._groups]

    def loss(self, net: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        images, mix = self._images(batch)
        return loss_of(self._outputs(net(images)), batch.targets, mix, self._options.label_smoothing), {}

    @torch.no_grad()
    def _images(self, batch: Batch) -> tuple[torch.Tensor, Mix | None]:
        frontend, options = self._tuned.frontend, self._options
        if options.mel_jitter and hasattr(frontend, "in_range"):
            images = self._spectrograms.spectrograms(cast(MelFrontend, frontend), batch.samples, batch.draws)
        else:
            images = frontend(batch.samples)
        images = _hidden(images, 1, options.freq_mask, batch.draws)
        images = _hidden(images, 2, options.time_mask, batch.draws)
        images, mix = self._spectrograms(images, batch.draws)
        return images, mix

    def _outputs(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.float() * self._targets.scale.to(outputs.device) if self._scaled else outputs

    def _lacks(self, row: Mapping[str, float]) -> float:
        # The score of few sounds jumps from epoch to epoch; their loss does so less.
        return row["validation_loss"]

    def _counting(self, progress: loop.Progress) -> int:
        # The validation part is small: the epoch that is the best on it is so by chance, and rates fall to nothing, so
        # that the last epochs differ by little. Only training that ends early, with rates still high, is in need of it.
        return progress.epoch if progress.epoch == self.epochs else progress.best_epoch

    def _resting_epochs(self) -> int:
        return self._head_epochs


def first_of_window(framing: CentredFraming | SegmentFraming, n: int, speed: float, place: float) -> int:
    """The first sample of a window that a net learns from.

    Centred windows may reach beyond both ends of a sound. Segments begin with it, or, if it has more than one of them,
    behind its beginning.

    Args:
        framing: Where windows lie when sounds are heard.
        n: The samples of the sound.
        speed: How many of its samples become one.
        place: Where it is among all places, from 0 to 1.
    """
    if isinstance(framing, SegmentFraming):
        return int(place * max(0, n - int(framing.window * speed)))
    return int(place * n) - int(framing.window // 2 * speed)


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

"""What all tasks of the trainer that learn labels have in common: what they are known by, and how they are measured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from hear_edgel3.detectors.clips import Decoded
from hear_edgel3.detectors.targets import make_targets, start_is_better
from hear_edgel3.detectors.tune_options import FineTuneOptions
from hear_edgel3.detectors.tuned_net import TunedNet
from hear_edgel3.detectors.validating import outputs_of
from hear_edgel3.disk.digest import fingerprint
from hear_edgel3.labels import Labelled
from hear_edgel3.training import loop

if TYPE_CHECKING:
    from accelerate import Accelerator


class LabelTask(loop.Task):
    """A net that learns labels.

    Args:
        labelled: The set.
        tuned: What is trained.
        learnt: The sounds that it learns from.
        heard: Those that it is measured with; None if there are none.
        options: How.

    Attributes:
        keeps_norm: Whether batch norm keeps its statistics throughout.
    """

    keeps_norm = False
    what = "training (other options, another net or other sounds)"
    may_rest = True

    def __init__(
        self, labelled: Labelled, tuned: TunedNet, learnt: Decoded, heard: Decoded | None, options: FineTuneOptions
    ) -> None:
        self.net = tuned.model
        self.epochs = options.n_epochs
        self.counts_start = heard is not None
        self._tuned, self._learnt, self._heard, self._options = tuned, learnt, heard, options
        self._balanced = options.class_weights == "balanced" and options.recipe is None
        self._channels = [item.channel for item in labelled.items]
        self._targets = make_targets(labelled, learnt.rows, learnt.rows, self._balanced)
        self._wanted = None if heard is None else make_targets(labelled, heard.rows, learnt.rows, self._balanced)

    def prepare(self, accelerator: Accelerator) -> None:
        """Makes the net ready to begin, and says what the training is known by."""
        model = self._tuned.model.to(accelerator.device)
        self._make_ready(accelerator.device)
        targets = self._targets.values
        place = torch.arange(1, len(targets) + 1, dtype=torch.float64)
        self.identity = fingerprint(
            {key: value for key, value in self._options.to_dict().items() if key != "wandb"},
            self._tuned.configuration.name,
            [float(value.detach().double().abs().sum()) for value in model.parameters()],
            self._learnt.rows.tolist(),
            self._learnt.lengths.tolist(),
            (place @ targets.double().reshape(len(targets), -1)).tolist(),
            [] if self._heard is None else self._heard.rows.tolist(),
            *([self._channels] if any(channel is not None for channel in self._channels) else []),
        )

    @abstractmethod
    def _make_ready(self, device: torch.device) -> None:
        """Makes the head ready to begin."""

    def set_epoch(self, epoch: int) -> None:
        """Gives the net what it has in an epoch, which count from 0, and no tensor shows; most have no such thing."""

    def finish(self) -> None:
        """Has the net that counts, which is in place now, put out what it is to put out."""
        return

    def _outputs(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (n, C) in the scale of the targets."""
        return outputs

    def measure(self, net: nn.Module, device: torch.device) -> dict[str, float]:
        """The figures of the validation part, which is heard whole; none without one."""
        if self._heard is None or self._wanted is None:
            return {}
        found = outputs_of(net.eval(), self._tuned.frontend, self._tuned.configuration, self._heard, device)
        return self._wanted.figures(self._outputs(found))

    def deciding(self, row: Mapping[str, float]) -> float:
        """By the validation part; without one, the last epoch is the best."""
        return -row["epoch"] if self._heard is None else self._lacks(row)

    @abstractmethod
    def _lacks(self, row: Mapping[str, float]) -> float:
        """What is the lowest in the best epoch."""

    def counting_epoch(self, progress: loop.Progress) -> int:
        """The number of the epoch that counts when training is over, from 1; 0 for what it began with."""
        return 0 if self._keeps_start(progress) else self._counting(progress)

    def _counting(self, progress: loop.Progress) -> int:
        """The number of the epoch that counts if anything that was learnt does."""
        return progress.best_epoch

    def forgets(self, epochs: int) -> bool:
        """What was measured before the net began to learn is compared when all is over: :meth:`counting_epoch`."""
        return epochs <= min(self._resting_epochs() + 1, self.epochs)

    def _keeps_start(self, progress: loop.Progress) -> bool:
        """Whether nothing that was learnt is better than what training began with."""
        if self._heard is None or self._options.recipe is not None:
            return False
        rows = {round(row["epoch"]): row for row in progress.metrics}
        return start_is_better(self._targets.kind, rows[0], rows[self._counting(progress)], len(self._heard))

    def seed(self, epoch: int, process: int) -> int:
        """As in :class:`hear_edgel3.training.loop.Task`."""
        return int(np.random.SeedSequence([self._options.seed, epoch, process]).generate_state(1)[0])

    def is_over(self, progress: loop.Progress) -> bool:
        """Whether so many epochs were not better, of those in which the net learns."""
        last = max(progress.best_epoch, self._resting_epochs())
        return self._heard is not None and progress.epoch - last >= self._options.patience

    def _resting_epochs(self) -> int:
        """The epochs in which the head learns alone."""
        return 0

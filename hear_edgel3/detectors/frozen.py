"""Heads on the embeddings of a net that stays as it is."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch.nn import functional

from hear_edgel3.detectors.linear import Fitted, Part, fit_linear, standard
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.errors import ComputationError
from hear_edgel3.heads import Head, HeadLayout, make_head
from hear_edgel3.labels.labelled import Kind

_EPOCHS, _PATIENCE = 200, 20
_EPOCHS_UNSEEN = 60  # where there is no validation part to end by
_LR, _WEIGHT_DECAY, _BATCH = 1e-3, 1e-2, 64
_AT_ONCE = 4096


def fit_head(train: Part, validation: Part, options: TrainOptions, penalty: float | None = None) -> Fitted:
    """A head, fitted on frozen embeddings.

    Args:
        train: What to learn from.
        validation: What decides when an mlp has learnt enough; may be empty.
        options: How.
        penalty: Of a linear head, as for :func:`hear_edgel3.detectors.linear.fit_linear`.

    Raises:
        ComputationError: Training does not lead anywhere: numbers are not finite.
        MissingExtra: scikit-learn is not installed.
    """
    return fit_linear(train, penalty) if options.head_kind == "linear" else fit_mlp(train, validation, options)


def logits_of(head: Head, vectors: np.ndarray) -> np.ndarray:
    """(N, outputs) float32: what a head says of embeddings."""
    with torch.inference_mode():
        found = [head(torch.from_numpy(vectors[i : i + _AT_ONCE])).numpy() for i in range(0, len(vectors), _AT_ONCE)]
    return np.concatenate(found) if found else np.zeros((0, head.layout.outputs), np.float32)


def fit_mlp(train: Part, validation: Part, options: TrainOptions) -> Fitted:
    """A head with a hidden layer, trained by AdamW on shuffled batches, the best epoch by the validation part kept.

    Args:
        train: What to learn from.
        validation: What decides which epoch is best; may be empty.
        options: How.

    Raises:
        ComputationError: Numbers are not finite.
    """
    layout = HeadLayout(
        "mlp",
        train.vectors.shape[1],
        train.n_outputs,
        options.hidden_units,
        options.hidden_activation,
        options.hidden_dropout,
        standardize=True,
    )
    # Dropout draws from the global stream, and the caller's stays as it is.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(options.seed)
        head = make_head(layout, options.seed)
        head.standardize(*(torch.from_numpy(values).float() for values in standard(train.vectors)))
        return _trained(head, _Learning(train), _Learning(validation, train), options)


class _Learning:
    """A part as tensors, and the loss on it.

    Args:
        part: The part.
        train: What is learnt from, if that is another one: classes weigh, and numbers are measured, as there.
    """

    def __init__(self, part: Part, train: Part | None = None) -> None:
        train = train or part
        self.kind = part.kind
        self.x = torch.from_numpy(np.ascontiguousarray(part.vectors, np.float32))
        self.mask = None if part.mask is None else torch.from_numpy(part.mask)
        self.mean, self.deviation = np.zeros(part.n_outputs), np.ones(part.n_outputs)
        self.weights = None
        if part.kind is Kind.SINGLE:
            counts = np.bincount(train.targets, minlength=part.n_outputs)
            weights = len(train) / (np.count_nonzero(counts) * np.maximum(counts, 1))
            self.weights = torch.from_numpy(np.where(counts > 0, weights, 0.0)).float()
            self.y = torch.from_numpy(part.targets.astype(np.int64))
            return
        targets = part.targets.astype(np.float64)
        if part.kind is Kind.NUMBERS:
            self.mean, self.deviation = standard(train.targets)
            targets = (targets - self.mean) / self.deviation
        self.y = torch.from_numpy(targets).float()

    def __len__(self) -> int:
        return len(self.x)

    def loss(self, head: Head, rows: torch.Tensor | slice) -> torch.Tensor:
        """The mean loss of some rows."""
        outputs, targets = head(self.x[rows]), self.y[rows]
        if self.kind is Kind.SINGLE:
            assert self.weights is not None
            each = functional.cross_entropy(outputs, targets, reduction="none")
            return (each * self.weights[targets]).mean()
        if self.kind is Kind.NUMBERS:
            return functional.mse_loss(outputs, targets)
        each = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        if self.mask is None:
            return each.mean()
        known = self.mask[rows].to(each.dtype)
        return (each * known).sum() / known.sum().clamp(min=1.0)


def _trained(head: Head, train: _Learning, validation: _Learning, options: TrainOptions) -> Fitted:
    seen = len(validation) > 0
    epochs = options.epochs or (_EPOCHS if seen else _EPOCHS_UNSEEN)
    patience = options.patience or _PATIENCE
    decay = _WEIGHT_DECAY if options.weight_decay is None else options.weight_decay
    optimizer = torch.optim.AdamW(head.parameters(), options.lr or _LR, weight_decay=decay)
    generator = torch.Generator().manual_seed(options.seed)
    best, best_loss, best_epoch = copy.deepcopy(head.state_dict()), math.inf, 0
    for epoch in range(1, epochs + 1):
        head.train()
        shuffled = torch.randperm(len(train), generator=generator)
        for rows in torch.split(shuffled, options.batch_size or _BATCH):
            optimizer.zero_grad()
            train.loss(head, rows).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        head.eval()
        with torch.no_grad():
            loss = float((validation if seen else train).loss(head, slice(None)))
        if not math.isfinite(loss):
            raise ComputationError(
                f"the head's loss is not finite after epoch {epoch}: use a smaller lr than {options.lr or _LR:g}"
            )
        if loss < best_loss or not seen:
            best, best_loss, best_epoch = copy.deepcopy(head.state_dict()), loss, epoch
        if epoch - best_epoch >= patience:
            break
    head.load_state_dict(best)
    if train.kind is Kind.NUMBERS:  # from numbers of deviation 1 to those that are wanted
        with torch.no_grad():
            deviation, mean = (torch.from_numpy(values).float() for values in (train.deviation, train.mean))
            head.output.weight.mul_(deviation[:, None])
            head.output.bias.mul_(deviation).add_(mean)
    about = {"fitted_by": "AdamW", "best_epoch": best_epoch, "loss": best_loss}
    notes = () if seen else (f"there is no validation part to end by: the head was trained for {epochs} epochs",)
    return Fitted(head.eval(), about, notes)

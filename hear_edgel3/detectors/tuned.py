"""A split by which the net is trained, too: what :mod:`hear_edgel3.detectors.fine_tuning` learns, measured.

By a recipe, and with the net's own classifier, what was trained is taken as it is. Else a new head is only what the net
is trained with: the head that stays is fitted on the embeddings of the trained net, as on those of a net that stays as
it was. How far the net goes from what it was to what training has made of it is chosen by the validation part (Wortsman
et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hear_edgel3.detectors.base import Base
from hear_edgel3.detectors.fine_tuning import Tuned, fine_tune
from hear_edgel3.detectors.frozen import fit_head, logits_of
from hear_edgel3.detectors.hearing import hear
from hear_edgel3.detectors.learning import Examples, Learned, learn_frozen, read_logits
from hear_edgel3.detectors.linear import Fitted
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.detectors.targets import losses_of, make_targets
from hear_edgel3.detectors.tune_options import FineTuneOptions
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.heads import Head, HeadLayout, make_head
from hear_edgel3.labels.splits import Split
from hear_edgel3.training.loop import make_accelerator

if TYPE_CHECKING:
    from hear_edgel3.detectors.work import Work

# How far the net goes unless the validation part says otherwise.
_USUAL_SHARE = 0.6
# It goes all of the way where losses are lower then by so many standard errors.
_CERTAIN = 3.0
_AS_IT_WAS = "what training made of the net is worse on the validation part, so the net stayed as it was"


def learn_tuned(
    examples: Examples, split: Split, whole: bool = True, *, base: Base, options: TrainOptions, work: Work, folder: Path
) -> Learned:
    """Trains the net with its head.

    Args:
        examples: The sounds.
        split: Which of them are learnt from.
        whole: Whether this is the training of the detector, and not that of one split of a cross-validation.
        base: The net.
        options: How.
        work: What computes.
        folder: The detector's, in which is kept what an interrupted training goes on from.
    """
    labelled = examples.labelled
    head = None if options.head_kind == "own" else _new_head(examples, options)
    place = folder if whole else folder / "folds" / re.sub(r"\W+", "_", split.name)
    tuned = fine_tune(
        labelled,
        split,
        base.extractor,
        head,
        FineTuneOptions(**options.of_learning()),
        place,
        make_accelerator(options.precision or "no", work.device, "training a net", "train"),
        work.quiet,
        folder / "cache",
    )
    about = {
        "fitted_by": "fine-tuning",
        "epoch": tuned.epoch,
        "seconds": tuned.seconds,
        "epochs": int(tuned.metrics[-1]["epoch"]),
    }
    if options.recipe is None and head is not None:
        return _with_fitted_head(examples, split, base, tuned, options, about)
    return _as_trained(examples, split, base, tuned, head, options, about)


def _new_head(examples: Examples, options: TrainOptions) -> Head:
    """The head that the net is trained with. That of a recipe does not standardise what it sees."""
    size = examples.vectors.shape[1], len(examples.labelled.classes)
    standardize = options.recipe is None
    layout = HeadLayout("linear", *size, standardize=standardize)
    if options.head_kind == "mlp":
        units, activation, dropout = options.hidden_units, options.hidden_activation, options.hidden_dropout
        layout = HeadLayout("mlp", *size, units, activation, dropout, standardize=standardize)
    return make_head(layout, options.seed)


def _as_trained(
    examples: Examples,
    split: Split,
    base: Base,
    tuned: Tuned,
    head: Head | None,
    options: TrainOptions,
    about: dict[str, Any],
) -> Learned:
    """The net and the head, or the net's own classifier, as training has left them."""
    rows = np.concatenate([split.validation, split.test])
    logits = hear(tuned.extractor, examples.labelled.items, rows, head is not None)
    fitted = None
    if head is not None:
        assert tuned.head_state is not None
        head.load_state_dict(tuned.head_state)
        fitted = Fitted(head.eval(), {})
        logits = logits_of(head, logits)
    validation, test = logits[split.validation], logits[split.test]
    reading = read_logits(examples, split, validation, options.threshold)
    return Learned(
        split, fitted, _bare(base, tuned.net_state), reading, validation, test, about, settings=tuned.settings
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A net, somewhere on the way from what it was to what training has made of it.

    Attributes:
        share: How much of the way.
        examples: The embeddings that it makes; without those of the test part, unless they were there before.
        losses: (V,) float64 of its head, learnt without the validation part, on that.
    """

    share: float
    examples: Examples
    losses: torch.Tensor


def _with_fitted_head(
    examples: Examples, split: Split, base: Base, tuned: Tuned, options: TrainOptions, about: dict[str, Any]
) -> Learned:
    """The net as far on its way as the validation part says is best, and a head that is fitted on its embeddings."""
    items, net, head_options = examples.labelled.items, tuned.extractor.net, options.of_head()
    start = {name: value.detach().cpu() for name, value in base.extractor.net.state_dict().items()}
    seen = np.sort(np.concatenate([split.train, split.validation]))

    def candidate(share: float) -> Candidate:
        found = examples
        if share:
            net.load_state_dict(_between(start, tuned.net_state, share))
            found = replace(examples, vectors=hear(tuned.extractor, items, seen, has_head=True))
        return Candidate(share, found, _validation_losses(found, split, head_options))

    if not tuned.epoch:
        chosen = candidate(0.0)
    elif not len(split.validation):
        chosen = candidate(_USUAL_SHARE)
    else:
        chosen = choose(candidate(_USUAL_SHARE), candidate(1.0), candidate(0.0))
    state, vectors = start, chosen.examples.vectors
    if chosen.share:
        state = _between(start, tuned.net_state, chosen.share)
        net.load_state_dict(state)
        vectors[split.test] = hear(tuned.extractor, items, split.test, has_head=True)[split.test]
    learned = learn_frozen(chosen.examples, split, options=head_options)
    notes = learned.notes if chosen.share else (*learned.notes, _AS_IT_WAS)
    about = {**about, "share": chosen.share, "head": learned.about}
    settings = tuned.settings if chosen.share else {}
    return replace(learned, state=_bare(base, state), about=about, notes=notes, settings=settings)


def _validation_losses(examples: Examples, split: Split, options: TrainOptions) -> torch.Tensor:
    """(V,) losses of a head on the validation part, which it has not learnt from."""
    if not len(split.validation):
        return torch.zeros(0, dtype=torch.float64)
    fitted = fit_head(examples.part(split.train), examples.part(split.validation), options)
    targets = make_targets(examples.labelled, split.validation, split.train, balanced=True)
    return losses_of(targets, torch.from_numpy(logits_of(fitted.head, examples.vectors[split.validation])))


def choose(usual: Candidate, whole: Candidate, start: Candidate) -> Candidate:
    """How far the net goes, by the validation part.

    The loss of few sounds says little: the net goes all of the way if it is better then beyond what chance does, sound
    for sound, and else the usual part of it. It stays as it was if it is better so by however little: then there is no
    reason to change it.
    """
    gains = usual.losses - whole.losses
    error = float(gains.std(correction=0)) / math.sqrt(len(gains))
    moved = whole if float(gains.mean()) > _CERTAIN * error else usual
    return start if float(start.losses.mean()) < float(moved.losses.mean()) else moved


def _between(start: dict[str, torch.Tensor], end: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """The state of a net on a straight line between two."""
    return {
        name: torch.lerp(start[name].to(value.dtype), value, share) if value.is_floating_point() else value
        for name, value in end.items()
    }


def _bare(base: Base, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of the net without a head that it had: that of a detector which now learns other classes."""
    if not isinstance(base.extractor.net, HeadedNet):
        return state
    return {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}

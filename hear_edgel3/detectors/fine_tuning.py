"""Fine-tuning: a net and its head, trained further on labelled sounds.

In two phases: the head alone, unless it comes fitted; then the net too, or its last layers, at a lower rate that rises
and falls (Kornblith et al., "Do better ImageNet models transfer better?", CVPR 2019, for the second alone; Howard and
Ruder, "Universal language model fine-tuning", ACL 2018, for phases and rates). Batch norm keeps its statistics, which
those of few sounds would spoil.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hear_edgel3.detectors.by_recipe import RecipeTuning
from hear_edgel3.detectors.clips import decode
from hear_edgel3.detectors.folding import norm_folded
from hear_edgel3.detectors.tune_options import FineTuneOptions
from hear_edgel3.detectors.tuned_net import make_tuned_net
from hear_edgel3.detectors.two_phases import TwoPhaseTuning
from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.extractor import Extractor
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.heads import Head
from hear_edgel3.labels import Labelled, Split
from hear_edgel3.training import loop

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["FineTuneOptions", "Tuned", "fine_tune"]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A net that was trained further.

    Attributes:
        net_state: The state of the net; of one without a head, of a net with classes of the set's number.
        head_state: That of the head; None if there is none.
        metrics: One row of figures per epoch; the first is that of what training began with, if there was a
            validation part.
        epoch: Whose state it is, from 1; 0 if what was learnt is worse on the validation part.
        seconds: The time that it took.
        extractor: The net with that state, where it was trained: what makes embeddings for the head, or else logits.
        settings: What the net has and no tensor shows (:attr:`hear_edgel3.families.protocols.Family.settings`).
    """

    net_state: dict[str, torch.Tensor]
    head_state: dict[str, torch.Tensor] | None
    metrics: list[dict[str, float]]
    epoch: int
    seconds: float
    extractor: Extractor
    settings: Mapping[str, Any]


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
        split: What is learnt from, and what decides whether that counts, and, where training does not come to its
            end or a recipe says so, which epoch.
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
    task: TwoPhaseTuning | RecipeTuning
    if options.recipe is None:
        task = TwoPhaseTuning(labelled, tuned, learnt, heard, options)
    else:
        task = RecipeTuning(labelled, tuned, learnt, heard, options)
    task.prepare(accelerator)
    start = {name: value.detach().cpu().clone() for name, value in tuned.model.state_dict().items()}
    with norm_folded(tuned.model.net) if task.keeps_norm else nullcontext():
        progress = loop.train(task, folder, accelerator, quiet, options.wandb)
    epoch = task.counting_epoch(progress)
    if not epoch:
        tuned.model.load_state_dict(start)
    elif epoch != progress.epoch:  # that of the last epoch is in place
        tuned.model.load_state_dict(progress.best)
    if epoch:
        task.set_epoch(epoch - 1)
    task.finish()
    state = {name: value.detach().cpu().clone() for name, value in tuned.model.state_dict().items()}
    parts = {
        part: {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
        for part in ("net", "head")
    }
    head_state = None if head is None else parts["head"]
    trained = Extractor(tuned.configuration, tuned.frontend, tuned.model.net).to(accelerator.device).eval()
    net: Any = tuned.model.net
    bare = net.net if isinstance(net, HeadedNet) else net
    names = FAMILIES[extractor.configuration.checkpoint.family].settings
    settings = {name: getattr(bare, name) for name in names if hasattr(bare, name)}
    return Tuned(parts["net"], head_state, progress.metrics, epoch, progress.seconds, trained, settings)

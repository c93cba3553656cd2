"""Distillation: a small net of one's own, which approximates a larger one on one's own unlabelled sounds.

Srivastava et al., "Specialized Embedding Approximation for Edge Intelligence", ICASSP 2021, for embeddings; Schmid et
al., "Efficient Large-Scale Audio Tagging Via Transformer-To-CNN Knowledge Distillation", ICASSP 2023, for logits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hear_edgel3._version import __version__
from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.distillation.corpus import Corpus, find_corpus
from hear_edgel3.distillation.curves import draw_curves
from hear_edgel3.distillation.examples import Examples, make_examples
from hear_edgel3.distillation.recipe import Recipe, fingerprint
from hear_edgel3.distillation.result import Description, read_sources, write_result
from hear_edgel3.distillation.student import StudentNet
from hear_edgel3.distillation.target_scale import TargetScale, make_target_scale
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.distillation.training import DistillationLoss, Progress, make_accelerator, measure, train
from hear_edgel3.errors import InvalidAudio, InvalidOption

__all__ = ["Recipe", "distill"]

NO_LICENCE = "not stated; the teacher and the audio have theirs"


def distill(
    teacher: str,
    audio: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    teacher_weights: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    device: str | None = None,
    quiet: bool = True,
    licence: str = NO_LICENCE,
    command: str | None = None,
    **options: Any,
) -> Path:
    """Distills a student and writes it as a folder that :func:`hear_edgel3.load` takes.

    What was computed is kept: called again with the same arguments after it was interrupted, it goes on, and gives the
    same student as if it had not been.

    Args:
        teacher: a configuration's name, or a folder that this function has written.
        audio: folders, files, tar files or lists of unlabelled audio, or one of them, in any format that can be
            embedded. Of tables of clips it learns from these clips.
        output: the folder to write.
        teacher_weights: as ``weights`` of :func:`hear_edgel3.load`.
        cache: folder for the teacher's answers, which other students can share; None for one in ``output``. They take
            about 90 MB (uncompressed) per hour of clips and variant.
        device: "cpu" to compute there; None for the GPU where there is one.
        quiet: without progress bars.
        licence: what to say of the student's weights.
        command: what the card says was run.
        **options: those of :class:`Recipe`.

    Returns:
        ``output``, with ``configuration.json``, ``model.safetensors``, ``README.md`` (the card), ``metrics.csv``,
        ``tensorboard`` (if that is installed) and ``training.pt`` (to go on from).

    Raises:
        InvalidOption: an option cannot be used, or the teacher cannot teach such a student.
        UnknownConfiguration, WeightsNotFound, WeightsMismatch, WeightsCorrupt, DownloadError: of the teacher.
        AudioFileError: an input does not exist or has no audio.
        InvalidAudio: there is too little audio.
        OutputError: ``output`` cannot be written (a full disk, for example; what was computed is kept), or holds
            another distillation.
        MissingExtra: accelerate is not installed.
    """
    try:
        recipe = Recipe(**options)
    except TypeError as error:
        raise InvalidOption(
            f"{str(error).replace('Recipe.__init__() ', '')}; the options are those of Recipe"
        ) from error
    if not isinstance(licence, str) or not licence:
        raise InvalidOption(f"licence must be a text, got {licence!r}")
    inputs = [os.fspath(path) for path in ([audio] if isinstance(audio, (str, os.PathLike)) else audio)]
    sources = read_sources(inputs)
    accelerator = make_accelerator(recipe, device)
    folder = Path(output)
    # New nets draw random numbers; the caller's generator stays as it is.
    with torch.random.fork_rng([]):
        asked = Teacher(teacher, teacher_weights).to(accelerator.device)
        size = _size(recipe, asked)
        torch.manual_seed(recipe.seed)
        student = StudentNet(recipe, size, asked.n_classes)
    student.frontend.to(accelerator.device)
    corpus = find_corpus(inputs, recipe)
    make_folder(folder)
    kept = Path(cache) if cache is not None else folder / "cache"
    kept = kept / _identity(corpus, recipe, asked, student)
    parts: dict[str, Examples] = {}
    for what, part, views, fewest in (("validation", corpus.validation, 1, 1), ("train", corpus.train, None, 2)):
        make_folder(kept / what)
        if accelerator.is_main_process:
            make_examples(
                part, kept / what, recipe, asked, student, accelerator.device, f"teacher, {what}", views, quiet
            )
        accelerator.wait_for_everyone()
        parts[what] = make_examples(
            part, kept / what, recipe, asked, student, accelerator.device, f"teacher, {what}", views, quiet=True
        )
        if len(parts[what].clips) < fewest:
            raise InvalidAudio(
                f"only {len(parts[what].clips)} of the {len(part)} clips for {what} could be read; see the messages "
                f"above"
            )
    probabilities = parts["train"].mean_probabilities()
    if probabilities is not None:
        student.expect(probabilities)
    target_scale = make_target_scale(parts["train"].embeddings(), recipe.embedding_size)
    progress = train(recipe, student, target_scale, parts["train"], parts["validation"], folder, accelerator, quiet)
    if accelerator.is_main_process:
        found = _Outcome(recipe, asked, student, target_scale, corpus, progress, accelerator.num_processes)
        description, state = _finished(found, parts["validation"], licence, command)
        write_result(folder, description, state, sources, draw_curves(progress.metrics))
    accelerator.wait_for_everyone()
    return folder


def _size(recipe: Recipe, teacher: Teacher) -> int:
    """Values of the student's approximation."""
    largest = teacher.embedding_size
    if recipe.embedding_size is not None and recipe.embedding_size > largest:
        raise InvalidOption(
            f"embedding_size={recipe.embedding_size} is more than the {largest} values of {teacher.name}; use at most "
            f"that"
        )
    return recipe.embedding_size or largest


def _identity(corpus: Corpus, recipe: Recipe, teacher: Teacher, student: StudentNet) -> str:
    """A digest of all that the teacher's answers depend on."""
    both = (*corpus.train, *corpus.validation)
    sizes = {clip.path: clip.item.size or clip.path.stat().st_size for clip in both}
    deciding = ("lengths", "views", "gain_db", "mix", "seed")
    return fingerprint(
        # Not where the folder is, so that it can be moved.
        [(clip.path.name, clip.start, clip.seconds, sizes[clip.path]) for clip in both],
        {key: value for key, value in recipe.to_dict().items() if key in deciding},
        teacher.name,
        teacher.weights_sha256,
        repr(student.fields["frontend"]),
        __version__,
    )


@dataclass(frozen=True)
class _Outcome:
    """A training that is over.

    Attributes:
        recipe: The options.
        teacher: Who was asked.
        student: What was trained.
        target_scale: The scale in which it was trained.
        corpus: What it learned from.
        progress: The states that it went through.
        n_processes: How many processes trained it.
    """

    recipe: Recipe
    teacher: Teacher
    student: StudentNet
    target_scale: TargetScale
    corpus: Corpus
    progress: Progress
    n_processes: int


def _finished(
    outcome: _Outcome, validation: Examples, licence: str, command: str | None
) -> tuple[Description, dict[str, torch.Tensor]]:
    """The best student's description and state, measured as it is stored."""
    recipe, student, progress = outcome.recipe, outcome.student, outcome.progress
    stored = progress.best
    if recipe.half:
        stored = {k: v.half().float() if v.is_floating_point() else v for k, v in stored.items()}
    student.net.load_state_dict(stored)
    device = next(student.net.parameters()).device
    has_logits = student.n_classes is not None
    loss_of = DistillationLoss(outcome.target_scale, has_logits, recipe.logits_weight, device)
    scores = measure(student.net, loss_of, validation, recipe.batch_seconds, device)
    finished = student.finished(stored, outcome.target_scale, recipe.embedding == "own")
    state = {k: v.cpu().contiguous() for k, v in finished.items()}
    if recipe.half:
        state = {k: v.half() for k, v in state.items()}
    hours = outcome.corpus.seconds / 3600
    made = {
        "version": __version__,
        "teacher": outcome.teacher.name,
        "teacher_sha256": outcome.teacher.weights_sha256,
        "hours": round(hours, 3),
        "files": outcome.corpus.n_files,
        "validation_files_percent": 100 * recipe.validation,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "seconds": round(progress.seconds, 1),
        "device": str(device),
        "processes": outcome.n_processes,
        "torch": torch.__version__,
        "command": command,
        "recipe": recipe.to_dict(),
        "scores": {key: round(value, 5) for key, value in scores.items()},
    }
    description = Description(
        name=recipe.name,
        summary=f"{student.kind.title} of {student.kind.describe(recipe)}, distilled from {outcome.teacher.name} on "
        f"{hours:.1f} hours of audio",
        family=student.family,
        architecture=student.published_architecture,
        labels=outcome.teacher.labels if has_logits else None,
        default_features=student.kind.default_features(recipe),
        citation=outcome.teacher.extractor.configuration.checkpoint.citation,
        licence=licence,
        made=made,
    )
    return description, state

"""Distillation: a small net of one's own, which approximates a larger one on one's own unlabelled sounds.

Srivastava et al., "Specialized Embedding Approximation for Edge Intelligence", ICASSP 2021, for embeddings; Schmid et
al., "Efficient Large-Scale Audio Tagging Via Transformer-To-CNN Knowledge Distillation", ICASSP 2023, for logits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hear_edgel3._checks import check_path, check_paths, several_paths
from hear_edgel3._extras import require
from hear_edgel3._version import __version__
from hear_edgel3.disk.atomic import make_folder
from hear_edgel3.disk.digest import fingerprint
from hear_edgel3.disk.stderr import say
from hear_edgel3.distillation.broad import BroadClips
from hear_edgel3.distillation.corpus import Corpus, find_corpus
from hear_edgel3.distillation.curves import draw_curves
from hear_edgel3.distillation.examples import Examples, make_examples, sample_rate
from hear_edgel3.distillation.lessons import FreshLessons, Lessons, StoredLessons
from hear_edgel3.distillation.loss import DistillationLoss
from hear_edgel3.distillation.measuring import BY_SOURCE, GUESS, measure, measure_guess, named
from hear_edgel3.distillation.notices import licence_text, notice_of
from hear_edgel3.distillation.pruned import PrunedNet
from hear_edgel3.distillation.recipe import PrunedRecipe, Recipe, make_recipe
from hear_edgel3.distillation.result import Description, not_of_a_distillation, read_sources, write_result
from hear_edgel3.distillation.student import Learner, StudentNet
from hear_edgel3.distillation.target_scale import TargetScale, make_target_scale
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.distillation.training import STATE, Progress, make_accelerator, train
from hear_edgel3.engine.callers_state import own_state
from hear_edgel3.errors import InvalidAudio, InvalidOption, OutputError
from hear_edgel3.families.schema import Local
from hear_edgel3.families.values import is_count
from hear_edgel3.registry import folder as local
from hear_edgel3.training.clip import Clip
from hear_edgel3.training.sounds import Sounds, make_sounds
from hear_edgel3.weights.quantized import dequantize_state, quantize_state

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["PrunedRecipe", "Recipe", "distill"]

NO_LICENCE = "not stated; the teacher and the audio have theirs"


@own_state()
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
    embedding_version: int = 1,
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
            about 90 MB (uncompressed) per hour of clips and variant; broad augmentation needs 230 MB per hour of clips
            besides, for the clips themselves at 32 kHz.
        device: "cpu" to compute there; None for the GPU where there is one.
        quiet: without progress bars.
        licence: what to say of the student's weights.
        embedding_version: a number from 1 that all outputs of the student carry: a higher one than that of the net
            which this one takes the place of, so that their embeddings are not mixed.
        command: what the card says was run.
        **options: those of :class:`Recipe`; with ``student="pruned"``, which prunes the teacher's own net, those of
            :class:`PrunedRecipe`.

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
    recipe = make_recipe(options)
    if not isinstance(licence, str) or not licence:
        raise InvalidOption(f"licence must be a text, got {licence!r}")
    if not is_count(embedding_version):
        raise InvalidOption(f"embedding_version must be a whole number from 1, got {embedding_version!r}")
    check_path(output, "output")
    check_paths(cache=cache)
    inputs = several_paths(audio, "audio")
    sources = read_sources(inputs)
    if recipe.augmentation == "broad":
        require("scipy", "broad augmentation", "distill")
    accelerator = make_accelerator(recipe, device)
    folder = Path(output)
    # New nets draw random numbers; the caller's generator stays as it is.
    with torch.random.fork_rng([]):
        asked = Teacher(teacher, teacher_weights).to(accelerator.device)
        torch.manual_seed(recipe.seed)
        student: StudentNet | PrunedNet
        if isinstance(recipe, PrunedRecipe):
            student = PrunedNet(recipe, asked)
        else:
            student = StudentNet(recipe, _size(recipe, asked), asked.n_classes)
    student.frontend.to(accelerator.device)
    _check_output(folder, recipe, asked)
    corpus = find_corpus(inputs, recipe)
    if corpus.note and not quiet and accelerator.is_main_process:
        say(f"hear-edgel3: {corpus.note}")
    make_folder(folder)
    shared = Path(cache) if cache is not None else folder / "cache"
    kept = shared / _identity(corpus, recipe, asked, student)
    asking = _Asking(shared, kept, recipe, asked, student, accelerator, quiet)
    held_out = {"": asking.stored("validation", corpus.validation, 1)}
    if corpus.by_source:
        held_out[BY_SOURCE] = asking.stored("sources", corpus.by_source, 1)
    lessons, target_scale, expected = asking.lessons(corpus)
    guesses: dict[str, float] = {}
    if expected is not None:
        for prefix, part in held_out.items():
            guess = measure_guess(expected, part, recipe.batch_seconds, accelerator.device)
            guesses |= named(prefix + GUESS, guess)
    progress = train(
        recipe,
        student,
        target_scale,
        lessons,
        held_out[""],
        folder,
        accelerator,
        quiet,
        held_out.get(BY_SOURCE),
        guesses,
    )
    if accelerator.is_main_process:
        found = _Outcome(recipe, asked, student, target_scale, corpus, progress, accelerator.num_processes)
        description, state = _finished(found, held_out, guesses, licence, embedding_version, command)
        write_result(folder, description, state, sources, draw_curves(progress.metrics), recipe.quantize == "int8")
    accelerator.wait_for_everyone()
    return folder


@dataclass(frozen=True)
class _Asking:
    """Asks the teacher about clips; of several processes the first one does, and the others wait.

    Attributes:
        shared: The folder of what all distillations from the same sounds can use.
        kept: The folder of what was answered.
        recipe: The options.
        teacher: Who is asked.
        student: Who will learn it.
        accelerator: What knows the processes.
        quiet: Without progress bars.
    """

    shared: Path
    kept: Path
    recipe: Recipe
    teacher: Teacher
    student: Learner
    accelerator: Accelerator
    quiet: bool

    def stored(self, what: str, clips: Sequence[Clip], views: int | None) -> Examples:
        """Examples on disk: those that are there are not made again.

        Raises:
            InvalidAudio: Too few of the clips could be read.
        """
        folder, device = self.kept / what, self.accelerator.device
        heard = None
        if what == "train" and self.recipe.augmentation == "broad":
            heard = self.sounds(clips, sample_rate(self.teacher, self.student))
        arguments = (self.recipe, self.teacher, self.student, device, f"teacher, {what}", views)
        make_folder(folder)
        if self.accelerator.is_main_process:
            make_examples(clips, folder, *arguments, self.quiet, heard)
        self.accelerator.wait_for_everyone()
        examples = make_examples(clips, folder, *arguments, True, heard)
        fewest = 2 if what == "train" else 1
        if len(examples.clips) < fewest:
            raise InvalidAudio(
                f"only {len(examples.clips)} of the {len(clips)} clips for {what} could be read; see the messages above"
            )
        return examples

    def lessons(self, corpus: Corpus) -> tuple[Lessons, TargetScale, torch.Tensor | None]:
        """What the student is taught, in which scale, and the mean probabilities (n_classes,) of it; None without tags.

        The student becomes the net that is taught.
        """
        student, recipe, device = self.student, self.recipe, self.accelerator.device
        if isinstance(student, PrunedNet):
            assert isinstance(recipe, PrunedRecipe)
            fresh = self.fresh(corpus.train, recipe)
            if self.accelerator.is_main_process:
                if not self.quiet:
                    say(f"pruning by {recipe.fit_clips} clips, and fitting what is left")
                student.prune(fresh, self.kept, device, make=True)
            self.accelerator.wait_for_everyone()
            return fresh, *student.prune(fresh, self.kept, device, make=False)
        assert isinstance(student, StudentNet)
        examples = self.stored("train", corpus.train, None)
        expected = examples.mean_probabilities()
        if expected is not None:
            student.expect(expected)
        scale = make_target_scale(examples.embeddings(), recipe.embedding_size)
        return StoredLessons(recipe, examples), scale, expected

    def sounds(self, clips: Sequence[Clip], rate: int) -> Sounds:
        """The clips, decoded."""
        if self.accelerator.is_main_process:
            make_sounds(clips, self.shared, rate, quiet=self.quiet)
        self.accelerator.wait_for_everyone()
        return make_sounds(clips, self.shared, rate, quiet=True)

    def fresh(self, clips: Sequence[Clip], recipe: PrunedRecipe) -> FreshLessons:
        """Lessons of broad clips, of sounds that are decoded once."""
        rate = self.teacher.sample_rate
        sounds = self.sounds(clips, rate)
        broad = {seconds: BroadClips(sounds, rate, seconds, recipe.seed) for seconds in recipe.lengths}
        return FreshLessons(recipe, broad, self.teacher, recipe.batches)


def _check_output(folder: Path, recipe: Recipe, teacher: Teacher) -> None:
    """That nothing is lost: a net that is in the folder must be of the same distillation, and files be of one.

    Raises:
        OutputError: It is another one, or the teacher itself, or a file that no distillation has written has the name
            of one that this one writes.
    """
    if not local.is_folder(folder):
        others = [] if os.path.lexists(folder / STATE) else not_of_a_distillation(folder)
        if others:
            raise OutputError(f"{folder} holds other things ({others[0]}, for example); give an empty folder")
        return
    row = local.read_folder(folder)
    # What there is to go on from is compared exactly when it is read.
    same = (folder / STATE).is_file() or (
        row.made.get("recipe") == recipe.to_dict() and row.made.get("teacher") == teacher.name
    )
    own = teacher.extractor.configuration.checkpoint
    if (isinstance(own, Local) and own.folder.samefile(folder)) or not same:
        raise OutputError(
            f"{folder} holds the net {row.name}, which belongs to another distillation (other options, or another "
            f"teacher); use another --output"
        )


def _size(recipe: Recipe, teacher: Teacher) -> int:
    """Values of the student's approximation."""
    largest = teacher.embedding_size
    if recipe.embedding_size is not None and recipe.embedding_size > largest:
        raise InvalidOption(
            f"embedding_size={recipe.embedding_size} is more than the {largest} values of {teacher.name}; use at most "
            f"that"
        )
    return recipe.embedding_size or largest


def _identity(corpus: Corpus, recipe: Recipe, teacher: Teacher, student: Learner) -> str:
    """A digest of all that the teacher's answers depend on."""
    clips = (*corpus.train, *corpus.validation, *corpus.by_source)
    sizes = {clip.path: clip.size for clip in clips}
    deciding = ("lengths", "views", "augmentation", "gain_db", "mix", "seed")
    return fingerprint(
        # Not where the folder is, so that it can be moved.
        [(clip.path.name, clip.start, clip.seconds, sizes[clip.path]) for clip in clips],
        # Broad clips are drawn source by source.
        [clip.source for clip in corpus.train] if recipe.is_broad else [],
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
    student: Learner
    target_scale: TargetScale
    corpus: Corpus
    progress: Progress
    n_processes: int


def _finished(
    outcome: _Outcome,
    held_out: Mapping[str, Examples],
    guesses: Mapping[str, float],
    licence: str,
    embedding_version: int,
    command: str | None,
) -> tuple[Description, dict[str, torch.Tensor]]:
    """The best student's description and state, measured as it is stored."""
    recipe, student, progress = outcome.recipe, outcome.student, outcome.progress
    stored = progress.best
    if recipe.half:
        stored = {k: v.half().float() if v.is_floating_point() else v for k, v in stored.items()}
    elif recipe.quantize == "int8":
        stored = {**stored, **dequantize_state(quantize_state(stored))}
    student.net.load_state_dict(stored)
    device = next(student.net.parameters()).device
    has_logits = student.n_classes is not None
    loss_of = DistillationLoss(outcome.target_scale, has_logits, recipe.logits_weight, device)
    scores: dict[str, float] = {}
    for prefix, examples in held_out.items():
        scores |= named(prefix, measure(student.net, loss_of, examples, recipe.batch_seconds, device))
    scores |= guesses
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
        "sources": outcome.corpus.n_sources,
        "held_out_sources": list(outcome.corpus.held_out),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "seconds": round(progress.seconds, 1),
        "device": str(device),
        "processes": outcome.n_processes,
        "torch": torch.__version__,
        "command": command,
        **({} if student.origin is None else {"weights_of": student.origin.name, "notice": notice_of(student.origin)}),
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
        embedding_version=embedding_version,
        notice="" if student.origin is None else licence_text(student.origin),
    )
    return description, state

"""How often two nets name the same most probable AudioSet class, on audio that neither was fitted to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hear_edgel3.errors import InvalidOption
from hear_edgel3.tagging.tagger import Tagger

_ENDINGS = {".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif", ".opus"}
_SECONDS = 10
_RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """How far two taggers agree.

    Attributes:
        clips: of up to 10 s that both tagged.
        files: that they were cut from.
        share: of the clips where both name the same class first.
        low: lower end of its 95 % confidence interval, over files.
        high: its upper end.
        in_top_5: share of the clips where the teacher's first class is among the student's first five.
        commonest: the class that the teacher names most often.
        commonest_share: of the clips that it names it for: what a student reaches that always says that.
    """

    clips: int
    files: int
    share: float
    low: float
    high: float
    in_top_5: float
    commonest: str
    commonest_share: float

    def __str__(self) -> str:
        return (
            f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}] of {self.clips} clips from {self.files} files have "
            f"the same first tag; the teacher's is among the student's first five in {self.in_top_5:.3f}; always "
            f"saying {self.commonest!r}, the teacher's most common, would be right in {self.commonest_share:.3f}"
        )


def measure(student: Tagger, teacher: Tagger, folder: Path) -> Agreement:
    """Tags all audio below a folder, in clips of 10 s (the last of a file, and of a short one, filled with zeros).

    Args:
        student: one net.
        teacher: another, of the same classes.
        folder: with files of audio.

    Raises:
        InvalidOption: there is no audio, or the classes differ.
        AudioFileError: a file is damaged.
    """
    if student.labels != teacher.labels:
        raise InvalidOption(f"{student.configurations} and {teacher.configurations} have different classes")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    if not files:
        raise InvalidOption(f"{folder} has no audio: name a folder with files ending in {', '.join(sorted(_ENDINGS))}")
    same, in_top, of_file, said = [], [], [], []
    for number, path in enumerate(files):
        theirs = teacher.tag_file(path, _SECONDS, _SECONDS).logits.argmax(axis=1)
        ours = np.argsort(-student.tag_file(path, _SECONDS, _SECONDS).logits, axis=1)
        same += list(ours[:, 0] == theirs)
        in_top += list((ours[:, :5] == theirs[:, None]).any(axis=1))
        of_file += [number] * len(theirs)
        said += theirs.tolist()
    commonest, count = Counter(said).most_common(1)[0]
    low, high = np.quantile(_resampled(np.array(same, float), np.array(of_file)), (0.025, 0.975))
    return Agreement(
        clips=len(same),
        files=len(files),
        share=float(np.mean(same)),
        low=float(low),
        high=float(high),
        in_top_5=float(np.mean(in_top)),
        commonest=teacher.labels[commonest].name,
        commonest_share=count / len(said),
    )


def _resampled(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means of the values when groups are drawn with replacement."""
    n_groups = int(groups.max()) + 1
    drawn = np.random.RandomState(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), _RESAMPLES)
    times = drawn[:, groups]
    means: np.ndarray = (times @ values) / times.sum(axis=1)
    return means

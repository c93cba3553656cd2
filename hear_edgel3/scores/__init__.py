"""How good guesses are: scores of classes and numbers, with intervals, confusions, calibration and thresholds.

>>> from hear_edgel3.scores import Guesses, score_classes
>>> print(score_classes(Guesses(targets, probabilities), classes, groups).table())
"""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.scores.calibration import above_thresholds as above_thresholds
    from hear_edgel3.scores.calibration import classes_said as classes_said
    from hear_edgel3.scores.calibration import expected_calibration_error as expected_calibration_error
    from hear_edgel3.scores.calibration import fit_temperature as fit_temperature
    from hear_edgel3.scores.calibration import fit_thresholds as fit_thresholds
    from hear_edgel3.scores.calibration import probabilities_of as probabilities_of
    from hear_edgel3.scores.classes import Guesses as Guesses
    from hear_edgel3.scores.classes import score_classes as score_classes
    from hear_edgel3.scores.confusion import confusion_matrix as confusion_matrix
    from hear_edgel3.scores.confusion import draw_confusion as draw_confusion
    from hear_edgel3.scores.numbers import score_numbers as score_numbers
    from hear_edgel3.scores.report import Scores as Scores

__all__ = [
    "Guesses",
    "Scores",
    "above_thresholds",
    "classes_said",
    "confusion_matrix",
    "draw_confusion",
    "expected_calibration_error",
    "fit_temperature",
    "fit_thresholds",
    "probabilities_of",
    "score_classes",
    "score_numbers",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Guesses": "classes",
        "Scores": "report",
        "above_thresholds": "calibration",
        "classes_said": "calibration",
        "confusion_matrix": "confusion",
        "draw_confusion": "confusion",
        "expected_calibration_error": "calibration",
        "fit_temperature": "calibration",
        "fit_thresholds": "calibration",
        "probabilities_of": "calibration",
        "score_classes": "classes",
        "score_numbers": "numbers",
    },
)

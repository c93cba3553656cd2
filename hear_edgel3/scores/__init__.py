"""How good guesses are: scores of classes and numbers, with intervals, confusions, calibration and thresholds."""

from hear_edgel3.scores.classes import Guesses as Guesses
from hear_edgel3.scores.classes import score_classes as score_classes
from hear_edgel3.scores.numbers import score_numbers as score_numbers
from hear_edgel3.scores.report import Scores as Scores

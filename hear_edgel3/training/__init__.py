"""Training: the published recipes as rows, and what they are made of (schedules, augmentation, losses, samplers)."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.training.deepspectrumlite import read_grid as read_grid
    from hear_edgel3.training.draws import Draws as Draws
    from hear_edgel3.training.recipes import RECIPES as RECIPES
    from hear_edgel3.training.recipes import TrainingRecipe as TrainingRecipe
    from hear_edgel3.training.recipes import recipe_for as recipe_for
    from hear_edgel3.training.teacher_predictions import TeacherPredictions as TeacherPredictions
    from hear_edgel3.training.teacher_predictions import convert_teacher_predictions as convert_teacher_predictions
    from hear_edgel3.training.teacher_predictions import write_teacher_predictions as write_teacher_predictions

_NAMES = {
    "RECIPES": "recipes",
    "Draws": "draws",
    "TeacherPredictions": "teacher_predictions",
    "TrainingRecipe": "recipes",
    "convert_teacher_predictions": "teacher_predictions",
    "read_grid": "deepspectrumlite",
    "recipe_for": "recipes",
    "write_teacher_predictions": "teacher_predictions",
}

__all__ = [
    "RECIPES",
    "Draws",
    "TeacherPredictions",
    "TrainingRecipe",
    "convert_teacher_predictions",
    "read_grid",
    "recipe_for",
    "write_teacher_predictions",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)

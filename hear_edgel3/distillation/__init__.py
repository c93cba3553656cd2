"""Distillation: a small net of one"s own, which approximates a larger one on one"s own unlabelled sounds."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.distillation.recipe import PrunedRecipe as PrunedRecipe
    from hear_edgel3.distillation.recipe import Recipe as Recipe
    from hear_edgel3.distillation.run import distill as distill

__all__ = ["PrunedRecipe", "Recipe", "distill"]

__getattr__, __dir__ = lazy_names(__name__, {"PrunedRecipe": "recipe", "Recipe": "recipe", "distill": "run"})

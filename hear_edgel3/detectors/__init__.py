"""Detectors: nets that tell classes of somebody's own, trained on labelled sounds, and evaluated.

data (labels) -> embeddings, kept (cache) -> a head on them (linear, frozen), or the net as well (fine_tuning) ->
temperature, thresholds, scores (learning) -> a folder that is a configuration like any other (result).
"""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.detectors.evaluation import evaluate as evaluate
    from hear_edgel3.detectors.options import TrainOptions as TrainOptions
    from hear_edgel3.detectors.run import train as train

__all__ = ["TrainOptions", "evaluate", "train"]

__getattr__, __dir__ = lazy_names(__name__, {"TrainOptions": "options", "evaluate": "evaluation", "train": "run"})

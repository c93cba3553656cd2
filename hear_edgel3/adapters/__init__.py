"""What other libraries expect of sounds and nets: a dataset for PyTorch's loaders, a transformer for scikit-learn.

>>> from hear_edgel3.adapters import SceneTransformer, SoundDataset
"""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.adapters.sounds import Sound as Sound
    from hear_edgel3.adapters.sounds import SoundDataset as SoundDataset
    from hear_edgel3.adapters.sounds import Sounds as Sounds
    from hear_edgel3.adapters.transformer import SceneTransformer as SceneTransformer

# SceneTransformer needs scikit-learn, and so is not among what a star brings.
__all__ = ["Sound", "SoundDataset", "Sounds"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"SceneTransformer": "transformer", "Sound": "sounds", "SoundDataset": "sounds", "Sounds": "sounds"},
)

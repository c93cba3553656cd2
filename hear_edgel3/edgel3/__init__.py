"""A drop-in for the edgel3 library (0.2.1): ``import hear_edgel3.edgel3 as edgel3``.

Same functions, same defaults, same arrays, without TensorFlow; ``python -m hear_edgel3.edgel3`` is its command. What
its users know as bugs is fixed: the sample rate follows the model that is passed, all eight sparsities load,
``sparsity=87`` works, ``process_file`` honours ``retrain_type``, SEA models work on the command line, one bad file does
not stop a folder, files of one name do not overwrite each other's results, and NaN, transposed, integer or
non-contiguous audio gives an error or the right result, never a silently wrong one.

Importing it does not import torch; the functions do.
"""

from hear_edgel3.edgel3 import cli, core, models
from hear_edgel3.edgel3.core import get_embedding, get_output_path, process_file
from hear_edgel3.edgel3.edgel3_exceptions import EdgeL3Error
from hear_edgel3.edgel3.edgel3_warnings import EdgeL3Warning
from hear_edgel3.edgel3.version import version as __version__

__all__ = [
    "EdgeL3Error",
    "EdgeL3Warning",
    "__version__",
    "cli",
    "core",
    "get_embedding",
    "get_output_path",
    "models",
    "process_file",
]

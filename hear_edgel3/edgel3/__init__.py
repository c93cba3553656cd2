"""A drop-in for the edgel3 library (0.2.1): ``import hear_edgel3.edgel3 as edgel3``.

Same functions, same defaults, same arrays, without TensorFlow. What its users know as bugs is fixed: the sample rate
follows the model that is passed, all eight sparsities load, ``sparsity=87`` works, ``process_file`` honours
``retrain_type``, and NaN, transposed, integer or non-contiguous audio gives an error or the right result, never a
silently wrong one.
"""

from hear_edgel3.edgel3 import models
from hear_edgel3.edgel3.core import (
    EdgeL3Error,
    EdgeL3Warning,
    get_embedding,
    get_output_path,
    process_file,
)

__all__ = ["EdgeL3Error", "EdgeL3Warning", "get_embedding", "get_output_path", "models", "process_file"]

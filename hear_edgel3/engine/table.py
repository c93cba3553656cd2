"""The engines by name. A new one is one module here and one line in this table, which imports nothing."""

from __future__ import annotations

# In the order in which "auto" asks them.
MODULES = {
    "numba": "hear_edgel3.engine.numba",
    "torch": "hear_edgel3.engine.folded",
    "onnxruntime": "hear_edgel3.engine.onnxruntime",
    "openvino": "hear_edgel3.engine.openvino",
    "eager": "hear_edgel3.engine.eager",
}

# What the option ``engine`` takes.
NAMES = ("auto", *MODULES)

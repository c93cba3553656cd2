"""The names of activations, for whoever describes a head without making one. Imports no torch."""

from __future__ import annotations

ACTIVATIONS = (
    *("linear", "relu", "arelu", "elu", "selu", "gelu", "swish", "hardswish", "sigmoid", "hard_sigmoid"),
    *("tanh", "softplus", "softsign", "exponential"),
)

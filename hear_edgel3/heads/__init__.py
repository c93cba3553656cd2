"""Heads: what makes logits of embeddings, and what a head is like as plain values."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.heads.head import Head as Head
    from hear_edgel3.heads.head import make_head as make_head
    from hear_edgel3.heads.layout import HeadLayout as HeadLayout
    from hear_edgel3.heads.names import ACTIVATIONS as ACTIVATIONS

__all__ = ["ACTIVATIONS", "Head", "HeadLayout", "make_head"]

__getattr__, __dir__ = lazy_names(
    __name__, {"ACTIVATIONS": "names", "Head": "head", "HeadLayout": "layout", "make_head": "head"}
)

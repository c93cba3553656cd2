"""Nets of any family with a head of somebody's own on their embedding: what a row says of one, and the net itself."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.families.headed.net import HeadedNet as HeadedNet
    from hear_edgel3.families.headed.rows import HeadedVocabulary as HeadedVocabulary
    from hear_edgel3.families.headed.rows import headed as headed

__all__ = ["HeadedNet", "HeadedVocabulary", "headed"]

__getattr__, __dir__ = lazy_names(__name__, {"HeadedNet": "net", "HeadedVocabulary": "rows", "headed": "rows"})

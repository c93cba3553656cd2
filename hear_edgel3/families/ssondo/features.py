"""The words that choose features of an S-SONDO net: those of its own kind of net, and ``teacher`` for its head.

The head approximates the embedding of 3840 values of its teacher, MATPAC++, up to its length. What a net trained on
classes calls its logits is that here, so there are no logits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hear_edgel3.errors import UnknownFeatures
from hear_edgel3.families.schema import Checkpoint, Features, Vocabulary

_DEFAULT, _LOGITS, _TEACHER = "clf1", "logits", "teacher"
# Words of the nets' own families that mean logits, or hold them.
_NONE_HERE = (_LOGITS, "l", "allmode")


@dataclass(frozen=True)
class SsondoFeatures:
    """The vocabulary, for :class:`hear_edgel3.families.schema.Checkpoint`.

    Attributes:
        base: That of the kind of net.
    """

    base: Vocabulary

    def read(self, row: Checkpoint, words: str) -> Features:
        """Reads words joined by underscores.

        Raises:
            UnknownFeatures: As the net's own vocabulary; or a word means logits.
        """
        parts = (words or row.default_features or _DEFAULT).split("_")
        for word in parts:
            if word in _NONE_HERE:
                raise UnknownFeatures(
                    f"{row.name} has no {word}: it was trained without classes; what its head puts out, which "
                    f"approximates its teacher's embedding, is called {_TEACHER}"
                )
        found = self.base.read(row, "_".join(_LOGITS if word == _TEACHER else word for word in parts))
        names = tuple(_TEACHER if name == _LOGITS else name for name in found.names)
        return replace(found, names=names, description=found.description.replace(_LOGITS, _TEACHER))

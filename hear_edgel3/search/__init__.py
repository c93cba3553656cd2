"""Search by sound in datasets of embeddings.

>>> from hear_edgel3.search import SoundSearch, find_duplicates
>>> SoundSearch("embeddings").query("clip.wav", top=5)
>>> find_duplicates("embeddings")
"""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.search.duplicates import DuplicateGroup as DuplicateGroup
    from hear_edgel3.search.duplicates import find_duplicates as find_duplicates
    from hear_edgel3.search.index import build_index as build_index
    from hear_edgel3.search.neighbours import nearest as nearest
    from hear_edgel3.search.sound_search import Match as Match
    from hear_edgel3.search.sound_search import SoundSearch as SoundSearch

__all__ = ["DuplicateGroup", "Match", "SoundSearch", "build_index", "find_duplicates", "nearest"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DuplicateGroup": "duplicates",
        "Match": "sound_search",
        "SoundSearch": "sound_search",
        "build_index": "index",
        "find_duplicates": "duplicates",
        "nearest": "neighbours",
    },
)

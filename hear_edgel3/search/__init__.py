"""Search by sound in datasets of embeddings.

>>> from hear_edgel3.search import SoundSearch, find_duplicates
>>> SoundSearch("embeddings").query("clip.wav", top=5)
>>> find_duplicates("embeddings")
"""

from hear_edgel3.search.duplicates import DuplicateGroup, find_duplicates
from hear_edgel3.search.index import build_index
from hear_edgel3.search.neighbours import nearest
from hear_edgel3.search.sound_search import Match, SoundSearch

__all__ = ["DuplicateGroup", "Match", "SoundSearch", "build_index", "find_duplicates", "nearest"]

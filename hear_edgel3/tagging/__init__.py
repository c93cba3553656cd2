"""Tags: which kinds of sound are heard in a clip, a window or a stream."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.tagging.outputs import Outputs as Outputs
    from hear_edgel3.tagging.stream import TagStream as TagStream
    from hear_edgel3.tagging.tagger import Tagger as Tagger
    from hear_edgel3.tagging.tagger import tag as tag
    from hear_edgel3.tagging.tags import ClipTags as ClipTags
    from hear_edgel3.tagging.tags import Tag as Tag
    from hear_edgel3.tagging.tags import WindowTags as WindowTags

__all__ = ["ClipTags", "Outputs", "Tag", "TagStream", "Tagger", "WindowTags", "tag"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ClipTags": "tags",
        "Outputs": "outputs",
        "Tag": "tags",
        "TagStream": "stream",
        "Tagger": "tagger",
        "WindowTags": "tags",
        "tag": "tagger",
    },
)

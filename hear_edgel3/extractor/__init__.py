"""The extractor: front end, net and framing together, and all that is done with one clip."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.extractor.clip import ClipEmbedding as ClipEmbedding
    from hear_edgel3.extractor.clip import embed_file as embed_file
    from hear_edgel3.extractor.clip import embed_samples as embed_samples
    from hear_edgel3.extractor.contract import TimestampContract as TimestampContract
    from hear_edgel3.extractor.extractor import Extractor as Extractor
    from hear_edgel3.extractor.extractor import WeightsInfo as WeightsInfo
    from hear_edgel3.extractor.loading import load as load
    from hear_edgel3.extractor.streaming import EmbeddingStream as EmbeddingStream
    from hear_edgel3.extractor.streaming import Moment as Moment

__all__ = [
    "ClipEmbedding",
    "EmbeddingStream",
    "Extractor",
    "Moment",
    "TimestampContract",
    "WeightsInfo",
    "embed_file",
    "embed_samples",
    "load",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ClipEmbedding": "clip",
        "EmbeddingStream": "streaming",
        "Extractor": "extractor",
        "Moment": "streaming",
        "TimestampContract": "contract",
        "WeightsInfo": "extractor",
        "embed_file": "clip",
        "embed_samples": "clip",
        "load": "loading",
    },
)

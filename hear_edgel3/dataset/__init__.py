"""Datasets of embeddings: the Parquet files that ``hear-edgel3 extract`` writes, described and read."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.dataset.dataset import Dataset as Dataset
    from hear_edgel3.dataset.dataset import Description as Description
    from hear_edgel3.dataset.dataset import embeddings_of as embeddings_of

__all__ = ["Dataset", "Description", "embeddings_of"]

__getattr__, __dir__ = lazy_names(
    __name__, {"Dataset": "dataset", "Description": "dataset", "embeddings_of": "dataset"}
)

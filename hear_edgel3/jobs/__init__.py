"""Jobs: embeddings of one file or of millions, into a dataset (:mod:`hear_edgel3.dataset`)."""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.jobs.run import Summary as Summary
    from hear_edgel3.jobs.run import extract as extract

__all__ = ["Summary", "extract"]

__getattr__, __dir__ = lazy_names(__name__, {"Summary": "run", "extract": "run"})

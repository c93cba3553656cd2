"""Labelled sounds: read from folders, tables and published sets, divided without leaks, and checked by name.

>>> from hear_edgel3.labels import Dividing, divide, read_labelled
>>> labelled = read_labelled("ESC-50")
>>> splits = divide(labelled, Dividing("folds"))
"""

from typing import TYPE_CHECKING

from hear_edgel3._lazy import lazy_names

if TYPE_CHECKING:
    from hear_edgel3.labels.labelled import Kind as Kind
    from hear_edgel3.labels.labelled import Labelled as Labelled
    from hear_edgel3.labels.options import LabelOptions as LabelOptions
    from hear_edgel3.labels.reading import LAYOUTS as LAYOUTS
    from hear_edgel3.labels.reading import layout_of as layout_of
    from hear_edgel3.labels.reading import read_labelled as read_labelled
    from hear_edgel3.labels.splits import Dividing as Dividing
    from hear_edgel3.labels.splits import How as How
    from hear_edgel3.labels.splits import OnLeak as OnLeak
    from hear_edgel3.labels.splits import Split as Split
    from hear_edgel3.labels.splits import divide as divide

__all__ = [
    "LAYOUTS",
    "Dividing",
    "How",
    "Kind",
    "LabelOptions",
    "Labelled",
    "OnLeak",
    "Split",
    "divide",
    "layout_of",
    "read_labelled",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LAYOUTS": "reading",
        "Dividing": "splits",
        "How": "splits",
        "Kind": "labelled",
        "LabelOptions": "options",
        "Labelled": "labelled",
        "OnLeak": "splits",
        "Split": "splits",
        "divide": "splits",
        "layout_of": "reading",
        "read_labelled": "reading",
    },
)

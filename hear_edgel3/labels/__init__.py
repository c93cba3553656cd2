"""Labelled sounds: read from folders, tables and published sets, divided without leaks, and checked by name."""

from hear_edgel3.labels.labelled import Kind as Kind
from hear_edgel3.labels.labelled import Labelled as Labelled
from hear_edgel3.labels.options import LabelOptions as LabelOptions
from hear_edgel3.labels.reading import read_labelled as read_labelled

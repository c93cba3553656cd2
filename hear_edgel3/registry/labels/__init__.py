"""Lists of classes, one file each, in the order of the logits.

``audioset.csv``: the 527 classes of AudioSet (Gemmeke et al., ICASSP 2017; Google, CC BY 4.0), with the machine
identifiers of their ontology.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Label:
    """A class.

    Attributes:
        name: in words, for example "Acoustic guitar".
        mid: machine identifier, for example "/m/042v_gx".
    """

    name: str
    mid: str


@cache
def labels(list_name: str) -> tuple[Label, ...]:
    """The classes of a list, in the order of the logits.

    Args:
        list_name: name of a file beside this one, without its ending; rows of the registry have it.
    """
    text = resources.files(__name__).joinpath(f"{list_name}.csv").read_text(encoding="utf-8")
    return tuple(Label(row["label"], row["mid"]) for row in csv.DictReader(text.splitlines()))

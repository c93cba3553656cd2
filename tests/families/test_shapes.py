"""The arguments of a family's architecture can be told from a row, so that a folder can keep a published net."""

from __future__ import annotations

import json

import pytest

from hear_edgel3.families.schema import Checkpoint
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry.names import BUILT_IN, checkpoints, resolve


@pytest.mark.parametrize("row", [resolve(BUILT_IN).checkpoint, *checkpoints()], ids=lambda row: row.name)
def test_shape_gives_back_the_row(row: Checkpoint) -> None:
    family = FAMILIES[row.family]
    assert family.shape is not None
    shape = json.loads(json.dumps(family.shape(row)))
    family.check_architecture(shape)
    assert {name: getattr(row, name) for name in family.architecture(**shape)} == family.architecture(**shape)

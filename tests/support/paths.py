"""Where things are: the repository with its README, the tests' data, and the installed package."""

from __future__ import annotations

from pathlib import Path

import hear_edgel3

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
DATA = TESTS / "data"
PACKAGE = Path(hear_edgel3.__file__).parent  # the one that is tested, which need not lie beside these tests

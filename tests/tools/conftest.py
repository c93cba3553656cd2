"""Benchmarks and recipes are run from the repository; so are their tests."""

from __future__ import annotations

import sys

from support.paths import REPOSITORY

# Last in the path: the installed package comes first.
sys.path.append(str(REPOSITORY))

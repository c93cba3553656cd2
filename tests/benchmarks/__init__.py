"""Benchmarks: they print figures, and judge nothing but whether what is timed computes the right thing.

Run them from the repository, as each one's docstring shows.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `support`

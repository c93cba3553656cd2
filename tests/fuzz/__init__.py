"""Damaged files of every kind that the package reads, made at random: each is read or refused by a named error.

    python -m tests.fuzz [KIND ...] [--count 1000] [--seed 0] [--workers 2] [--limit 20]

For every kind (audio, weights, folders, lists, shards, datasets, indexes, jobs) it makes sound files, changes them by
the rules of :mod:`mutate`, hands each to the package in a process of its own, and prints how many were read and how
many refused, and what should not be: processes that died, mutants that took longer than ``--limit`` seconds, errors
that are not the package's own (their tracebacks), and results that are not finite. The largest memory of a process is
printed, and it fails if that is above ``--memory`` MB.

A mutant is made from its kind, the seed and its number alone, so that ``--first N --count 1`` makes it again.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `support`

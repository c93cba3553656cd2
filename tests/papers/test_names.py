"""Every ``hear_edgel3.x.y``, and every test, that a page names is there."""

from __future__ import annotations

import importlib
import re

import pytest

from hear_edgel3.registry.names import find
from papers.commands import ROOT, pages

# Names in the pages that are no names of the package, each with why.
_OTHERS = {
    "hear_edgel3.typo": "an example of a mistake",
    "hear_edgel3.NAME": "stands for any configuration",
    "hear_edgel3.clips": "a key of a dataset's metadata",
    "hear_edgel3.sources": "a key of a part's metadata, and a room",
}


def named(page: str) -> set[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"(?<![\w./-])hear_edgel3(?:\.[A-Za-z_][A-Za-z0-9_]*)+(?![\w<*{])", text)
    return {name for name in found if name not in _OTHERS}


def is_there(name: str) -> bool:
    package, *words = name.split(".")
    place = importlib.import_module(package)
    for number, word in enumerate(words):
        if not hasattr(place, word):
            try:
                importlib.import_module(".".join([package, *words[: number + 1]]))
            except ImportError:
                return False
        place = getattr(place, word)
    return True


@pytest.mark.parametrize("page", sorted({str(page) for page in pages()}))
def test_names_in_pages(page: str) -> None:
    missing = sorted(name for name in named(page) if not is_there(name))
    assert missing == []


def test_this_can_fail() -> None:
    assert not is_there("hear_edgel3.tagging.nothing")
    assert not is_there("hear_edgel3.nowhere.load")
    assert is_there("hear_edgel3.disk.paths.path_of_text")
    assert find("sea_64") is not None
    assert is_there("hear_edgel3.sea_64.load_model")


def missing_tests(text: str) -> list[str]:
    """Of the tests that are named, those that are not there."""
    missing = []
    for path, _, name in re.findall(r"`(tests/[\w/]+\.py)(::(\w+))?`", text):
        file = ROOT / path
        if not file.is_file() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
            missing.append(f"{path}::{name}")
    return missing


def test_the_tests_that_show_what_is_promised() -> None:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    promised = text.partition("\n## ")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert all("`tests/" in row for row in rows)
    assert missing_tests(text) == []
    assert missing_tests("`tests/papers/test_names.py::test_none` `tests/none.py`") == [
        "tests/papers/test_names.py::test_none",
        "tests/none.py::",
    ]

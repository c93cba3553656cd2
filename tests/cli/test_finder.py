"""Which modules ``hear_edgel3`` says it has, to those who import them and to those who ask."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest

import hear_edgel3


@pytest.mark.parametrize("name", ["sparse_96", "zzz", "mn10_as_fx", "cli.zzz"])
def test_nothing_is_found_of_unknown_names(name: str) -> None:
    assert importlib.util.find_spec(f"hear_edgel3.{name}") is None


def test_configurations_are_found() -> None:
    spec = importlib.util.find_spec("hear_edgel3.sea_64")
    assert spec is not None
    assert spec.name == "hear_edgel3.sea_64"


def test_an_import_has_near_names() -> None:
    message = "^No module named 'hear_edgel3.sparse_96': there is no configuration 'sparse_96'; did you mean sparse_95"
    with pytest.raises(ModuleNotFoundError, match=message) as caught:
        import hear_edgel3.sparse_96  # noqa: F401
    assert caught.value.name == "hear_edgel3.sparse_96"
    with pytest.raises(ModuleNotFoundError, match=message):
        importlib.import_module("hear_edgel3.sparse_96")
    with pytest.raises(ModuleNotFoundError, match=message):
        __import__("hear_edgel3.sparse_96")
    assert importlib.util.find_spec("hear_edgel3.sparse_96") is None


def test_an_attribute_has_near_names() -> None:
    message = "^module 'hear_edgel3' has no attribute 'sparse_96': .*did you mean sparse_95"
    with pytest.raises(AttributeError, match=message):
        hear_edgel3.sparse_96  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute '__wrapped__'$"):
        hear_edgel3.__wrapped__  # noqa: B018


def test_a_module_that_asks_while_it_is_imported(tmp_path: object) -> None:
    """That somebody is importing something further up does not make a question an import."""
    code = (
        "import importlib.util, pathlib, sys\n"
        f"pathlib.Path({str(tmp_path)!r}, 'asking.py').write_text("
        "'import importlib.util\\nfound = importlib.util.find_spec(\"hear_edgel3.zzz\")\\n')\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import asking\n"
        "sys.exit(0 if asking.found is None else 1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

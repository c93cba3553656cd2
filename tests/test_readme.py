"""README.md against the package. (Its commands are run as they stand by .ci/run.)"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hear_edgel3.cli import main
from hear_edgel3.registry import checkpoints

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_table_has_every_configuration() -> None:
    table = README.split("## Configurations")[1].split("###")[0]
    named = set(re.findall(r"`((?:sparse|sea)_\d+)`", table))
    assert named | {f"{n}_kd" for n in named if n.startswith("sparse")} == {row.name for row in checkpoints()}
    for row in checkpoints():
        assert f"{row.n_parameters:,}" in table


def test_python_examples_parse() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(examples) >= 3
    for example in examples:
        ast.parse(example)


def test_sections_are_in_order() -> None:
    sections = re.findall(r"^## (.*)$", README, re.M)
    assert sections == ["Quick start", "Configurations", "HEAR", "Python", "Converting weights", "FAQ"]


def test_no_placeholder_is_left() -> None:
    assert not re.findall(r"\b[A-Z]+_TABLE\b|TODO|FIXME", README)


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`?hear-edgel3 embed [^\n`]*?(--[a-z-]+)", README))))
def test_flags_exist(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["embed", "--help"])
    assert flag in capsys.readouterr().out

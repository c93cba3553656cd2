"""What the converter must do with a file that it cannot use, and with one that it can."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.weights.convert import convert
from support import synthetic
from support.files import files_under
from weights_convert.__main__ import main


def assert_refused(
    name: str, source: Path, error: type[HearEdgeL3Error], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the function with this error, by the command with exit code 1 and the same text; and nothing is written."""
    with pytest.raises(error, match=words) as caught:
        convert(synthetic.row(name), source)
    assert type(caught.value) is error
    assert source.name in str(caught.value)
    folder.mkdir()
    assert main([name, "--source", str(source), "--output", str(folder / "x.safetensors")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {name}: ")
    assert re.search(words, captured.err)
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert main([name, "--source", str(source)]) == 1
    assert files_under(folder) == files_under(cache_folder()) == []


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118

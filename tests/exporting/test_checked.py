"""What exported files say of themselves, when somebody has changed it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hear_edgel3.cli import main
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.exporting import targets, web
from hear_edgel3.exporting.checked import checked_card, parsed_card
from hear_edgel3.exporting.folders import CARD, write_card
from hear_edgel3.exporting.run import Exported


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", "x"),
        ("sample_rate", True),
        ("window", None),
        ("length", 0),
        ("outputs", {"embedding": 5}),
        ("outputs", {"embedding": ["a"]}),
        ("labels", "abc"),
        ("labels", [1]),
        ("quantization", {}),
        ("input_shape", 128),
        ("input_shape", ["any"]),
        ("contract", []),
        ("version", 1),
    ],
)
def test_what_cannot_be(name: str, value: object, tiny_file: Exported) -> None:
    assert checked_card(tiny_file.card, "x") == tiny_file.card
    with pytest.raises(ConfigurationError, match=rf"mine\.onnx is damaged.*\({name}\); export it again"):
        checked_card({**tiny_file.card, name: value}, "mine.onnx")


@pytest.mark.parametrize("text", ["[" * 100_000, "nothing", "[1]", "{}"])
def test_what_is_no_card(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mine\.onnx is damaged"):
        parsed_card(text, "mine.onnx")


def test_info_of_changed_files(tiny_file: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    model = onnx.load(tiny_file.path)
    entry = next(one for one in model.metadata_props if one.key == "hear_edgel3")
    entry.value = json.dumps({**json.loads(entry.value), "window": None, "labels": [1]})
    onnx.save(model, tmp_path / "changed.onnx")
    assert main(["info", str(tmp_path / "changed.onnx")]) == 1
    assert "(window, labels); export it again" in capsys.readouterr().err
    write_card(tmp_path, "c", {**tiny_file.card, "frames": "many"})
    assert main(["info", str(tmp_path)]) == 1
    assert f"{CARD} is damaged" in capsys.readouterr().err
    write_card(tmp_path, "toaster", tiny_file.card)
    assert main(["info", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path} says that it was exported for 'toaster'" in error


@pytest.mark.parametrize(
    ("words", "shape", "said"),
    [
        (["--no-frontend"], [128, None], "(n, 128, any) float32: images of the front end, of windows of any length; "),
        (["--no-frontend", "--length", "0.5"], [128, 50], "(n, 128, 50) float32: images of the front end, of windows"),
        (["--only-frontend"], [None], "(n, any) float32: samples at 32000 Hz, windows of any length\n"),
        (["--length", "0.5"], [16000], "(n, 16000) float32: samples at 32000 Hz, windows of 16000 samples each\n"),
    ],
)
def test_the_shape_that_a_file_takes(
    words: list[str], shape: list[int | None], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is that of the file's own input."""
    import onnx

    assert main(["export", "tiny", *words, "--output", "x.onnx", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["info", "x.onnx"]) == 0
    out = capsys.readouterr().out
    assert f"takes                  {said}" in out
    assert ("; 128 x 16 of 5120 samples at 32000 Hz\n" in out) == (shape == [128, None])
    assert main(["info", "x.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["input_shape"] == shape
    model = onnx.load("x.onnx")
    (entry,) = model.graph.input
    assert [one.dim_value or None for one in entry.type.tensor_type.shape.dim][1:] == shape
    # A file of an earlier clone does not say it.
    kept = next(one for one in model.metadata_props if one.key == "hear_edgel3")
    kept.value = json.dumps({key: value for key, value in json.loads(kept.value).items() if key != "input_shape"})
    onnx.save(model, "earlier.onnx")
    assert main(["info", "earlier.onnx"]) == 0
    assert "takes                  (n, ...) float32: " in capsys.readouterr().out


def test_hints_are_for_a_shell() -> None:
    hint = targets.hint_of(targets.target_of("web"), Path("my page; it's"))
    assert hint is not None
    assert """--directory 'my page; it'"'"'s' 8000""" in hint
    assert targets.hint_of(targets.target_of("web"), Path("page")) == web.HINT.format(path="page")

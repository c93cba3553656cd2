"""The benchmark of int8 weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from support import signals
from support.types import Captured
from tests.benchmarks.quantized import Heard, main, scores


def test_the_table(here: Path, mobilenetv3_folder: Path, weights_folder: Path, capsys: Captured) -> None:
    (here / "sounds").mkdir()
    for seed in range(2):
        soundfile.write(here / "sounds" / f"{seed}.wav", signals.clip(0.5, 32000, seed=seed), 32000)
    for name, folder in (("mn04_as", mobilenetv3_folder), ("sea_64", weights_folder)):
        weights = folder / f"{name}.safetensors"
        main([name, "sounds", "--weights", str(weights)])
        lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
        heading, whole, half, small, every, plain = lines
        assert [line[0] for line in lines[1:4]] == ["| as it is", "| float16", "| int8"]
        assert int(whole[1]) == round(weights.stat().st_size / 1000)
        assert int(plain[1]) <= int(every[1]) <= int(small[1]) < 0.55 * int(half[1])
        assert ("same top" in heading) == (name == "mn04_as")
        assert " 0 of " in f" {whole[-1]}"
        assert " 0 of " not in f" {small[-1]}"


def test_scores() -> None:
    expected = Heard(np.array([[0.9, 0.1, 0.2], [0.3, 0.1, 0.2]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
    same = scores(expected, expected)
    assert (same["same_top"], same["in_five"], same["kl"], same["embedding_error"]) == (1, 1, 0, 0)
    assert (same["least_tag_cosine"], same["least_embedding_cosine"]) == (pytest.approx(1), pytest.approx(1))
    found = scores(Heard(np.array([[0.9, 0.1, 0.2], [0.1, 0.3, 0.2]]), np.array([[4.0, 3.0], [0.0, 0.0]])), expected)
    assert found["same_top"] == 0.5
    assert found["least_embedding_cosine"] == pytest.approx(0.96)
    assert found["embedding_cosine"] == pytest.approx(0.98)
    assert (found["embedding_error"], found["embedding_peak"]) == (1, 4)
    assert found["least_tag_cosine"] == pytest.approx(0.1 / 0.14)
    divergence = 0.3 * np.log(0.3 / 0.1) + 0.7 * np.log(0.7 / 0.9) + 0.1 * np.log(0.1 / 0.3) + 0.9 * np.log(0.9 / 0.7)
    assert found["kl"] == pytest.approx(divergence / 6)

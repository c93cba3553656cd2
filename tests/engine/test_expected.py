"""What "auto" would take for a net that is not built."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch

from hear_edgel3.engine import numba
from hear_edgel3.engine.expected import Choice, expected
from hear_edgel3.families.mobilenetv3.rows import architecture
from hear_edgel3.registry.names import list_configurations, resolve


def test_rows_say_what_the_kernels_can_run() -> None:
    for name in list_configurations():
        configuration = resolve(name)
        with torch.device("meta"):
            net = configuration.net.build()
            assert configuration.kernels == numba.takes(net), name


def test_forms_of_nets_whose_front_end_alone_has_kernels() -> None:
    plain = resolve("tiny")
    attention = architecture(0.1, 5, "multihead_attention_pooling")
    row = replace(plain.checkpoint, **attention, default_features="")
    for words in ("", "logits", "clf1_logits"):
        features = row.vocabulary.read(row, words)
        configuration = replace(plain, checkpoint=row, features=features)
        with torch.device("meta"):
            net = configuration.net.build()
        assert (configuration.kernels, numba.takes(net)) == (True, True), words
        assert (net.kernel_obstacle() is None) == ("logits" not in words)


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
def test_why() -> None:
    assert expected(False, 0.9) == Choice("torch", "it runs every net everywhere")
    assert expected(True, 0.0) == Choice("numba", "with its kernels nets of this kind are faster than in torch alone")
    assert expected(True, 0.9545) == Choice("numba", "95.5 % of its weights are zero")


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert expected(True, 0.9) == Choice(
        "torch",
        'numba, which would run this net faster, is not installed: pip install ".[fast]" in the folder of the clone',
    )
    assert expected(False, 0.0) == Choice("torch", "it runs every net everywhere")

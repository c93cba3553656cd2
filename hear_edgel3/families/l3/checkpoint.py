"""EdgeL3 and SEA checkpoints (Keras with a kapre front end) to the tensors of this family's net."""

from __future__ import annotations

import numpy as np
import torch

from hear_edgel3.errors import WeightsMismatch
from hear_edgel3.families.formats.keras import Layer, read_layers
from hear_edgel3.families.l3.frontend import mel_filter_bank
from hear_edgel3.families.l3.rows import ROWS
from hear_edgel3.families.schema import Published

# What a layer is follows from how many arrays it has; names and numbers vary between files.
_KINDS = {3: "mel", 4: "norm", 2: "conv"}


def read_checkpoint(data: bytes, source: str, row: Published) -> dict[str, torch.Tensor]:
    """Reads an upstream file and checks it against the row it is said to be.

    The layers must come in the net's order: mel front end, batch norm, then eight convolutions, each followed by a
    batch norm but for the last of a sparse net. The front end is not trained, so it is compared with the one this
    package computes, and not kept. Whatever follows the last of these layers has no weights and may be missing.

    Args:
        data: bytes of the file.
        source: how to call it in errors.
        row: the checkpoint to convert to.

    Returns:
        State dict of the net, float32.

    Raises:
        WeightsCorrupt: the file is not a sound Keras file.
        WeightsMismatch: its layers or shapes are not those of ``row``.
    """
    layers = read_layers(data, source)
    expected = _shapes(row)
    found = [(_KINDS.get(len(layer.arrays), "other"), [a.shape for a in layer.arrays]) for layer in layers]
    if found != expected:
        raise WeightsMismatch(_difference(layers, found, expected, source, row))
    _check_frontend(layers[0], source, row)
    return _state(layers)


def _shapes(row: Published) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Kind and array shapes of each layer that a file of ``row`` must have."""
    n_fft, n_mels = row.frontend.arguments["n_fft"], row.frontend.arguments["n_mels"]
    kernel = (n_fft, 1, 1, n_fft // 2 + 1)
    shapes: list[tuple[str, list[tuple[int, ...]]]] = [("mel", [kernel, kernel, (n_fft // 2 + 1, n_mels)])]
    shapes.append(("norm", [(1,)] * 4))
    channels = row.net.arguments["channels"]
    for i, (n_in, n_out) in enumerate(zip((1, *channels[:-1]), channels, strict=True)):
        shapes.append(("conv", [(3, 3, n_in, n_out), (n_out,)]))
        if i < len(channels) - 1 or row.net.arguments["final_norm"]:
            shapes.append(("norm", [(n_out,)] * 4))
    return shapes


def _difference(
    layers: list[Layer],
    found: list[tuple[str, list[tuple[int, ...]]]],
    expected: list[tuple[str, list[tuple[int, ...]]]],
    source: str,
    row: Published,
) -> str:
    likely = [other.name for other in ROWS if _shapes(other) == found]
    hint = ""
    if likely:
        hint = f"; its layers are those of {likely[0]}" + (" (or a checkpoint of the same shape)" if likely[1:] else "")
    for i, (have, want) in enumerate(zip(found, expected, strict=False)):
        if have != want:
            return (
                f"{source} is not a checkpoint of {row.name}: expected layer {i + 1} to be {_describe(want)}, found "
                f"{layers[i].name!r}, {_describe(have)}{hint}"
            )
    return (
        f"{source} is not a checkpoint of {row.name}: expected {len(expected)} layers with weights, found "
        f"{len(found)}{hint}"
    )


def _describe(layer: tuple[str, list[tuple[int, ...]]]) -> str:
    words = {"mel": "a mel front end", "norm": "a batch norm", "conv": "a convolution"}
    kind, shapes = layer
    return f"{words.get(kind, f'a layer of {len(shapes)} arrays')} with shapes {', '.join(map(str, shapes))}"


def _check_frontend(layer: Layer, source: str, row: Published) -> None:
    """The front end in the file must be the one this package computes."""
    arguments = row.frontend.arguments
    n_fft = arguments["n_fft"]
    bank = mel_filter_bank(arguments["sample_rate"], n_fft, arguments["n_mels"]).numpy()
    hann = torch.hann_window(n_fft, dtype=torch.float64).to(torch.float32).double().numpy()
    angle = 2 * np.pi / n_fft * np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1))
    real, imaginary = np.cos(angle) * hann[:, None], -np.sin(angle) * hann[:, None]
    computed = {"real DFT kernels": real, "imaginary DFT kernels": imaginary, "mel filter bank": bank}
    for (what, values), array in zip(computed.items(), layer.arrays, strict=True):
        # Observed differences: 0 in the authors' files, 1 ulp in a bank made by librosa 0.7.
        off = np.abs(array.reshape(values.shape) - values).max() / np.abs(values).max()
        if not off < 1e-5:
            raise WeightsMismatch(
                f"{source}: the {what} in the file differ from those of {row.name} by {off:.2g} of their maximum; the "
                f"file was made with other front-end settings than {dict(arguments)}"
            )


def _state(layers: list[Layer]) -> dict[str, torch.Tensor]:
    """Names the arrays as L3Net does; kernels from (height, width, in, out) to (out, in, height, width)."""
    state: dict[str, torch.Tensor] = {}
    n_convs = 0
    for layer in layers[1:]:
        arrays = [torch.from_numpy(array.copy()) for array in layer.arrays]
        if len(arrays) == 2:
            state[f"convs.{n_convs}.weight"] = arrays[0].permute(3, 2, 0, 1).contiguous()
            state[f"convs.{n_convs}.bias"] = arrays[1]
            n_convs += 1
        else:
            prefix = f"norms.{n_convs - 1}" if n_convs else "input_norm"
            # Keras: gamma, beta, moving_mean, moving_variance
            for name, array in zip(("weight", "bias", "running_mean", "running_var"), arrays, strict=True):
                state[f"{prefix}.{name}"] = array
    return state

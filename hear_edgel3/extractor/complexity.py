"""What a configuration costs: multiply-accumulates, receptive field, memory for activations.

All of it is arithmetic on the operations that the family takes down (:mod:`hear_edgel3.families.layers`); no net is
built. The front end, which is not the net's, is left out throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.families.layers import Operation, Values
from hear_edgel3.families.schema import Configuration

_FP32, _FP16, _INDEX = 4, 2, 8


@dataclass(frozen=True)
class Complexity:
    """Costs of one configuration, each for a single clip.

    MACs are multiply-accumulates of convolutions and linear layers, without biases, normalisation and activations, and
    with the zeros among the weights of pruned nets.

    Memory is the most bytes of the net's inputs, outputs and intermediates that are alive at once in the default
    engine. It holds what torch's eager mode keeps: the input of a layer until the output is there, and while it pools
    the indices of the maxima, of 64 bits in every precision. It does not hold parameters, nor what a convolution takes
    for itself while it runs, on CPUs often a copy of its input. (EfficientAT counts otherwise, with blocks that are
    computed slice by slice.)

    Attributes:
        parameters: trained values, counted as the authors do.
        macs_1s: of the whole net with its classifier, run once over one second.
        macs_10s: the same over ten seconds in one piece.
        macs_features_1s: of what this configuration's features need, which may be less than the whole net, run once
            over one second.
        macs_features_10s: the same over ten seconds in one piece.
        macs_scene_10s: the same for a scene embedding of ten seconds, which is one pass or a mean over many windows.
        macs_window: the same over one timestamp window.
        macs_timestamps_1s: the same for timestamp embeddings of one second of audio, whose windows may overlap, at the
            default hop.
        receptive_field_frames: frames that one value of the last convolution needed depends on through convolutions and
            max pooling, if the clip has as many. Global pooling, and squeeze-and-excitation inside the net, see all of
            the clip besides.
        receptive_field_bands: mel bands that it depends on.
        receptive_field_ms: duration of the audio under these frames.
        mel_bands: mel bands there are.
        memory_input_ms: duration of the longest clip that the net is given in one piece for scene embeddings.
        memory_fp32: bytes for that clip in 32-bit floats.
        memory_fp16: bytes for that clip in 16-bit floats, the input too.
        memory_window_fp32: bytes for one timestamp window in 32-bit floats.
        memory_window_fp16: bytes for one timestamp window in 16-bit floats.
    """

    parameters: int
    macs_1s: int
    macs_10s: int
    macs_features_1s: int
    macs_features_10s: int
    macs_scene_10s: int
    macs_window: int
    macs_timestamps_1s: int
    receptive_field_frames: int
    receptive_field_bands: int
    receptive_field_ms: float
    mel_bands: int
    memory_input_ms: float
    memory_fp32: int
    memory_fp16: int
    memory_window_fp32: int
    memory_window_fp16: int

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return asdict(self)


def complexity_of(configuration: Configuration) -> Complexity | None:
    """What a configuration costs, or None if its family does not tell its layers."""
    row = configuration.checkpoint
    layers = row.layers
    if layers is None:
        return None
    rate, window = row.net_sample_rate, configuration.window
    longest = row.scene.whole_up_to or row.scene.window or window
    scene = scene_framing(configuration).decide(10 * rate, ended=True)
    assert scene is not None
    chosen = {
        length: layers.operations(layers.n_frames(length), configuration.features.arguments)
        for length in {window, longest, rate, 10 * rate, scene.window}
    }
    whole = {length: layers.operations(layers.n_frames(length)) for length in (rate, 10 * rate)}
    field = receptive_field(chosen[window])
    return Complexity(
        parameters=row.n_parameters,
        macs_1s=count_macs(whole[rate]),
        macs_10s=count_macs(whole[10 * rate]),
        macs_features_1s=count_macs(chosen[rate]),
        macs_features_10s=count_macs(chosen[10 * rate]),
        macs_scene_10s=scene.count(10 * rate, Fraction(10)) * count_macs(chosen[scene.window]),
        macs_window=count_macs(chosen[window]),
        macs_timestamps_1s=round(count_macs(chosen[window]) * 1000 / row.hop_ms),
        receptive_field_frames=field,
        receptive_field_bands=min(field, layers.n_mels),
        receptive_field_ms=1000 * ((field - 1) * layers.hop_length + layers.frame_length) / rate,
        mel_bands=layers.n_mels,
        memory_input_ms=1000 * longest / rate,
        memory_fp32=peak_memory(chosen[longest], _FP32),
        memory_fp16=peak_memory(chosen[longest], _FP16),
        memory_window_fp32=peak_memory(chosen[window], _FP32),
        memory_window_fp16=peak_memory(chosen[window], _FP16),
    )


def count_macs(operations: Sequence[Operation]) -> int:
    """Multiply-accumulates of a net's operations."""
    return sum(operation.macs for operation in operations)


def receptive_field(operations: Sequence[Operation]) -> int:
    """Values of the image, in one direction, that one value of the last map depends on.

    It does not count what is not a map: global means, and the factors that squeeze-and-excitation makes of them.
    """
    seen: dict[Values, tuple[int, int]] = {}  # by map: values of the image under one of it, and from one to the next
    field, step = 1, 1
    for operation in operations:
        if operation.output.is_map:
            below = [seen.get(values, (1, 1)) for values in operation.inputs if values.is_map]
            field, step = max(below)
            field += (operation.kernel - 1) * operation.dilation * step
            seen[operation.output] = (field, step * operation.stride)
    return field


def peak_memory(operations: Sequence[Operation], value_size: int) -> int:
    """The most bytes that are alive at once, the image included, which the caller keeps to the end.

    Args:
        operations: of a net; the first one reads the image.
        value_size: bytes per value.
    """
    last_use: dict[Values, int] = {}
    for i, operation in enumerate(operations):
        for values in (*operation.inputs, operation.output, *operation.kept):
            last_use[values] = i
    image = operations[0].inputs[0]
    last_use[image] = len(operations)
    alive, peak = value_size * image.count, 0
    for i, operation in enumerate(operations):
        if operation.output not in operation.inputs:
            alive += value_size * operation.output.count
        peak = max(peak, alive + _INDEX * operation.indices)
        for values in {*operation.inputs, operation.output, *operation.kept}:
            if last_use[values] == i:
                alive -= value_size * values.count
    return peak

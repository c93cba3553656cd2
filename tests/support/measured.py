"""What a configuration costs, measured on the net itself: what the arithmetic of the package is held against.

Nets run on torch's meta device, which has shapes but neither weights nor data.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hear_edgel3.engine import folded
from hear_edgel3.extractor.complexity import Complexity
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.loading import NoInitialValues
from hear_edgel3.families.schema import Configuration
from support import meta

_META = torch.device("meta")


def measure(configuration: Configuration) -> Complexity:
    """What :func:`hear_edgel3.extractor.complexity.complexity_of` should find."""
    row = configuration.checkpoint
    frontend = row.frontend.build()
    rate, window = row.net_sample_rate, configuration.window
    longest = row.scene.whole_up_to or row.scene.window or window
    with _META, NoInitialValues():
        plain: Any = configuration.net.build().eval()
        net: Any = folded.compile_net(plain)

    def image(n_samples: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty((1, frontend.n_mels, frontend.n_frames(n_samples)), dtype=dtype, device=_META)

    scene_length, scene_count = 10 * rate, 1
    if scene_length > row.scene.whole_up_to:
        scene_length = row.scene.window or window
        scene_count = scene_framing(configuration).windows.count(10 * rate, Fraction(10))
    macs = {length: count_macs(net, image(length)) for length in {window, rate, 10 * rate, scene_length}}
    fp32 = {length: peak_memory(net, image(length)) for length in {window, longest}}
    net.half()
    fp16 = {length: peak_memory(net, image(length, torch.half)) for length in {window, longest}}
    field = receptive_field(plain.convolutions())
    run_to_the_end(plain)  # not `net`, which has no more layers than its outputs need
    samples = (field - 1) * frontend.hop_length + getattr(frontend, "win_length", frontend.n_fft)
    return Complexity(
        parameters=row.n_parameters,
        macs_1s=count_macs(plain, image(rate)),
        macs_10s=count_macs(plain, image(10 * rate)),
        macs_features_1s=macs[rate],
        macs_features_10s=macs[10 * rate],
        macs_scene_10s=scene_count * macs[scene_length],
        macs_window=macs[window],
        macs_timestamps_1s=round(macs[window] * 1000 / row.hop_ms),
        receptive_field_frames=field,
        receptive_field_bands=min(field, frontend.n_mels),
        receptive_field_ms=1000 * samples / rate,
        mel_bands=frontend.n_mels,
        memory_input_ms=1000 * longest / rate,
        memory_fp32=fp32[longest],
        memory_fp16=fp16[longest],
        memory_window_fp32=fp32[window],
        memory_window_fp16=fp16[window],
    )


def count_macs(run: Callable[[torch.Tensor], Any], image: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions and linear layers.

    Args:
        run: a net or the like.
        image: its input.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad(), meta.quickly(image.device):
        run(image)
    return int(counter.get_total_flops()) // 2


def receptive_field(stack: Iterable[tuple[int, int, int]]) -> int:
    """Input values, in one direction, that one output value of a stack of convolutions and poolings depends on.

    Args:
        stack: kernel, stride and dilation, first to last.
    """
    field = step = 1
    for kernel, stride, dilation in stack:
        field += (kernel - 1) * dilation * step
        step *= stride
    return field


def peak_memory(run: Callable[[torch.Tensor], Any], image: torch.Tensor) -> int:
    """The most bytes of activations that are alive at once, ``image`` included.

    Args:
        run: a net or the like; if it is a module, its parameters and buffers do not count.
        image: its input.
    """
    fixed = [*run.parameters(), *run.buffers()] if isinstance(run, nn.Module) else []
    with _Memory(fixed) as memory, torch.no_grad(), meta.quickly(image.device):
        memory.add(image)
        run(image)
    peak: int = memory.peak
    return peak


class _Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operations make, and takes them off when they are freed.

    Views and operations in place make none.

    Args:
        fixed: tensors that do not count.

    Attributes:
        peak: the most bytes so far.
    """

    def __init__(self, fixed: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._bytes = 0
        self._fixed = [tensor.untyped_storage() for tensor in fixed]  # kept, so that no other storage gets their id
        self._known = {id(storage) for storage in self._fixed}

    def add(self, tensor: torch.Tensor) -> None:
        """Counts a tensor, unless it is known."""
        storage = tensor.untyped_storage()  # the same object for as long as the storage is there
        if id(storage) in self._known:
            return
        self._known.add(id(storage))
        self._bytes += storage.nbytes()
        self.peak = max(self.peak, self._bytes)
        weakref.finalize(storage, self._remove, id(storage), storage.nbytes())

    def _remove(self, key: int, size: int) -> None:
        self._known.remove(key)
        self._bytes -= size

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result


def run_to_the_end(net: Any) -> None:
    """Lets a net with a choice of outputs run all of its layers."""
    if hasattr(net, "last_output"):
        extra = () if net.approximation is None else ("teacher",)
        net.select((net.last_output, *extra))

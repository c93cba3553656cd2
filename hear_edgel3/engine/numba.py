"""The engine of compiled sparse kernels, for nets of the L3 family on the CPU. Needs numba."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch
from torch import nn

from hear_edgel3.engine import folded
from hear_edgel3.errors import MissingExtra
from hear_edgel3.families.l3.frontend import L3MelSpectrogram
from hear_edgel3.families.l3.net import L3Net

if TYPE_CHECKING:
    from hear_edgel3.engine.kernels.mel import Spectrogram
    from hear_edgel3.engine.kernels.network import LanesNet

# Its threads take a window each; with a few more than one, none waits long for another.
WINDOWS_PER_THREAD = 4
# Zeros from which they are the reason to take it.
_MANY = 0.3


def check_installed() -> None:
    """Raises MissingExtra if numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        raise MissingExtra('engine="numba"', "numba", "fast")


def takes(net: nn.Module) -> bool:
    """Whether a net is of a kind that it can run."""
    return isinstance(net, L3Net)


def obstacle(net: nn.Module) -> str | None:
    """Why it cannot run a net, or None."""
    if not takes(net):
        return "it runs nets of the L3 family only"
    return folded.not_float32_on_cpu(net)


def pays(net: nn.Module) -> str | None:
    """Why it is worth taking for a net that it can run, or None."""
    weights = [p for p in net.parameters() if p.ndim == 4]
    return pays_with(1 - sum(int(p.count_nonzero()) for p in weights) / sum(p.numel() for p in weights))


def pays_with(zeros: float) -> str | None:
    """Why it is worth taking for a net with this fraction of zeros among its weights, or None."""
    if importlib.util.find_spec("numba") is None:
        return None
    if zeros < _MANY:
        return "its kernels are faster than torch's for nets of the L3 family"
    return f"{100 * zeros:.1f} % of its weights are zero"


def compile_net(net: nn.Module) -> CompiledL3:
    """The net for images of any size; agrees with float64 to 2e-6 of an embedding's peak on noise."""
    assert isinstance(net, L3Net)
    return CompiledL3(net)


class CompiledL3:
    """A net, and the front end with it.

    Images whose rows cannot be shared out to the lanes of a vector go through torch.

    Args:
        net: in eval mode.
    """

    def __init__(self, net: L3Net) -> None:
        from hear_edgel3.engine.kernels.network import Plain

        self._in_torch = folded.compile_net(net)
        self._plain = Plain.of(net)
        self._nets: dict[tuple[int, int], LanesNet | None] = {}
        self._frontends: dict[str, Spectrogram] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Embeds (n, n_mels, n_frames) images."""
        compiled = self._for_size(x.shape[1], x.shape[2])
        if compiled is None:
            return self._in_torch(x)
        return torch.from_numpy(compiled(x.detach().float().numpy(), torch.get_num_threads()))

    def from_samples(self, frontend: nn.Module, windows: torch.Tensor) -> torch.Tensor | None:
        """Embeds (n, samples) windows: each thread makes its own images. None if this front end cannot be compiled."""
        if type(frontend) is not L3MelSpectrogram or frontend._forward_hooks or frontend._forward_pre_hooks:
            return None
        n_fft = frontend.n_fft
        if n_fft & (n_fft - 1) or n_fft < 4 or windows.dtype not in (torch.float32, torch.float64):
            return None
        compiled = self._for_size(frontend.n_mels, frontend.n_frames(windows.shape[1]))
        if compiled is None:
            return None
        what = frontend.extra_repr()
        if what not in self._frontends:
            from hear_edgel3.engine.kernels.mel import Spectrogram

            self._frontends[what] = Spectrogram(frontend)
        samples = windows.detach().contiguous().numpy()
        return torch.from_numpy(compiled(samples, torch.get_num_threads(), self._frontends[what]))

    def _for_size(self, height: int, width: int) -> LanesNet | None:
        from hear_edgel3.engine.kernels.jit import native_lanes
        from hear_edgel3.engine.kernels.network import net_for
        from hear_edgel3.engine.kernels.settings import Settings

        size = (height, width)
        if size not in self._nets:
            self._nets[size] = net_for(self._plain, height, width, native_lanes(), Settings.here())
        return self._nets[size]

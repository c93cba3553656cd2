"""The engine of compiled kernels, for nets on the CPU that say what layers they have. Needs numba.

Such a net has ``kernel_layers()``, and a front end may have ``kernel_spectrogram()`` besides, with which each thread
makes its own images (:mod:`hear_edgel3.families.kernel_description`). Or it has ``kernel_residuals()``
(:mod:`hear_edgel3.families.kernel_residuals`), and ``kernel_picture()`` besides if it sees pictures, which torch makes.
Of another net that says by ``kernel_obstacle()`` why there are no kernels for it, the front end alone runs on kernels,
and the net in torch.

What numba is behind is imported when a net is compiled, and never when it runs. A fork waits for the former, and not
for the latter: a module that some thread is importing then would stay locked in the child for ever.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from hear_edgel3.engine import folded
from hear_edgel3.engine.expected import kernels_pay
from hear_edgel3.errors import MissingExtra
from hear_edgel3.families.kernel_description import HasKernelLayers, HasKernelSpectrogram, MelDecibels
from hear_edgel3.families.kernel_residuals import (
    HasKernelLogMel,
    HasKernelPicture,
    HasKernelResiduals,
    LogMelSpectrogram,
    ResidualNet,
    SaysKernelObstacle,
)

if TYPE_CHECKING:
    from hear_edgel3.engine.kernels.log_mel import LogMel
    from hear_edgel3.engine.kernels.mel import Spectrogram
    from hear_edgel3.engine.kernels.network import KernelNet

# Its threads take a window each; with a few more than one, none waits long for another.
WINDOWS_PER_THREAD = 4


def check_installed() -> None:
    """Raises MissingExtra if numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        raise MissingExtra('engine="numba"', "numba", "fast")


def takes(net: nn.Module) -> bool:
    """Whether there are kernels for a net, or for its front end."""
    if isinstance(net, HasKernelPicture):  # whose front end has none
        return net.kernel_obstacle() is None
    return isinstance(net, HasKernelLayers | SaysKernelObstacle)


def obstacle(net: nn.Module) -> str | None:
    """Why it cannot run a net, or None."""
    if takes(net):
        return folded.not_float32_on_cpu(net)
    reason = net.kernel_obstacle() if isinstance(net, HasKernelPicture) else None
    return reason or "it has no kernels for this net's layers"


def pays(net: nn.Module) -> str | None:
    """Why it is worth taking for a net that it can run, or None."""
    zeros = 0.0
    if isinstance(net, HasKernelLayers):  # of which kernels skip them
        weights = [p for p in net.parameters() if p.ndim == 4]
        zeros = 1 - sum(int(p.count_nonzero()) for p in weights) / sum(p.numel() for p in weights)
    return kernels_pay(zeros)


def compile_net(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net for images of any size; agrees with float64 to 2e-6 of an embedding's peak on noise.

    A net of inverted residuals agrees to 3e-6, and what runs in torch as well as with the engine "torch".
    """
    if isinstance(net, HasKernelLayers):
        return CompiledNet(net)
    if isinstance(net, HasKernelResiduals) and net.kernel_obstacle() is None:
        return CompiledResiduals(net, net.kernel_residuals())
    return CompiledImages(net)


class _InTorch:
    """A net for images that the kernels do not take, made when there is one: it has all the zeros."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._run: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        from hear_edgel3.engine.kernels.threads import BUILDING

        if self._run is None:
            with BUILDING, torch.inference_mode(False), torch.no_grad():
                if self._run is None:  # no other thread has made it meanwhile
                    self._run = folded.compile_net(self._net)
        return self._run(x)


class CompiledNet:
    """A net, and the front end with it.

    Images whose rows cannot be shared out to the lanes of a vector go through torch.

    Args:
        net: in eval mode, with ``kernel_layers()``.
    """

    def __init__(self, net: nn.Module) -> None:
        from hear_edgel3.compiled.jit import native_lanes
        from hear_edgel3.engine.kernels.mel import Spectrogram
        from hear_edgel3.engine.kernels.network import net_for

        assert isinstance(net, HasKernelLayers)
        self._in_torch = _InTorch(net)
        self._layers = net.kernel_layers()
        self._lanes = native_lanes()
        self._net_for = net_for
        self._nets: dict[tuple[int, int], KernelNet | None] = {}
        self._spectrogram_of = Spectrogram
        self._spectrograms: dict[MelDecibels, Spectrogram] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Embeds (n, n_mels, n_frames) images."""
        compiled = self._for_size(x.shape[1], x.shape[2])
        if compiled is None:
            return self._in_torch(x)
        return torch.from_numpy(compiled(x.detach().resolve_neg().float().numpy(), torch.get_num_threads()))

    def from_samples(self, frontend: nn.Module, windows: torch.Tensor) -> torch.Tensor | None:
        """Embeds (n, samples) windows: each thread makes its own images. None if this front end cannot be compiled."""
        if not isinstance(frontend, HasKernelSpectrogram) or frontend._forward_hooks or frontend._forward_pre_hooks:
            return None
        computes = frontend.kernel_spectrogram()
        if computes is None or windows.dtype not in (torch.float32, torch.float64):
            return None
        if computes.n_fft & (computes.n_fft - 1) or computes.n_fft < 4:  # the kernels want a power of 2
            return None
        compiled = self._for_size(computes.n_mels, computes.n_frames(windows.shape[1]))
        if compiled is None:
            return None
        if computes not in self._spectrograms:
            self._spectrograms[computes] = self._spectrogram_of(frontend)
        samples = windows.detach().resolve_neg().contiguous().numpy()
        return torch.from_numpy(compiled(samples, torch.get_num_threads(), self._spectrograms[computes]))

    def _for_size(self, height: int, width: int) -> KernelNet | None:
        from hear_edgel3.engine.kernels.settings import Settings
        from hear_edgel3.engine.kernels.threads import BUILDING

        size = (height, width)
        if size not in self._nets:
            with BUILDING:
                if size not in self._nets:  # no other thread has built it meanwhile
                    self._nets[size] = self._net_for(self._layers, height, width, self._lanes, Settings.here())
        return self._nets[size]


class _FrontEnds:
    """Front ends that make logarithmic mel spectrograms, compiled when they are first met.

    Args:
        lanes: of the vectors.
    """

    def __init__(self, lanes: int) -> None:
        from hear_edgel3.engine.kernels.log_mel import LogMel

        self._lanes = lanes
        self._make = LogMel
        self._known: dict[LogMelSpectrogram, LogMel] = {}

    def computes(self, frontend: nn.Module, windows: torch.Tensor) -> LogMelSpectrogram | None:
        """What a front end computes of (n, samples) windows; None if kernels are not to compute it."""
        # Whether it is a HasKernelLogMel: isinstance takes longer than a window's net.
        if not hasattr(type(frontend), "kernel_log_mel") or frontend._forward_hooks or frontend._forward_pre_hooks:
            return None
        return cast(HasKernelLogMel, frontend).kernel_log_mel() if windows.is_floating_point() else None

    def compiled(
        self, frontend: nn.Module, computes: LogMelSpectrogram, windows: torch.Tensor
    ) -> tuple[LogMel, np.ndarray]:
        """The front end that computes so, and windows as it reads them: short ones are followed by zeros."""
        found = self._known.get(computes)
        if found is None:
            found = self._known[computes] = self._make(cast(HasKernelLogMel, frontend), self._lanes)
        samples = windows.detach().resolve_neg().float()
        if samples.shape[1] < computes.least:
            samples = nn.functional.pad(samples, (0, computes.least - samples.shape[1]))
        return found, samples.numpy()


class CompiledResiduals:
    """A net of inverted residuals, and the front end with it.

    Images of more frames than there should be kernels for go through torch.

    Args:
        net: in eval mode.
        form: as arrays.
    """

    def __init__(self, net: nn.Module, form: ResidualNet) -> None:
        from hear_edgel3.compiled.fetching import fetch
        from hear_edgel3.compiled.jit import native_lanes
        from hear_edgel3.engine.kernels.residual_net import ResidualKernels

        self.fetch = fetch
        self._in_torch = _InTorch(net)
        self._picture = net.kernel_picture() if isinstance(net, HasKernelPicture) else None
        self._lanes = native_lanes()
        self._kernels = ResidualKernels(form, self._lanes)
        self._front_ends = _FrontEnds(self._lanes)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The values of (n, n_mels, n_frames) images."""
        images = x.detach() if self._picture is None else self._picture(x.detach())
        if not self._kernels.takes(images.shape[-2], images.shape[-1]):
            return self._in_torch(x)
        return torch.from_numpy(self._kernels(images.resolve_neg().float().numpy(), torch.get_num_threads()))

    def from_samples(self, frontend: nn.Module, windows: torch.Tensor) -> torch.Tensor | None:
        """The values of (n, samples) windows: each thread makes its own images. None if it must be done otherwise."""
        if self._picture is not None:
            return None
        computes = self._front_ends.computes(frontend, windows)
        if computes is None or not self._kernels.takes(computes.n_mels, computes.n_frames(windows.shape[1])):
            return None
        spectrogram, samples = self._front_ends.compiled(frontend, computes, windows)
        return torch.from_numpy(self._kernels(samples, torch.get_num_threads(), spectrogram))


class CompiledImages:
    """A net that runs in torch, and its front end on kernels.

    Args:
        net: in eval mode.
    """

    def __init__(self, net: nn.Module) -> None:
        from hear_edgel3.compiled.jit import native_lanes
        from hear_edgel3.engine.kernels.images import images_of

        self._images_of = images_of
        self._run = folded.compile_net(net)
        self._lanes = native_lanes()
        self._front_ends = _FrontEnds(self._lanes)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The values of (n, n_mels, n_frames) images."""
        return self._run(x)

    def from_samples(self, frontend: nn.Module, windows: torch.Tensor) -> torch.Tensor | None:
        """The values of (n, samples) windows. None if this front end cannot be compiled."""
        computes = self._front_ends.computes(frontend, windows)
        if computes is None:
            return None
        spectrogram, samples = self._front_ends.compiled(frontend, computes, windows)
        images = self._images_of(spectrogram, samples, self._lanes, torch.get_num_threads())
        # A copy: a net of somebody's own may put all that it puts out into the same memory.
        return self._run(torch.from_numpy(images)).clone()

"""A net of any family with a head on its embedding."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hear_edgel3.families.as_built import remember
from hear_edgel3.families.kernel_description import FoldedNet
from hear_edgel3.families.kernel_residuals import ResidualNet
from hear_edgel3.heads import Head, HeadLayout


class HeadedNet(nn.Module):
    """A net and a head. The names of its parameters begin with ``net.`` and ``head.``.

    Args:
        net: What makes the embedding (:class:`hear_edgel3.families.protocols.Net`).
        head: What makes logits, or numbers, of it.
        puts_out: "embedding", what the net puts out; or "logits", what the head makes of that.

    Attributes:
        net: As given.
        head: As given.
        puts_out: As given.
    """

    def __init__(self, net: nn.Module, head: Head, puts_out: str = "logits") -> None:
        super().__init__()
        if puts_out not in ("embedding", "logits"):
            raise ValueError(f"puts_out must be embedding or logits, got {puts_out!r}")
        self.net = net
        self.head = head
        self.puts_out = puts_out
        remember(self)

    def unused(self) -> list[nn.Module]:
        """The modules that what it puts out does not need."""
        inner: list[nn.Module] = self._any.unused() if hasattr(self.net, "unused") else []
        return [*inner, self.head] if self.puts_out == "embedding" else inner

    @property
    def embedding_size(self) -> int:
        """The values that it puts out for each image."""
        if self.puts_out == "logits":
            return self.head.layout.outputs
        size: int = self._any.embedding_size
        return size

    @property
    def example_shape(self) -> tuple[int, int]:
        """The mel bands and the frames of an image to trace it with."""
        shape: tuple[int, int] = self._any.example_shape
        return shape

    @property
    def n_mels(self) -> int | None:
        """The mel bands that it must be given; None if it takes any number."""
        bands: int | None = getattr(self.net, "n_mels", None)
        return bands

    @property
    def variant(self) -> tuple[object, ...]:
        """What it puts out now, for whoever keeps something made from it."""
        return (self.puts_out, getattr(self.net, "variant", None))

    @property
    def _any(self) -> Any:
        return self.net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embeds images, or makes logits of them.

        Args:
            images: (n, n_mels, n_frames) float32, as the family's front end makes them.

        Returns:
            (n, embedding_size) in the type of the parameters.
        """
        embedding: torch.Tensor = self.net(images)
        if self.puts_out == "embedding":
            return embedding
        logits: torch.Tensor = self.head(embedding)
        return logits

    def folded(self) -> nn.Module:
        """The same function in eval mode, with the net folded if it can be; it shares no tensor with this net."""
        return self._with_head(getattr(self.net, "folded", None))

    def exportable(self) -> nn.Module:
        """The same as :meth:`folded`, of what can be exported for any number of images."""
        return self._with_head(getattr(self.net, "exportable", None) or getattr(self.net, "folded", None))

    def _with_head(self, make: Callable[[], nn.Module] | None) -> nn.Module:
        """A form of the net with a copy of the head."""
        net = copy.deepcopy(self.net) if make is None else make()
        layers = [net] if self.puts_out == "embedding" else [net, copy.deepcopy(self.head)]
        return nn.Sequential(*layers).eval().requires_grad_(False)


class _KernelNet(HeadedNet):
    """One of which compiled kernels can make the embedding."""

    def kernel_layers(self) -> FoldedNet:
        """The net in eval mode as arrays, which share no memory with it."""
        layers: FoldedNet = self._any.kernel_layers()
        return layers


class _ImagesFromKernels(HeadedNet):
    """One whose front end compiled kernels can compute."""

    def kernel_obstacle(self) -> str | None:
        """Why the kernels cannot run this form of the net, or None."""
        reason: str | None = self._any.kernel_obstacle()
        return reason


class _ResidualNet(_ImagesFromKernels):
    """One of which compiled kernels can make the embedding, of the other kind."""

    def kernel_residuals(self) -> ResidualNet:
        """The net in eval mode as arrays, which share no memory with it; only where :meth:`kernel_obstacle` is None."""
        form: ResidualNet = self._any.kernel_residuals()
        return form


class _PictureNet(_ResidualNet):
    """One of these that sees pictures."""

    def kernel_picture(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """What makes pictures of what the net is given."""
        picture: Callable[[torch.Tensor], torch.Tensor] = self._any.kernel_picture()
        return picture


def make_headed(net: nn.Module, layout: HeadLayout, puts_out: str) -> HeadedNet:
    """A net with a new head of zeros, to be filled from a file.

    Args:
        net: What makes the embedding.
        layout: The head's.
        puts_out: As for :class:`HeadedNet`.
    """
    kind = HeadedNet
    if puts_out == "embedding":
        kind = _KernelNet if hasattr(net, "kernel_layers") else kind
        kind = _ImagesFromKernels if hasattr(net, "kernel_obstacle") else kind
        kind = _ResidualNet if hasattr(net, "kernel_residuals") else kind
        kind = _PictureNet if hasattr(net, "kernel_picture") else kind
    return kind(net, Head(layout), puts_out)

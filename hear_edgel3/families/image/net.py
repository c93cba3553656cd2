"""A net for photographs that sees spectrograms: the picture, the layers of a graph, and the means of chosen maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from hear_edgel3.families.as_built import remember
from hear_edgel3.families.image import kernel_form, kernel_plan
from hear_edgel3.families.image.graph import Node
from hear_edgel3.families.image.nets.table import NETS, graph_of
from hear_edgel3.families.image.options import PictureOptions
from hear_edgel3.families.image.picture import Picture, normalised
from hear_edgel3.families.image.running import folded, module_of, run
from hear_edgel3.families.kernel_residuals import ResidualNet

_SECONDS_TO_TRACE = 1.0


class SpectrogramImageNet(nn.Module):
    """Spectrograms to the means, over height and width, of what some layers make of their picture.

    Only the layers that are needed run. The names of the parameters are those of the layers.

    Args:
        net: One of :data:`hear_edgel3.families.image.nets.table.NETS`.
        outputs: The layers whose means are put out, one behind the other; None for the last one.
        options: Those of :class:`hear_edgel3.families.image.options.PictureOptions`.

    Attributes:
        picture: Makes the image.
        layers: The layers that have parameters, by name.

    Raises:
        ValueError: There is no such net or layer.
    """

    def __init__(self, net: str, outputs: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__()
        if net not in NETS:
            raise ValueError(f"net must be one of {', '.join(NETS)}; got {net!r}")
        self.options = PictureOptions(**options)
        self.colours = NETS[net].colours
        self.graph = graph_of(net, self.options.image_height, self.options.image_width)
        self.outputs = (self.graph.last,) if outputs is None else tuple(outputs)
        unknown = [name for name in self.outputs if name not in self.graph.nodes]
        if unknown or not self.outputs:
            raise ValueError(f"{net} has no layer {unknown[0]!r}" if unknown else "outputs must name a layer")
        self.picture = Picture(**self.options.to_dict())
        made = {node.name: module_of(node) for node in self.graph.nodes.values()}
        self.layers = nn.ModuleDict({name: module for name, module in made.items() if module is not None})
        self._nodes = self.graph.needed(self.outputs)
        self._plan = kernel_plan.plan(self.graph, self.outputs)
        remember(self)

    @property
    def embedding_size(self) -> int:
        """The values that it puts out for each spectrogram."""
        return sum(self.graph.shape(name)[0] for name in self.outputs)

    @property
    def example_shape(self) -> tuple[int, int]:
        """The rows and the frames of a spectrogram to trace it with; it takes any."""
        return self.options.n_bands, self.options.n_frames(round(_SECONDS_TO_TRACE * self.options.sample_rate))

    def forward(self, spectrograms: torch.Tensor) -> torch.Tensor:
        """The chosen features.

        Args:
            spectrograms: (n, n_mels, n_frames) float32 as the front end makes them; of any size.

        Returns:
            (n, embedding_size).
        """
        return self.features(normalised(self.picture(spectrograms), self.colours))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The chosen features of images.

        Args:
            images: (n, 3, image_height, image_width) as the net takes colours.

        Returns:
            (n, embedding_size).
        """
        found = run(self._nodes, self.layers, images.to(next(self.layers.parameters()).dtype), self.outputs)
        return torch.cat([found[name] for name in self.outputs], dim=1)

    def kernel_obstacle(self) -> str | None:
        """Why the compiled kernels cannot run this form of the net, or None."""
        if type(self) is not SpectrogramImageNet:
            return f"{type(self).__name__} is a class of somebody's own, which may compute something else"
        if self._plan is not None:
            return None
        return "kernels run inverted residuals, and put out means of what these, or a last expansion, put out"

    def kernel_residuals(self) -> ResidualNet:
        """The net in eval mode as arrays, which share no memory with it; only where :meth:`kernel_obstacle` is None."""
        assert self._plan is not None
        return kernel_form.make(self._plan, self._nodes, self.layers, self.outputs)

    def kernel_picture(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """What makes (n, 3, image_height, image_width) pictures, as the net takes colours, of spectrograms."""
        picture, colours = Picture(**self.options.to_dict()), self.colours

        def made(spectrograms: torch.Tensor) -> torch.Tensor:
            return normalised(picture(spectrograms), colours)

        return made

    def folded(self) -> nn.Module:
        """The same function in eval mode with batch norm folded into the convolutions before it.

        The result shares no tensor with this net, has only the layers that are needed, and is in channels_last, the
        faster layout on CPUs.
        """
        nodes, layers, outputs = folded(self._nodes, self.layers, self.outputs)
        return _Folded(Picture(**self.options.to_dict()), self.colours, nodes, layers, outputs).eval()


class _Folded(nn.Module):
    """What :meth:`SpectrogramImageNet.folded` gives."""

    def __init__(
        self, picture: Picture, colours: str, nodes: Sequence[Node], layers: nn.ModuleDict, outputs: Sequence[str]
    ) -> None:
        super().__init__()
        self.picture, self.colours, self.layers = picture, colours, layers
        self._nodes, self._outputs = nodes, outputs

    def forward(self, spectrograms: torch.Tensor) -> torch.Tensor:
        """As of the net itself."""
        images = normalised(self.picture(spectrograms), self.colours).to(next(self.layers.parameters()).dtype)
        images = images.contiguous(memory_format=torch.channels_last)
        found = run(self._nodes, self.layers, images, self._outputs)
        return torch.cat([found[name] for name in self._outputs], dim=1)

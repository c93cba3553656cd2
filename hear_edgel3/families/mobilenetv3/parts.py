"""What the nets of this family and of those that are built on it share: layers, pooling, head, choice of features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hear_edgel3.families.mobilenetv3 import layout as layouts

BN_EPS = 1e-3
BN_MOMENTUM = 0.01
_DROPOUT = 0.2


class ChoosingNet(nn.Module):
    """A net with a choice of what it puts out, and a head behind its last convolution.

    Whoever inherits from it sets ``head``, ``n_classes``, ``classifier`` and ``approximation``, and calls
    :meth:`select`.

    Attributes:
        head: its kind, one of :data:`hear_edgel3.families.mobilenetv3.layout.HEADS`.
        n_classes: size of the logits, or None.
        classifier: the head.
        approximation: the linear map behind the feature "teacher", or None.
        outputs: the chosen features.
        pooling: of the blocks.
    """

    head: str
    n_classes: int | None
    classifier: nn.Module
    approximation: nn.Linear | None
    outputs: tuple[str, ...] = ()
    pooling: str = "avg_ch"

    @abstractmethod
    def _problem(self, name: str) -> str | None:
        """Why there is no such feature, or None."""

    @abstractmethod
    def _size(self, name: str) -> int:
        """Values of a feature."""

    def select(self, outputs: Sequence[str], pooling: str = "avg_ch") -> None:
        """Chooses what :meth:`forward` puts out; the parameters stay as they are.

        Args:
            outputs: as in the class.
            pooling: as in the class.

        Raises:
            ValueError: the net has no such feature, or there is no such pooling.
        """
        if isinstance(outputs, str) or not outputs:
            raise ValueError(f"outputs must be one or more names of features, got {outputs!r}")
        if pooling not in layouts.POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(layouts.POOLINGS)}; got {pooling!r}")
        for name in outputs:
            problem = self._problem(name)
            if problem is not None:
                raise ValueError(problem)
        self.outputs, self.pooling = tuple(outputs), pooling

    @contextmanager
    def adding(self, *names: str) -> Iterator[None]:
        """Makes it put out further features behind the chosen ones, for as long as the block runs.

        Args:
            names: as ``outputs`` in the class.

        Raises:
            ValueError: the net has no such feature.
        """
        chosen = self.outputs
        self.select((*chosen, *names), self.pooling)
        try:
            yield
        finally:
            self.select(chosen, self.pooling)

    @property
    def variant(self) -> tuple[object, ...]:
        """What :meth:`select` has chosen, for whoever keeps something made from this net."""
        return (self.outputs, self.pooling)

    @property
    def embedding_size(self) -> int:
        """Values that :meth:`forward` puts out per spectrogram."""
        return sum(self._size(name) for name in self.outputs)

    @property
    def last_output(self) -> str:
        """The feature that needs all layers."""
        return "clf2" if self.n_classes is None else "logits"

    def _unused_heads(self) -> list[nn.Module]:
        needed = {"classifier"} if set(self.outputs) & {"clf2", "logits"} else set()
        needed |= {"approximation"} if "teacher" in self.outputs else set()
        heads = {"classifier", "approximation"} - needed  # somebody may have deleted those
        return [module for name in heads if (module := self._modules.get(name)) is not None]

    @property
    def blocks_read(self) -> set[int]:
        """The blocks whose output is pooled for ``outputs``."""
        names = {*self.outputs, *(layouts.APPROXIMATION_INPUTS if "teacher" in self.outputs else ())}
        return {int(name[1:]) for name in names if name.startswith("b")}

    def features_of(
        self, mel: torch.Tensor, maps: Iterable[tuple[torch.Tensor, Mapping[str, torch.Tensor]]]
    ) -> torch.Tensor:
        """The chosen features, given what the blocks put out.

        Args:
            mel: (n, n_mels, n_frames) the images.
            maps: what each of the blocks from 0 to the last one that is needed puts out (n, channels, f, t), and the
                features (n, size) that come about inside of it, by name.

        Returns:
            (n, embedding_size).
        """
        wanted = set(self.outputs)
        inputs = set(layouts.APPROXIMATION_INPUTS) if "teacher" in wanted else set()
        found: dict[str, torch.Tensor] = {}
        approximated: dict[str, torch.Tensor] = {}
        if "mel_avgs" in wanted | inputs:
            found["mel_avgs"] = approximated["mel_avgs"] = mel.mean(dim=2)
        x = mel
        for number, (x, inside) in enumerate(maps):
            found.update(inside)
            if f"b{number}" in wanted:
                found[f"b{number}"] = pool(x, self.pooling)
            if f"b{number}" in inputs:
                approximated[f"b{number}"] = pool(x, "avg_ch")
        if wanted & {"clf1", "clf2", "logits"}:
            self._add_head(x, wanted, found)
        if self.approximation is not None and "teacher" in wanted:
            approximated["clf1"] = pool(x, "avg_ch")
            seen = torch.cat([approximated[name] for name in layouts.APPROXIMATION_INPUTS], dim=1)
            found["teacher"] = self.approximation(seen)
        return torch.cat([found[name] for name in self.outputs], dim=1)

    def _in_own_type(self, mel: torch.Tensor) -> torch.Tensor:
        parameter = next(self.parameters(), None)  # a folded net that puts out mel_avgs alone has none
        return mel if parameter is None else mel.to(parameter.dtype)

    def _add_head(self, x: torch.Tensor, wanted: set[str], found: dict[str, torch.Tensor]) -> None:
        if self.head != "mlp":
            if "clf1" in wanted:
                found["clf1"] = x.mean(dim=(2, 3))
            if "logits" in wanted:
                found["logits"] = self.classifier(x).flatten(1)
            return
        found["clf1"] = x.mean(dim=(2, 3))
        if wanted & {"clf2", "logits"}:
            assert isinstance(self.classifier, nn.Sequential)
            # Upstream's in-place activation makes its second feature the activated one.
            found["clf2"] = self.classifier[3](self.classifier[2](found["clf1"]))
            if "logits" in wanted:
                found["logits"] = self.classifier[4:](found["clf2"])


def mlp(last: int, hidden: int, n_classes: int | None) -> nn.Sequential:
    """The head "mlp", without a last layer if there are no classes."""
    layers: list[nn.Module] = [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(start_dim=1),
        nn.Linear(last, hidden),
        nn.Hardswish(),
        nn.Dropout(_DROPOUT),
    ]
    if n_classes is not None:
        layers.append(nn.Linear(hidden, n_classes))
    return nn.Sequential(*layers)


def fully_convolutional(last: int, n_classes: int) -> nn.Sequential:
    """The head "fully_convolutional"."""
    # torch's own batch norm defaults here, unlike everywhere else in the net
    return nn.Sequential(nn.Conv2d(last, n_classes, 1, bias=False), nn.BatchNorm2d(n_classes), nn.AdaptiveAvgPool2d(1))


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    hardswish: bool | None,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Convolution, batch norm, and an activation unless ``hardswish`` is None."""
    padding = (kernel - 1) // 2 * dilation
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs, eps=BN_EPS, momentum=BN_MOMENTUM),
    ]
    if hardswish is not None:
        layers.append(nn.Hardswish() if hardswish else nn.ReLU())
    return nn.Sequential(*layers)


def fold(layers: nn.Sequential) -> None:
    """Folds a batch norm into the convolution before it, and lets activations overwrite their input."""
    if len(layers) > 1 and isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], nn.BatchNorm2d):
        dtype = layers[0].weight.dtype
        # In float64, so that each value is rounded once.
        fused = fuse_conv_bn_eval(layers[0].double(), layers[1].double())
        layers[0], layers[1] = fused.to(dtype).requires_grad_(False), nn.Identity()
        for layer in layers:
            if isinstance(layer, (nn.Hardswish, nn.ReLU)):
                layer.inplace = True


def pool(x: torch.Tensor, pooling: str) -> torch.Tensor:
    """(n, c, f, t) to (n, c), (n, 2c) or (n, c * f); EfficientAT_HEAR ``models/feature_pooling.py``."""
    if pooling == "avg_ch":
        return x.mean(dim=(2, 3))
    if pooling == "max_ch":
        return x.amax(dim=(2, 3))
    if pooling == "add_avg_max_ch":
        return x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))
    if pooling == "cat_avg_max_ch":
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
    if pooling == "avg_time":
        return x.mean(dim=3).flatten(1)
    return (x.mean(dim=3) + x.amax(dim=3)).flatten(1)


def initialise(net: nn.Module) -> None:
    """Upstream's initialisation, for nets that are trained from scratch."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)

"""Students: the net that is trained, its front end, and how it becomes a configuration."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.space import Space
from hear_edgel3.registry.folder import ARCHITECTURES

# SEA-512's convolutions; the last one's channels are the embedding.
_L3_CHANNELS = (64, 64, 128, 128, 256, 256, 512)
# A power of two of about an eighth of a second, as SEA has at 8000 Hz, and no more than EdgeL3 has at 48000.
_LONGEST_DFT = 2048
_L3_HOPS_PER_SECOND = 50


class Student:
    """A net to train.

    Args:
        recipe: its shape.
        embedding_size: values of the embedding it learns.
        n_classes: size of the logits it learns, or None.

    Attributes:
        family: name of its family.
        architecture: arguments of its family's architecture function.
        fields: what they say.
        frontend: samples to the net's input, of the sample rate ``sample_rate``.
        net: the front end's output to the embedding, and behind it the logits if there are any.
        n_classes: size of the logits, or None.
    """

    def __init__(self, recipe: Recipe, embedding_size: int, n_classes: int | None) -> None:
        self.family = recipe.student
        self.n_classes = n_classes if self.family == "mobilenetv3" else None
        if self.family == "mobilenetv3":
            self.architecture: dict[str, Any] = {
                "width_mult": recipe.width_mult,
                "n_classes": self.n_classes,
                "n_mels": recipe.bands,
                "n_teacher": embedding_size,
            }
        else:
            rate = recipe.sample_rate
            channels = [max(8, round(c * recipe.width_mult / 8) * 8) for c in _L3_CHANNELS]
            n_fft = 1 << (rate // 8).bit_length()
            self.architecture = {
                "channels": [*channels, embedding_size],
                "final_norm": False,
                "sample_rate": rate,
                "n_fft": min(n_fft if rate != 8000 else 1024, _LONGEST_DFT),
                "hop_length": rate // _L3_HOPS_PER_SECOND,
                "n_mels": recipe.bands,
            }
        self.fields = ARCHITECTURES[self.family](**self.architecture)
        self.sample_rate: int = self.fields["net_sample_rate"]
        self.frontend: nn.Module = self.fields["frontend"].build().eval()
        self.net: nn.Module = self.fields["net"].build()
        if self.family == "mobilenetv3":
            outputs = ("teacher",) if self.n_classes is None else ("teacher", "logits")
            self.net.select(outputs)

    def expect(self, probabilities: torch.Tensor) -> None:
        """Begins with the classes' mean probabilities (n_classes,), which would otherwise take long to learn."""
        classifier = self.net.classifier
        assert isinstance(classifier, nn.Sequential)
        last = classifier[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_(torch.logit(probabilities, eps=1e-6))

    def train(self, measuring: bool) -> None:
        """Makes the net ready for an epoch.

        Args:
            measuring: whether batch norm uses the statistics of each batch, and takes their mean over the epoch; else
                it keeps what it has. The families' own moving average takes hundreds of steps to forget where it began,
                and a small distillation has fewer; a faster one would hang on the lengths of the last few batches.
        """
        self.net.train()
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(measuring)
                if measuring:
                    module.momentum = None
                    module.reset_running_stats()

    def finished(self, state: dict[str, torch.Tensor], space: Space, own: bool) -> dict[str, torch.Tensor]:
        """The state to publish: with outputs in the teacher's own scale, or without them.

        Args:
            state: of the trained net.
            space: what it was trained in.
            own: whether the student's own layers are its embedding, and the approximation is left out.
        """
        last = "approximation" if self.family == "mobilenetv3" else "convs.7"
        result = {name: value.detach().clone() for name, value in state.items() if "num_batches_tracked" not in name}
        if own:
            return {name: value for name, value in result.items() if not name.startswith("approximation.")}
        weight, bias = result[f"{last}.weight"], result[f"{last}.bias"]
        # The global maximum behind the L3 net's last convolution lets positive factors through.
        scale, offset = space.scale.to(weight.device), space.offset.to(weight.device)
        result[f"{last}.weight"] = weight * scale.view(-1, *([1] * (weight.ndim - 1)))
        result[f"{last}.bias"] = bias * scale + offset
        return result

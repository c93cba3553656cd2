"""How nets of the MobileNetV3 family are distilled: embeddings through a linear map from several layers, and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hear_edgel3.families.protocols import Student, StudentOptions

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.mobilenetv3.net import MobileNetV3


class MobileNetV3Student(Student):
    """A MobileNetV3 with the approximation of the teacher's embedding as one more output."""

    title = "MobileNetV3"
    n_mels = 128
    approximation = "approximation"
    tags = True

    def architecture(
        self, options: StudentOptions, embedding_size: int | None, n_classes: int | None
    ) -> dict[str, Any]:
        """The arguments of :func:`hear_edgel3.families.mobilenetv3.rows.architecture`."""
        shape: dict[str, Any] = {
            "width_mult": options.width_mult,
            "n_classes": n_classes,
            "n_mels": options.bands,
        }
        return shape if embedding_size is None else {**shape, "n_teacher": embedding_size}

    def prepare(self, net: MobileNetV3) -> None:
        """Chooses the approximation, and the logits if there are any."""
        net.select(("teacher",) if net.n_classes is None else ("teacher", "logits"))

    def expect(self, net: MobileNetV3, probabilities: torch.Tensor) -> None:
        """Sets the bias of the classifier's last layer."""
        import torch
        from torch import nn

        assert isinstance(net.classifier, nn.Sequential)
        last = net.classifier[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_(torch.logit(probabilities, eps=1e-6))

    def default_features(self, options: StudentOptions) -> str:
        """The approximation, unless the net's own layers were asked for."""
        return "" if options.embedding == "own" else "teacher"

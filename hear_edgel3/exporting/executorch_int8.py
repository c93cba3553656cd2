"""Weights in eight bits in ExecuTorch files, while they are written.

XNNPACK multiplies floats by weights in eight bits with a scale for each output where they are those of a fully
connected layer. ExecuTorch's tools ask for eight bits of what goes into it too, and so what they write is changed here.
A convolution of single pixels is such a layer, because XNNPACK has channels last. Other weights stay in float.

This changes the tools for everything that the process writes: run it in one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from hear_edgel3.exporting.int8 import Narrowed


def takes(weight: np.ndarray) -> bool:
    """Whether a weight is one of a fully connected layer, or of a convolution of single pixels."""
    return weight.ndim == 2 or (weight.ndim == 4 and weight.shape[2:] == (1, 1))


def divide_biases(exported: Any, narrowed: Mapping[str, Narrowed]) -> None:
    """Divides the biases behind weights by their scales: XNNPACK adds them before it multiplies by these.

    Args:
        exported: A traced program; its state is changed.
        narrowed: Weights, by the names of their parameters.

    Raises:
        ValueError: A weight is not where it can be in eight bits.
    """
    names = exported.graph_signature.inputs_to_parameters
    seen = set()
    for node in exported.graph.nodes:
        weight, bias = (names.get(getattr(one, "name", "")) for one in (*node.args, None, None, None)[1:3])
        if weight not in narrowed or not takes(narrowed[weight].values) or not _is_plain(node):
            continue
        seen.add(weight)
        scale = torch.from_numpy(narrowed[weight].scale.ravel())
        if bias is not None:
            divided = exported.state_dict[bias].detach() / scale
            exported.state_dict[bias] = torch.nn.Parameter(divided, requires_grad=False)
    _check_all(narrowed, seen)


def _is_plain(node: Any) -> bool:
    """Whether a node is a fully connected layer, or a convolution that takes every pixel once."""
    kind, rest = str(node.target.__name__).partition(".")[0], node.args[3:]
    stride, padding, _, groups = (*rest, *((1,), (0,), (1,), 1)[len(rest) :])[:4]
    return kind == "linear" or (kind == "conv2d" and set(stride) == {1} and set(padding) == {0} and groups == 1)


def _check_all(narrowed: Mapping[str, Narrowed], seen: set[str]) -> None:
    if missing := sorted(set(narrowed) - seen):
        raise ValueError(
            f"{missing[0]} and {len(missing) - 1} more weights are not where it takes them in eight bits; "
            "leave quantize (--quantize) out"
        )


class Narrowing:
    """Changes the tools, so that programs are written with weights in eight bits.

    Args:
        exported: The traced program that is going to be written; its biases are changed.
        narrowed: Weights, by the names of their parameters.

    Raises:
        ValueError: A weight is not where it can be in eight bits.
    """

    def __init__(self, exported: Any, narrowed: Mapping[str, Narrowed]) -> None:
        from executorch.backends.xnnpack.operators import node_visitor

        divide_biases(exported, narrowed)
        # The tools rename parameters: they are known by their values.
        self._names = {exported.state_dict[name].detach().numpy().tobytes(): name for name in narrowed}
        self._narrowed, self._seen = narrowed, set[str]()
        usual = node_visitor.get_node_visitors(None, None, None)
        for kind in ("aten.linear.default", "aten.convolution.default"):
            node_visitor.register_node_visitor(_narrowing(type(usual[kind]), self))

    def of(self, value: torch.Tensor) -> Narrowed | None:
        """What is stored instead of a parameter; None for those that stay in float."""
        name = self._names.get(value.detach().contiguous().numpy().tobytes())
        if name is None:
            return None
        self._seen.add(name)
        return self._narrowed[name]

    def check(self) -> None:
        """Raises ValueError if a weight was not written."""
        _check_all(self._narrowed, self._seen)


def _narrowing(usual: Any, weights: Narrowing) -> type:
    """The class that writes an operation, but with weights in eight bits."""
    from executorch.backends.xnnpack.operators.quant_params import QuantParams
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNFullyConnected
    from executorch.backends.xnnpack.utils.utils import get_param_tensor, is_param_node

    class Visitor(usual):  # type: ignore[misc]
        target = usual.target

        def define_tensor(self, tensor: Any, xnn_graph: Any, vals_to_ids: Any, **words: Any) -> None:
            """As of other tensors, but for the weights."""
            program = self.exported_program
            found = weights.of(get_param_tensor(program, tensor)) if is_param_node(program, tensor) else None
            if found is not None:
                scale = torch.from_numpy(found.scale.ravel())
                words["quant_params"] = QuantParams(
                    per_channel=True,
                    q_input=tensor,
                    scale=scale,
                    zp=torch.zeros(len(scale), dtype=torch.int64),
                    axis=0,
                    dtype=torch.int8,
                    qmin=-127,
                    qmax=127,
                    is_output=False,
                    is_input=False,
                )
            super().define_tensor(tensor, xnn_graph, vals_to_ids, **words)

        def define_node(self, node: Any, xnn_graph: Any, vals_to_ids: Any, debug_handle: int) -> None:
            """As a fully connected layer, if its weights are in eight bits."""
            super().define_node(node, xnn_graph, vals_to_ids, debug_handle)
            written = xnn_graph.xnodes[-1]
            layer = written.xnode_union
            stored = xnn_graph.xvalues[layer.filter_id].xvalue_union
            if hasattr(stored, "quant_params") and not isinstance(layer, XNNFullyConnected):
                value = stored.tensor_value
                value.dims, value.num_dims = [value.dims[0], value.dims[3]], 2
                written.xnode_union = XNNFullyConnected(
                    layer.input1_id, layer.filter_id, layer.bias_id, layer.output_id, flags=0
                )

    return Visitor

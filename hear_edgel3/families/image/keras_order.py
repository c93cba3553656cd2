"""The order in which Keras lists the layers of a model, which is the one that its older files are read by.

Layers stand by how far they are from the last one, the farthest first; those that are equally far, in the order in
which they are met from the last one backwards, inputs before what is beside them (``map_graph`` in
keras/src/ops/function.py). Nothing here imports torch.
"""

from __future__ import annotations

from hear_edgel3.families.image.graph import INPUT, Graph, Node


def layer_of(node: Node) -> str:
    """The Keras layer that a node is, or is a part of."""
    name: str = node.options.get("layer", node.name)
    return name


def keras_order(graph: Graph) -> list[str]:
    """The names of a net's Keras layers, in Keras's order."""
    distances: dict[str, int] = {}
    for node in reversed(graph.nodes.values()):
        layer = layer_of(node)
        distance = distances.setdefault(layer, 0)
        for name in node.inputs:
            if name != INPUT and (before := layer_of(graph.nodes[name])) != layer:
                distances[before] = max(distances.get(before, 0), distance + 1)
    met: dict[str, int] = {}
    todo = [graph.last]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        node = graph.nodes[name]
        met.setdefault(layer_of(node), len(met))
        todo += [before for before in reversed(node.inputs) if before != INPUT]
    return sorted(met, key=lambda layer: (-distances[layer], met[layer]))

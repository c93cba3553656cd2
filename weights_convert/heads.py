"""Folders of published linear heads: a net, a head on it, and classes that are numbers."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from hear_edgel3._version import __version__
from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import OutputError, UnknownConfiguration, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.heads import HeadLayout
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import published, published_heads
from hear_edgel3.weights.file import CLASSES, TARGETS, encode, read_for
from hear_edgel3.weights.locate import find

_WEIGHTS = "model.safetensors"
_CARD = """# {name}

{summary}. Licence of net and head: {licence}.

**The classes have no names.** No list of them is published anywhere, nor their order: a class is the number of its
output, from 0. Compare with sounds that you know before you rely on one.

    hear-edgel3 tag --config FOLDER recording.wav

Made by hear_edgel3 {version} from `{net}` (weights sha256 `{net_sha256}`) and <{url}> (sha256 `{head_sha256}`), without
training. Logits are those of the mean embedding of segments of ten seconds. They are read as {reading}, which the
authors' package leaves to its users.

{citation}
"""
_READINGS = {"single": "one class out of all (softmax)", "several": "any number of classes (sigmoid)"}


def make_head_folder(name: str, source: Path, output: Path, weights: Path | None = None) -> Path:
    """Makes a folder that tags with a published head.

    Args:
        name: of the head.
        source: the authors' file of it.
        output: the folder to make, which does not exist yet or is empty.
        weights: the net's converted file, or a folder of such; None for where it is found.

    Returns:
        The folder.

    Raises:
        UnknownConfiguration: there is no such head.
        WeightsNotFound, WeightsCorrupt, WeightsMismatch: a file is missing, damaged, or of something else.
        OutputError: the folder is not empty, or cannot be written.
    """
    heads = published_heads()
    if name not in heads:
        raise UnknownConfiguration(f"there is no head {name!r}; there are {', '.join(heads)}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output} is there already; give a new folder for the head {name}")
    head, row = heads[name], published(heads[name].checkpoint)
    if not source.is_file():
        raise WeightsNotFound(f"there is no file {source}; the authors' is {head.url}")
    data = source.read_bytes()
    weight, bias = head.read(data, source.name)
    if len(bias) != head.n_classes:
        raise WeightsMismatch(f"{source} tells {len(bias)} classes, and the head {name} has {head.n_classes}")
    found = find(row, weights)
    file = read_for(row, found.path, found.sha256)
    state = {f"net.{key}": value for key, value in file.tensors.items()}
    state |= {"head.output.weight": weight, "head.output.bias": bias}
    called = f"{row.family}{re.sub('[^a-z0-9]', '', name)}"
    summary = f"{head.data}: {head.n_classes} classes without names, told by a published linear head on {row.name}"
    classes = [str(number) for number in range(head.n_classes)]
    made_for = {TARGETS: head.targets, CLASSES: classes}
    made_by = f"hear_edgel3 {__version__}"
    tensors = encode(state, {"configuration": called, "base": row.name, "made_by": made_by, **made_for})
    shape = FAMILIES[row.family].shape
    assert shape is not None
    layout = HeadLayout("linear", weight.shape[1], head.n_classes)
    origin = {"base": row.name, "base_sha256": file.sha256, "head_url": head.url}
    values: dict[str, Any] = {
        "format": local.FORMAT,
        "name": called,
        "family": row.family,
        "summary": summary,
        "architecture": shape(row),
        "labels": None,
        "default_features": head.words,
        "weights_file": _WEIGHTS,
        "weights_sha256": hashlib.sha256(tensors).hexdigest(),
        "licence": head.licence,
        "citation": head.citation,
        "embedding_version": row.embedding_version,
        "reported": {},
        "classes": classes,
        "targets": head.targets,
        "head": {"layout": layout.to_dict(), "words": head.words},
        "temperature": 1.0,
        "thresholds": None,
        "made": {**origin, "head_sha256": sha256_of(source), "version": __version__, "net": "as it was"},
    }
    local.make_row(values, output)  # that what is written can be read
    text = _CARD.format(
        name=called,
        summary=summary,
        licence=head.licence,
        version=__version__,
        net=row.name,
        net_sha256=file.sha256,
        url=head.url,
        head_sha256=sha256_of(source),
        reading=_READINGS[head.targets],
        citation=head.citation,
    )
    make_folder(output)
    for filename, content in (
        (_WEIGHTS, tensors),
        ("README.md", text.encode()),
        (local.FILENAME, (json_text(values, indent=1) + "\n").encode()),  # last: without it the folder is none
    ):
        with atomic_write(output / filename) as opened:
            opened.write(content)
    return output

"""Types of drums: recordings of Hydrogen's drum kits (Debian's hydrogen-drumkits).

Label: the type that the name of the instrument in a kit's drumkit.xml tells: kick ("kick", "bass drum"), snare, tom,
hihat ("hi-hat", "hat", "hh"), cymbal ("crash", "ride", "china", "splash", "cymbal"). Left out: names that tell none or
two, files whose own name tells another type, files that instruments of two types share, and kits of fewer than three
types.

Group, and fold: the kit. So a net is always tested on drums, microphones and hands that the probe has not heard. With
a dozen kits the confidence interval over kits is wide, and that is what it is.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.quality.clips import Recording

_TYPES = {
    "kick": r"\bkick|\bbass ?drum",
    "snare": r"\bsnare",
    "tom": r"\btom",
    "hihat": r"\bhi ?hat|\bhat\b|\bo?hh\b",
    "cymbal": r"\b(crash|ride|china|splash|cymbal)",
}
_FEWEST_TYPES = 3


def type_of(name: str) -> str | None:
    """The type of drum that a name tells, or None if it tells none or several."""
    words = re.sub(r"[\W_]+", " ", name.lower())
    found = [kind for kind, pattern in _TYPES.items() if re.search(pattern, words)]
    return found[0] if len(found) == 1 else None


def instruments(kit: Path) -> Iterator[tuple[str, list[str]]]:
    """Names of a kit's instruments with the names of their files, from its drumkit.xml."""
    for element in ET.parse(kit / "drumkit.xml").iter():
        if _tag(element) == "instrument":
            name = next((child.text or "" for child in element if _tag(child) == "name"), "")
            yield name, [layer.text for layer in element.iter() if _tag(layer) == "filename" and layer.text]


def _tag(element: ET.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]  # some kits have a namespace


def recordings(package: Path) -> list[Recording]:
    """All recordings.

    Args:
        package: the unpacked Debian package.
    """
    result = []
    for kit in sorted(path.parent for path in package.glob("usr/share/hydrogen/data/drumkits/*/drumkit.xml")):
        types: dict[str, set[str | None]] = defaultdict(set)
        for name, files in instruments(kit):
            for file in files:
                types[file].add(type_of(name))
        label_of = {file: labels.pop() for file, labels in types.items() if len(labels) == 1}
        labelled = [
            (file, label)
            for file, label in sorted(label_of.items(), key=lambda item: item[0])
            if label is not None and type_of(Path(file).stem) in (None, label) and (kit / file).is_file()
        ]
        if len({label for _, label in labelled}) >= _FEWEST_TYPES:
            result += [
                Recording(f"{kit.name} {Path(f).stem}", label, kit.name, _Reader(kit / f)) for f, label in labelled
            ]
    return result


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> tuple[np.ndarray, int]:
        return soundfile.read(self._path, dtype="float32")

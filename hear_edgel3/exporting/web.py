"""A page that listens: a folder with a model, and what runs it in a browser. Nothing in it asks anything of elsewhere.

The model is an ONNX file like any other, and proven as such; what runs it in a browser is the same engine, built for
WebAssembly.
"""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3.exporting import onnx
from hear_edgel3.exporting.card import WHOLE
from hear_edgel3.exporting.folders import read_folder_card, write_card
from hear_edgel3.exporting.web_runtime import FILES, VERSION, runtime_files

if TYPE_CHECKING:
    import torch

    from hear_edgel3.exporting.program import Program
    from hear_edgel3.exporting.targets import Session

EXTRA, SUFFIX, ENGINE, FLOAT64 = "onnx", "_web", onnx.ENGINE, onnx.FLOAT64
FOLDER, INT8, PARTS = True, onnx.INT8, (WHOLE,)
TOLERANCES = onnx.TOLERANCES
engine_version = onnx.engine_version

PAGE = (
    "index.html style.css icon.svg main.js colours.js draw.js sound.js lengths.js timeline.js worker.js net.js "
    "resample.js spectrogram.js worklet.js"
).split()
MODEL, LICENCES = "model.onnx", "LICENCES.txt"
HINT = "look at it: python3 -m http.server --bind 127.0.0.1 --directory {path} 8000, and open http://127.0.0.1:8000/"
# What a page may do: run and load what lies beside it, compile WebAssembly, and start a worker that has this policy,
# too. The one that is started is of a blob, because one with an address of its own would have none.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'none'"
)


def check_installed() -> None:
    """Raises MissingExtra if a package that it needs is not installed, and gets what runs it in a browser.

    Raises:
        DownloadError, WeightsCorrupt, OutputError: See :func:`hear_edgel3.exporting.web_runtime.runtime_files`.
    """
    onnx.check_installed()
    runtime_files()


def write(program: Program, path: Path) -> None:
    """Writes the folder."""
    path.mkdir()
    onnx.write(program, path / MODEL)
    _put_page(path, program.card)


def quantize(program: Program, source: Path, path: Path, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Writes a folder with the model in eight bits, made of one in float."""
    path.mkdir()
    card = onnx.quantize(program, source / MODEL, path / MODEL, inputs)
    _put_page(path, card)
    return card


def _put_page(folder: Path, card: dict[str, Any]) -> None:
    values = {"policy": _POLICY, "title": html.escape(f"{card['name']} listens")}
    for name in PAGE:
        text = resources.files(__package__).joinpath("web_page", name).read_text("utf-8")
        if name == "index.html":
            for key, value in values.items():
                text = text.replace(f"{{{{{key}}}}}", value)
        (folder / name).write_text(text, encoding="utf-8")
    for name, data in runtime_files().items():
        (folder / name).write_bytes(data)
    (folder / LICENCES).write_text(_licences(card), encoding="utf-8")
    facts = {"onnxruntime_web": VERSION, "model_bytes": (folder / MODEL).stat().st_size}
    write_card(folder, "web", card, facts)


def size_of(path: Path) -> int:
    """The bytes of the model; what is around it is the same for every net."""
    return (path / MODEL).stat().st_size


def open_file(path: Path, threads: int | None = 1) -> Session:
    """Opens the model in ONNX Runtime on the CPU."""
    return onnx.open_file(path / MODEL, threads)


def read_card(path: Path) -> dict[str, Any]:
    """The card in a folder.

    Raises:
        ConfigurationError: It is not a folder that was exported here, or damaged.
    """
    return read_folder_card(path)


def describe(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """What the model consists of and costs."""
    return onnx.describe(path / MODEL, card)


def _licences(card: Mapping[str, Any]) -> str:
    """What may be done with what is in the folder; the engine's own notices are those that come with it for Python."""
    parts = [
        f"model.onnx: the net {card['name']} of hear_edgel3 {card['version']}. Licence: {card['licence']}.",
        f"{', '.join(FILES)}: onnxruntime-web {VERSION}, https://www.npmjs.com/package/onnxruntime-web, unchanged but "
        "for the first one's name.",
        _MIT,
    ]
    spec = importlib.util.find_spec("onnxruntime")
    notices = None if spec is None or spec.origin is None else Path(spec.origin).parent / "ThirdPartyNotices.txt"
    if notices is not None and notices.is_file():
        parts.append("What ONNX Runtime itself is made of:\n\n" + notices.read_text(encoding="utf-8", errors="replace"))
    parts.insert(1, "All other files: hear_edgel3. Licence: MIT.")
    return "\n\n".join(parts) + "\n"


_MIT = """MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""

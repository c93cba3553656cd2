"""A page that listens: a folder with a model, and what runs it in a browser. Nothing in it asks anything of elsewhere.

The model is an ONNX file like any other, and proven as such; what runs it in a browser is the same engine, built for
WebAssembly.
"""

from __future__ import annotations

import html
import importlib.util
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3.disk.atomic import check_folder_name
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.temporary import sweep, temporary_folder
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.exporting import onnx
from hear_edgel3.exporting.card import WHOLE
from hear_edgel3.exporting.web_runtime import FILES, VERSION, runtime_files

if TYPE_CHECKING:
    from hear_edgel3.exporting.program import Program

EXTRA, SUFFIX, ENGINE, FLOAT64 = "onnx", "_web", onnx.ENGINE, onnx.FLOAT64
INT8, SEVERAL, TOLERANCES = onnx.INT8, True, onnx.TOLERANCES
check_installed, engine_version, open_file = onnx.check_installed, onnx.engine_version, onnx.open_file
quantize, read_card, describe = onnx.quantize, onnx.read_card, onnx.describe

_PAGE = (
    "index.html style.css icon.svg main.js colours.js draw.js sound.js timeline.js worker.js net.js resample.js "
    "spectrogram.js worklet.js"
).split()
_MODEL, _CARD, _LICENCES = "model.onnx", "card.json", "LICENCES.txt"
# What a page may do: run and load what lies beside it, compile WebAssembly, and start a worker that has this policy,
# too. The one that is started is of a blob, because one with an address of its own would have none.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'none'"
)


def write(program: Program, path: Path) -> None:
    """Writes the model.

    Raises:
        InvalidOption: It is no whole net.
    """
    if program.card["part"] != WHOLE:
        raise InvalidOption("a page takes sounds and tells what is in them: it needs the net with its front end")
    onnx.write(program, path)


def check_place(path: Path) -> None:
    """Finds out before the work whether a page can be written, and gets what runs it.

    Raises:
        OutputError: There is something else, or the folder that it shall be in does not exist.
        DownloadError, WeightsCorrupt: See :func:`hear_edgel3.exporting.web_runtime.runtime_files`.
    """
    check_folder_name(path)
    real = Path(os.path.realpath(path))
    try:
        others = sorted({entry.name for entry in os.scandir(real)} - _names()) if real.is_dir() else []
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if others:
        raise OutputError(f"cannot write {path}: it has files that are of no such page ({others[0]}); name another one")
    if not real.parent.is_dir():
        raise OutputError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write into {path.parent}")
    runtime_files()


def put(staged: Path, path: Path, card: Mapping[str, Any]) -> str:
    """Writes the folder, all of it at once, around the model.

    Args:
        staged: The model.
        path: The folder. An earlier page in it is replaced.
        card: The model's.

    Returns:
        How to look at it.
    """
    real = Path(os.path.realpath(path))
    values = {"policy": _POLICY, "title": html.escape(f"{card['name']} listens")}
    text = {name: resources.files(__package__).joinpath("web_page", name).read_text("utf-8") for name in _PAGE}
    for key, value in values.items():
        text["index.html"] = text["index.html"].replace(f"{{{{{key}}}}}", value)
    page = {"onnxruntime_web": VERSION, "model_bytes": staged.stat().st_size}
    text[_CARD] = json_text({**card, "page": page}, indent=1) + "\n"
    text[_LICENCES] = _licences(card)
    try:
        sweep([real])
        with temporary_folder(real) as made:
            for name, content in text.items():
                (made / name).write_text(content, encoding="utf-8")
            for name, data in runtime_files().items():
                (made / name).write_bytes(data)
            shutil.copyfile(staged, made / _MODEL)
            if real.is_dir():
                with temporary_folder(real) as old:
                    os.rename(real, old / "page")
                    os.rename(made, real)
            else:
                os.rename(made, real)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return (
        f"look at it: python3 -m http.server --bind 127.0.0.1 --directory {path} 8000, and open http://127.0.0.1:8000/"
    )


def _names() -> set[str]:
    return {*_PAGE, *FILES, _MODEL, _CARD, _LICENCES}


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

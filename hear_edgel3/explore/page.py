"""Puts a page together from the files in ``page/``: one HTML file that loads nothing but sounds."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.jsons import json_text

# In the order in which they run; each uses those before it.
_SCRIPTS = (
    "data",
    "layouts",
    "colours",
    "view",
    "labels",
    "drawing",
    "filter",
    "sound",
    "panel",
    "selection",
    "map",
    "main",
)


def write_page(
    path: Path, title: str, blocks: Iterable[tuple[str, str]], contents: Callable[[], dict[str, Any]]
) -> None:
    """Writes a page.

    Args:
        path: The file to write.
        title: What the browser's tab says.
        blocks: Names and texts that the page reads when it needs them, letters and digits only, written as they come.
        contents: Gives what the page reads at once; it is called after the last block.

    Raises:
        OutputError: it cannot be written; no part of a file is left.
    """
    style, scripts = _file("page.css"), [_file(f"{name}.js") for name in _SCRIPTS]
    # Split before anything is put in: titles and data may look like marks.
    head, rest = _file("page.html").split("{{blocks}}")
    before, after = rest.split("{{data}}")
    between, end = after.split("{{scripts}}")
    values = {"policy": _policy(style, scripts), "title": html.escape(title), "style": style}
    head = re.sub(r"{{(\w+)}}", lambda mark: values[mark[1]], head)
    with atomic_write(path) as file:

        def put(text: str) -> None:
            file.write(text.encode("utf-8"))

        put(head)
        for name, text in blocks:
            put(f'<script type="text/plain" id="{name}">{text}</script>\n')
        put(before + as_json(contents()) + between)
        for script in scripts:
            put(f"<script>{script}</script>\n")
        put(end)


def as_json(value: dict[str, Any]) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    text = json_text(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, scripts: list[str]) -> str:
    """The page's content security policy: its own style and scripts run, sounds load, and nothing else does."""
    hashes = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; media-src 'self' file: data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")

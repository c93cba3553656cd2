"""How Sphinx builds these pages: ``sphinx-build -W --keep-going -b html docs docs/_build``."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

from hear_edgel3 import __version__

# The modules whose docstrings become pages of docs/api: what may be imported from outside, and what a new family,
# engine or verb is written against. Everything else is the package's own business.
API_MODULES = os.environ.get("HEAR_EDGEL3_API_MODULES", "").split() or [
    "hear_edgel3",
    "hear_edgel3.errors",
    "hear_edgel3.hear",
    "hear_edgel3.custom",
    "hear_edgel3.edgel3",
    "hear_edgel3.edgel3.models",
    "hear_edgel3.adapters",
    "hear_edgel3.adapters.transformer",
    "hear_edgel3.dataset",
    "hear_edgel3.search",
    "hear_edgel3.explore.build",
    "hear_edgel3.exporting.run",
    "hear_edgel3.exporting.proof",
    "hear_edgel3.lite",
    "hear_edgel3.tagging",
    "hear_edgel3.event_detection",
    "hear_edgel3.timeline",
    "hear_edgel3.recorded",
    "hear_edgel3.extractor",
    "hear_edgel3.framing.rules",
    "hear_edgel3.framing.path",
    "hear_edgel3.registry.names",
    "hear_edgel3.families.schema",
    "hear_edgel3.families.protocols",
    "hear_edgel3.families.table",
    "hear_edgel3.engine.runner",
    "hear_edgel3.engine.table",
    "hear_edgel3.weights.locate",
    "hear_edgel3.weights.quantized",
    "hear_edgel3.weights.sparse",
    "hear_edgel3.weights.file",
    "hear_edgel3.jobs",
    "hear_edgel3.distillation",
    "hear_edgel3.detectors",
    "hear_edgel3.heads",
    "hear_edgel3.training.recipes",
    "hear_edgel3.training.draws",
    "hear_edgel3.training.schedule",
    "hear_edgel3.training.optimizers",
    "hear_edgel3.training.waveforms",
    "hear_edgel3.training.mixing",
    "hear_edgel3.training.spectrograms",
    "hear_edgel3.training.images",
    "hear_edgel3.training.responses",
    "hear_edgel3.training.losses",
    "hear_edgel3.training.sampling",
    "hear_edgel3.training.teacher_predictions",
    "hear_edgel3.training.deepspectrumlite",
    "hear_edgel3.labels",
    "hear_edgel3.scores",
    "weights_convert",
]

project = "hear_edgel3"
author = "The hear_edgel3 authors"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"hear_edgel3 {release}"

myst_heading_anchors = 3
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures have them, and docstrings say shapes and units

_PAGE = """# {name}

```{{eval-rst}}
.. automodule:: {name}
   :members:
   :show-inheritance:
{options}
```
{elsewhere}"""


def _public(module: ModuleType) -> dict[str, object]:
    """The public names of a module: those in its ``__all__``, else those that it defines itself."""
    names = getattr(module, "__all__", None)
    if names is not None:
        return {name: getattr(module, name) for name in names}
    return {k: v for k, v in vars(module).items() if k[0] != "_" and getattr(v, "__module__", None) == module.__name__}


def _write_api_pages() -> None:
    """Writes docs/api/NAME.md for each of API_MODULES, and removes the pages of others.

    What several modules have is described in the first of them; the others link to it.
    """
    folder = Path(__file__).with_name("api")
    folder.mkdir(exist_ok=True)
    for page in folder.glob("*.md"):
        if page.stem not in API_MODULES:
            page.unlink()
    described: dict[int, str] = {}
    for name in API_MODULES:
        module = importlib.import_module(name)
        elsewhere = {}
        if not _public(module) and not module.__doc__:
            raise RuntimeError(f"{name} has nothing to describe")
        for member, value in _public(module).items():
            if isinstance(value, ModuleType | str):
                continue
            place = described.setdefault(id(value), f"{name}.{member}")
            if place != f"{name}.{member}":
                elsewhere[member] = place
        options = ["   :imported-members:"] if hasattr(module, "__all__") else []
        options += [f"   :exclude-members: {', '.join(elsewhere)}"] if elsewhere else []
        links = "".join(f"- {{py:obj}}`{place}`\n" for place in elsewhere.values())
        text = _PAGE.format(
            name=name, options="\n".join(options), elsewhere=f"\nAlso here:\n\n{links}" if links else ""
        )
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text() != text:  # so that only what has changed is built again
            page.write_text(text)


_write_api_pages()

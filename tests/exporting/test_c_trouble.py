"""Libraries in C where something goes wrong, or is called what nobody would expect."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from hear_edgel3.exporting import c as target
from hear_edgel3.exporting.run import export
from support.compiling import needed, run
from support.detectors import write_detector

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")


def test_classes_called_like_what_is_filled_in(tmp_path: Path) -> None:
    """They reach C as they are: the templates' own names are not looked for in them."""
    needed("gcc")
    classes = ("net_x NET_CLASSES net.h", "@prefix@ @name@ @labels@", '"q", %s\\n </script> ??/ */', "ün")
    folder = write_detector(tmp_path / "net", classes=classes, name="int", citation="net_a, @rate@ */")
    export(folder, tmp_path / "c", to="c", length=0.1)
    for name in ("int.h", "int.c", "int_weights.h"):
        assert "net_a, @rate@ * /" in (tmp_path / "c" / name).read_text(encoding="utf-8")
    library = tmp_path / "library.so"
    run(["gcc", "-std=c99", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "c" / "int.c"), "-lm"])
    labels = (ctypes.c_char_p * len(classes)).in_dll(ctypes.CDLL(str(library)), "int_labels")
    assert [one.decode() for one in labels if one is not None] == list(classes)

"""Engines report their use to their makers, and number the machine, when they are imported; not from here."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hear_edgel3
from hear_edgel3._extras import require

PACKAGE = Path(hear_edgel3.__file__).parent
LITE = """
from hear_edgel3.lite import Model
try:
    Model("nowhere.onnx")
except ValueError:
    pass
"""
THROUGH_THE_PACKAGE = """
import sys
from hear_edgel3._extras import require
require("{0}", "a test", "{0}")
assert "openvino_telemetry" not in sys.modules
if "{0}" == "openvino":
    import openvino_telemetry  # others find it as it was
"""
# What would be silent for another reason: services of CI, and what a caller has set.
_OTHER_REASONS = {"CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}


def _homes_files(code: str, home: Path) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in _OTHER_REASONS}
    environment = {**kept, "HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


@pytest.mark.skipif(sys.platform != "linux", reason="where they write is known on Linux")
@pytest.mark.parametrize("code", [LITE, *(THROUGH_THE_PACKAGE.format(name) for name in ("onnxruntime", "openvino"))])
def test_nothing_is_left_in_the_home(code: str, tmp_path: Path) -> None:
    assert _homes_files(code, tmp_path) == []


def test_whoever_wants_to_report_is_let(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    require("onnxruntime", "a test", "onnx")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_nothing_imports_them_any_other_way() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if {name.partition(".")[0] for name in names} & {"onnxruntime", "openvino"}:
                found.append(path.relative_to(PACKAGE).as_posix())
    assert found == ["lite.py"]

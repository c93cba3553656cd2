"""``info`` and ``list`` answer without importing torch or NumPy, and so at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hear_edgel3.cli import info, main
from hear_edgel3.families.table import registered
from hear_edgel3.registry.names import resolve
from support.made_up.family import MURMUR

BUILT_IN = Path(info.__file__).parents[1] / "checkpoints" / "tiny"

PROGRAM = """
import sys
from hear_edgel3.cli import main
code = main(sys.argv[1:])
heavy = sorted({"torch", "numpy", "huggingface_hub", "soundfile", "safetensors"} & set(sys.modules))
sys.exit(f"imported: {heavy}" if heavy else code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "sea_64"),
        ("info", "sparse_95_kd", "--json"),
        ("info", "mn04_as_all_b_mel_avgs_ts320"),
        ("info", "mn10_as_fc_logits"),
        ("info", "tiny"),
        ("info", str(BUILT_IN)),
        ("list",),
        ("list", "--json"),
    ],
)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert arguments[1:2] != ("sea_64",) or "0.1224 G for a window of 1000 ms" in done.stdout


def test_a_family_that_does_not_tell_its_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """What the row says is shown; nothing is guessed, and no net is built."""
    with registered(MURMUR):
        row = resolve("murmur_8").checkpoint
        facts = info.describe("murmur_8")
        assert facts["complexity"] == {"parameters": row.n_parameters, "macs_10s": row.macs_10s}
        assert facts["engine"] == "torch"
        assert json.loads(json.dumps(facts)) == facts
        assert main(["info", "murmur_8"]) == 0
    out = capsys.readouterr().out
    assert f"  MACs, one pass over 10 s  {row.macs_10s / 1e9:.4g} G of the whole net\n" in out
    assert "receptive field" not in out

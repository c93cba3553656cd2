"""What exported files are like: how near to PyTorch, how large and how fast, for every target.

    python -m tests.benchmarks.exported [NAME ...] [--to TARGET]... [--weights FOLDER] [--check FOLDER]

NAME are configurations or folders (the built-in net if none is given), --to a target (all whose tools are installed, if
none is given), --weights a folder of their weights, --check sounds of your own to compare on besides. Each net is
exported as `hear-edgel3 export` does, to a temporary folder, and the table says what that command says: the largest
difference of an embedding as a fraction of the largest value, over all sounds and over pure tones alone; the mean
cosine, and that without mel_avgs; megabytes; the CPU time of a window of a second, on one thread, as a multiple of
PyTorch's; and the megabytes that it takes above the engine itself. Of files in eight bits, megabytes and time are also
given as fractions of what float takes. A net that a target does not take, or gets wrong, is said to be so.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import hear_edgel3
from hear_edgel3.errors import HearEdgeL3Error, MissingExtra
from hear_edgel3.exporting.proof import Proof
from hear_edgel3.exporting.targets import MODULES, target_of

_COLUMNS = "difference, of tones, cosine, without mel_avgs, MB, of float, time, of float, memory (MB)"
# A page has the file of "onnx" in it.
_TARGETS = [to for to in MODULES if to != "web"]


def cells(proof: Proof) -> list[str]:
    """A line of the table behind net and target."""
    embedding = proof.outputs["embedding"]
    without = embedding.cosine_without_mel_avgs
    return [
        f"{embedding.share:.0e}",
        f"{embedding.by_kind['tone'] / embedding.peak:.0e}",
        "" if embedding.cosine is None else f"{embedding.cosine[1]:.5f}",
        "" if without is None else f"{without[1]:.5f}",
        f"{proof.size / 1e6:.2f}",
        "" if proof.float_size is None else f"{proof.size / proof.float_size:.2f}",
        f"{proof.ms / proof.torch_ms:.2f}",
        "" if proof.float_ms is None else f"{proof.ms / proof.float_ms:.2f}",
        "" if proof.peak_memory is None else f"{proof.peak_memory / 1e6:.0f}",
    ]


def _installed(to: str) -> bool:
    try:
        target_of(to).check_installed()
    except MissingExtra:
        return False
    return True


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["tiny"], metavar="NAME")
    parser.add_argument("--to", action="append", choices=_TARGETS, metavar="TARGET")
    parser.add_argument("--weights", metavar="FOLDER")
    parser.add_argument("--check", metavar="FOLDER")
    arguments = parser.parse_args(argv)
    columns = _COLUMNS.split(", ")
    print("| net | target |", " | ".join(columns), "|")
    print("|---|---|" + "---|" * len(columns))
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            for to in arguments.to or filter(_installed, _TARGETS):
                for quantize in ("none", "int8") if target_of(to).INT8 else ("none",):
                    path = Path(folder) / f"net{target_of(to).SUFFIX}"
                    weights = None if name == "tiny" else arguments.weights
                    try:
                        done = hear_edgel3.export(
                            name, path, to=to, quantize=quantize, check=arguments.check, weights=weights
                        )
                        line = " | ".join(cells(done.proof))
                    except HearEdgeL3Error as error:
                        line = str(error).splitlines()[0].removeprefix(f"{path} was not written: ")
                    what = to if quantize == "none" else f"{to}, {quantize}"
                    print(f"| {name} | {what} | {line} |", flush=True)


if __name__ == "__main__":
    main()

"""Time and memory from a pruned net's weights file to its first embedding, each in a process of its own, in turns.

    python -m tests.benchmarks.loading [--config sparse_95] [--engine numba] [--rounds 7] [--before CHECKOUT]

The weights are seeded. Lines are medians of all rounds: of CPU time, because others may be using the machine, and of
the most memory above what the process had once everything was imported. "dense" is the file with zeros, "sparse" the
one without; --before takes another checkout of this package, an older one, say, which loads the dense file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from hear_edgel3.weights.file import encode, encode_sparse
from support import synthetic

# Its arguments: checkpoint, weights, engine. Linux forgets the highest memory when it is told 5.
_CHILD = """
import gc, json, sys, time
import torch
import hear_edgel3
import hear_edgel3.extractor.loading
torch.set_num_threads(1)
if sys.argv[3] == "numba":
    import hear_edgel3.engine.kernels.network
warm = hear_edgel3.load("tiny")
warm.scene_embeddings(torch.zeros(1, warm.sample_rate))
del warm
gc.collect()

def kilobytes(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = kilobytes("VmRSS")
result = {}
begun = time.process_time()

def note(what):
    result[what + ", s"] = time.process_time() - begun
    result[what + ", MB"] = (kilobytes("VmHWM") - before) / 1024

model = hear_edgel3.load(sys.argv[1], sys.argv[2], engine=sys.argv[3])
note("load")
model.scene_embeddings(torch.zeros(1, model.sample_rate))
note("first embedding")
result["kept, MB"] = (kilobytes("VmRSS") - before) / 1024
print(json.dumps(result))
"""


def measured(tree: Path | None, *arguments: str) -> dict[str, float]:
    """What one process says."""
    environment = dict(os.environ)
    if tree is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(tree), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="sparse_95", choices=synthetic.NAMES)
    parser.add_argument("--engine", default="numba")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("memory is measured on Linux only")
    state, origin = synthetic.state(arguments.config), {"configuration": arguments.config}
    with tempfile.TemporaryDirectory() as folder:
        dense, sparse = Path(folder) / "dense.safetensors", Path(folder) / "sparse.safetensors"
        dense.write_bytes(encode(state, origin))
        sparse.write_bytes(encode_sparse(state, origin))
        ways = {"dense": (None, dense), "sparse": (None, sparse)}
        if arguments.before is not None:
            ways = {"before": (arguments.before.resolve(), dense), **ways}
        found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for round_ in range(arguments.rounds + 1):
            for way, (tree, weights) in ways.items():
                result = measured(tree, arguments.config, str(weights), arguments.engine)
                if round_ > 0:  # the first one may compile kernels
                    found[way].append(result)
        keys = list(found["dense"][0])
        print(f"{arguments.config}, engine {arguments.engine}: medians of {arguments.rounds}")
        print(f"{'':8} {'file, MB':>10} " + " ".join(f"{key:>20}" for key in keys))
        for way, (_, weights) in ways.items():
            medians = [statistics.median(result[key] for result in found[way]) for key in keys]
            print(f"{way:8} {weights.stat().st_size / 1e6:10.2f} " + " ".join(f"{median:20.3f}" for median in medians))


if __name__ == "__main__":
    main()

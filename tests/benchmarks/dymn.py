"""DyMN nets against the port one would write first: time of the net alone, without the front end.

    python -m tests.benchmarks.dymn [--threads 1] [--repeats 5] [NAME ...]

That port has batched products for convolutions of 1 by 1, one group for each clip's each channel for depthwise ones,
and every batch norm and activation as a layer. Times are interleaved, so that what else the machine does falls on all;
medians of CPU time are printed. Weights are seeded: their values do not matter here.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import torch

from hear_edgel3.families.dymn.blocks import DynamicConvolution
from hear_edgel3.families.dymn.net import DyMN
from support import dymn_files
from tests.benchmarks.speed import interleaved

Run = Callable[[torch.Tensor], torch.Tensor]


def straightforward(net: DyMN) -> DyMN:
    """The net as it is written, in eval mode but for the form of its depthwise convolutions."""
    port = copy.deepcopy(net).eval()
    for module in port.modules():
        if isinstance(module, DynamicConvolution):
            module.training = True
    return port


def compared(port: Run, ours: Run, x: torch.Tensor, repeats: int) -> str:
    """How long both take for an input, and how far apart their results are, in words."""
    expected = port(x)
    difference = float((ours(x) - expected).abs().max() / expected.abs().max())
    found = interleaved({"port": lambda: port(x), "hear_edgel3": lambda: ours(x)}, repeats)
    times = {key: cpu for key, (cpu, _) in found.items()}
    return (
        f"port {1e3 * times['port']:.1f} ms, hear_edgel3 {1e3 * times['hear_edgel3']:.1f} ms, "
        f"{times['hear_edgel3'] / times['port']:.2f} of its time (relative difference {difference:.1e})"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["dymn04_as", "dymn10_as"], metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    print(
        f"torch {torch.__version__}, {arguments.threads} thread(s), medians of {arguments.repeats} interleaved repeats"
    )
    for name in arguments.names:
        net = dymn_files.build(**dymn_files.row(name).net.arguments)
        port, folded = straightforward(net), net.folded()
        for what, shape in (("1 scene of 10 s", (1, 128, 1000)), ("64 windows of 160 ms", (64, 128, 16))):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            print(f"{name}, {what}: {compared(port, folded, x, arguments.repeats)}")


if __name__ == "__main__":
    main()

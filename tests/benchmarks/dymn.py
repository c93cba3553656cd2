"""DyMN nets against the port one would write first, and with the engine torch: from samples to embedding.

    python -m tests.benchmarks.dymn [--threads 1] [--repeats 5] [NAME ...]

That port has batched products for convolutions of 1 by 1, one group for each clip's each channel for depthwise ones,
and every batch norm and activation as a layer; its images are made by this package's front end in torch. hear_edgel3 is
the engine that "auto" takes. Times are interleaved, so that what else the machine does falls on all;
medians of CPU time are printed. Weights are seeded: their values do not matter here.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from hear_edgel3.engine.runner import Runner
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


def compared(port: Run, net: nn.Module, frontend: nn.Module, x: torch.Tensor, repeats: int) -> str:
    """How long a port takes for samples, and our engines, and how far apart their results are, in words."""
    ours, in_torch = Runner("auto"), Runner("torch")
    ready = {"port": port}
    for name, runner in (("torch", in_torch), ("hear_edgel3", ours)):
        ready[name] = partial(runner.ready(net), frontend)
    expected = port(x)
    difference = float((ready["hear_edgel3"](x) - expected).abs().max() / expected.abs().max())
    found = interleaved({name: partial(run, x) for name, run in ready.items()}, repeats)
    times = {key: cpu for key, (cpu, _) in found.items()}
    own = times["hear_edgel3"]
    return (
        f"port {1e3 * times['port']:.1f} ms, engine torch {1e3 * times['torch']:.1f} ms, "
        f"hear_edgel3 ({ours.choose(net).name}) {1e3 * own:.1f} ms, {own / times['port']:.2f} of the port's time "
        f"and {own / times['torch']:.2f} of torch's (relative difference {difference:.1e})"
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
        row = dymn_files.row(name)
        net, frontend = dymn_files.build(**row.net.arguments).eval(), row.frontend.build().eval()
        port = torch.nn.Sequential(frontend, straightforward(net))
        for what, shape in (
            ("1 scene of 10 s", (1, 320_000)),
            ("16 clips of 1 s", (16, 32_000)),
            ("64 windows of 160 ms", (64, 5120)),
            ("1 window of 160 ms", (1, 5120)),
        ):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.1
            print(f"{name}, {what}: {compared(port, net, frontend, x, arguments.repeats)}")


if __name__ == "__main__":
    main()

"""S-SONDO's nets against the port one would write first: time of the whole way from samples to embedding.

    python -m tests.benchmarks.ssondo [--threads 1] [--repeats 5] [NAME ...]

That port makes its images by ``torch.stft`` and a matrix product, and runs the net as it is written, every batch norm
and activation as a layer (of a DyMN see tests/benchmarks/dymn.py). hear_edgel3 is the engine that "auto" takes. Times
are interleaved, so that what else the machine does falls on all; medians of CPU time are printed. Weights are seeded:
their values do not matter here.
"""

from __future__ import annotations

import argparse

import torch

from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.ssondo.frontend import FLOOR, SsondoMelSpectrogram, slaney_mel_bank
from support import ssondo_files
from tests.benchmarks.dymn import compared, straightforward


class Port(torch.nn.Module):
    """The front end as one would write it, and a net."""

    def __init__(self, frontend: SsondoMelSpectrogram, net: torch.nn.Module) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.net = frontend.n_fft, frontend.hop_length, net
        self.hann = torch.hann_window(self.n_fft)
        self.bank = slaney_mel_bank(frontend.n_mels, self.n_fft, frontend.sample_rate, frontend.fmin, frontend.fmax)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """(n, n_samples) to (n, D)."""
        spectrum = torch.stft(samples, self.n_fft, self.hop_length, window=self.hann, center=False, return_complex=True)
        found: torch.Tensor = self.net((self.bank @ spectrum.abs().square() + FLOOR).log())
        return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ssondo_files.GAINS), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    print(
        f"torch {torch.__version__}, {arguments.threads} thread(s), medians of {arguments.repeats} interleaved repeats"
    )
    for name in arguments.names:
        row = ssondo_files.row(name)
        net = row.net.build()
        net.load_state_dict(ssondo_files.state(name))
        net.select(("clf1",))
        net.eval()
        frontend = row.frontend.build().eval()
        port = Port(frontend, straightforward(net) if isinstance(net, DyMN) else net)
        for what, shape in (("1 segment of 10 s", (1, 320_000)), ("64 windows of 160 ms", (64, 5120))):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.1
            print(f"{name}, {what}: {compared(port, net, frontend, x, arguments.repeats)}")


if __name__ == "__main__":
    main()

"""What streaming costs: latency, and time against the same audio embedded as a whole.

    python -m tests.benchmarks.streaming [NAME ...] [--block-ms 20] [--engine auto] [--threads 1] [--seconds 5]
        [--repeats 3]

For every net: the latency that `stream.latency_ms` states, at the rate that the net is fed by default, and CPU time per
second of audio, of timestamp embeddings at the default hop: of the clip as a whole, of its windows one at a time (cut
and converted before), and of the stream. "Around" is the stream with a net that does nothing: checking, converting and
cutting. Repeats are interleaved; medians are printed. Weights are seeded: their values do not matter here.
"""

from __future__ import annotations

import argparse
from typing import Any
from unittest import mock

import torch

from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.registry.names import resolve
from tests.benchmarks.speed import interleaved
from tests.benchmarks.subjects import extractor_of, net_of

_DEFAULT = ("sparse_95", "sea_64", "tiny", "mn10_as")


def measure(name: str, engine: str, seconds: float, block_ms: float, repeats: int) -> tuple[str, ...]:
    """One line of the table."""
    model = extractor_of(name, net_of(name), engine, resolve(name).checkpoint.sample_rate)
    clip = torch.randn(round(model.sample_rate * seconds), generator=torch.Generator().manual_seed(0)) * 0.1
    blocks = torch.split(clip, round(model.sample_rate * block_ms / 1000))
    count = model.timestamp_embeddings(clip[None])[0].shape[1]
    windows = torch.randn(count, 1, model.window, generator=torch.Generator().manual_seed(1)) * 0.1
    nothing = torch.zeros(1, model.timestamp_embedding_size)

    def whole() -> Any:
        return model.timestamp_embeddings(clip[None])[0]

    def one_at_a_time() -> Any:
        return [model.embed_windows(window) for window in windows]

    def streamed() -> Any:
        return list(model.stream(blocks))

    def around() -> Any:
        with mock.patch.object(Extractor, "embed_windows", lambda self, group: nothing.expand(len(group), -1)):
            return list(model.stream(blocks))

    found = torch.stack([embedding for _, embedding in streamed()])
    difference = float((found - whole()[0]).abs().max() / whole().abs().max())
    functions = {f.__name__: f for f in (whole, one_at_a_time, streamed, around)}
    times = [1e3 * cpu / seconds for cpu, _ in interleaved(functions, repeats).values()]
    return (
        name,
        f"{model.sample_rate}",
        f"{model.stream().latency_ms:.1f}",
        *(f"{time:.1f}" for time in times),
        f"{times[2] / times[0]:.1f}",
        f"{difference:.0e}",
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=_DEFAULT, metavar="NAME")
    parser.add_argument("--block-ms", type=float, default=20)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, engine {arguments.engine}, {arguments.threads} thread(s)")
    print(f"CPU milliseconds per second of audio, in blocks of {arguments.block_ms:g} ms\n")
    print("| | Hz | latency (ms) | whole | one window at a time | streamed | around | streamed / whole | difference |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in arguments.names:
        line = measure(name, arguments.engine, arguments.seconds, arguments.block_ms, arguments.repeats)
        print("|", " | ".join(line), "|", flush=True)


if __name__ == "__main__":
    main()

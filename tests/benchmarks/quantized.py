"""What int8 weights cost: bytes, and how far tags and embeddings of your own recordings are from the float net's.

    python -m tests.benchmarks.quantized NAME [--weights FILE] AUDIO ...

NAME is a configuration or a folder that `distill` has made, --weights a file of its float weights (by default found as
`load` does), AUDIO files or folders. Prints a table with a line for each way of storing the weights: as they are, all
of them as float16, int8 as `weights convert --quantize int8` writes them, the same with weights of few values in int8
too, and int8 by plain rounding: a scale per output channel from its largest value, for every weight, and the rest
float16.

Tags are those of whole clips, by the mean over clips: `same top` is how often the most probable class is the same, `in
five` how often the float net's is among the five most probable ones, `cosine` that of all probabilities (and the
smallest), `KL` the mean per class of the binary cross entropy above the float net's own. Embeddings are those of
windows: smallest and mean cosine, and the largest difference beside the largest value.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import hear_edgel3
from hear_edgel3.audio.find import is_audio
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.file import WeightsFile, encode, encode_quantized, read_for
from hear_edgel3.weights.header import INT8, INT8_VERSION, QUANTIZATION_KEY, Quantization
from hear_edgel3.weights.locate import locate
from hear_edgel3.weights.quantized import quantize_state

State = Mapping[str, torch.Tensor]
_TINIEST = 1e-7
_INT8 = Quantization(INT8, INT8_VERSION, None)


@dataclass(frozen=True)
class Heard:
    """What a net makes of some recordings.

    Attributes:
        probabilities: (clips, classes); None if the net has no classes.
        embeddings: (windows of all clips, D).
    """

    probabilities: np.ndarray | None
    embeddings: np.ndarray


def plainly_rounded(state: State) -> dict[str, torch.Tensor]:
    """The simplest way to eight bits, for comparison."""
    rounded = {}
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        rounded[name] = value.half().float()
        if value.ndim > 1:
            scale = value.float().abs().flatten(1).amax(1).clamp_min(1e-7).view(-1, *[1] * (value.ndim - 1)) / 127
            rounded[name] = (value / scale).round() * scale
    return rounded


def ways(file: WeightsFile) -> dict[str, tuple[bytes, int]]:
    """By the name of each way of storing weights: a file with the values that a net gets, and the bytes stored."""
    state, origin = file.tensors, {key: file.provenance[key] for key in file.provenance if key != "tensors_sha256"}
    half = encode({name: v.half() if v.is_floating_point() else v for name, v in state.items()}, origin)
    whole, small = encode(state, origin), encode_quantized(state, origin)
    every = encode(quantize_state(state, fewest=1), {**origin, QUANTIZATION_KEY: _INT8.to_dict()})
    rounded = plainly_rounded(state)
    plain = encode(rounded, origin)
    # A byte for each value of a weight, two for each other and each scale, and as long a header.
    length = int.from_bytes(plain[:8], "little") + 8 + 2 * sum(v.numel() for v in rounded.values() if v.ndim < 2)
    length += sum(v.numel() + 2 * len(v) for v in rounded.values() if v.ndim > 1)
    return {
        "as it is": (whole, len(whole)),
        "float16": (half, len(half)),
        "int8": (small, len(small)),
        "int8, small weights too": (every, len(every)),
        "int8, plain rounding": (plain, length),
    }


def hear(name: str, weights: Path, files: Sequence[Path]) -> Heard:
    """Tags and embeds recordings."""
    extractor = hear_edgel3.load(name, weights)
    embeddings = [hear_edgel3.embed_file(file, extractor).embedding for file in files]
    probabilities = None
    if extractor.configuration.checkpoint.n_classes is not None:
        tagger = hear_edgel3.Tagger(name, weights)
        probabilities = np.stack([tagger.tag_file(file).probabilities.reshape(-1) for file in files])
    return Heard(probabilities, np.concatenate(embeddings).astype(np.float64))


def _cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return np.where(norms > 0, (found * expected).sum(1) / np.maximum(norms, 1e-30), 1.0)


def _cross_entropy(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    found = found.clip(_TINIEST, 1 - _TINIEST)
    return -(expected * np.log(found) + (1 - expected) * np.log1p(-found))


def scores(found: Heard, expected: Heard) -> dict[str, float]:
    """How near one net is to another on the same recordings; see the module for what each figure is."""
    cosines = _cosines(found.embeddings, expected.embeddings)
    values = {
        "embedding_cosine": float(cosines.mean()),
        "least_embedding_cosine": float(cosines.min()),
        "embedding_error": float(np.abs(found.embeddings - expected.embeddings).max()),
        "embedding_peak": float(np.abs(expected.embeddings).max()),
    }
    if found.probabilities is None or expected.probabilities is None:
        return values
    mine, theirs = found.probabilities.astype(np.float64), expected.probabilities.astype(np.float64)
    top = theirs.argmax(1)
    entropy = _cross_entropy(theirs, theirs)
    return {
        "same_top": float((mine.argmax(1) == top).mean()),
        "in_five": float((np.argsort(-mine, axis=1)[:, :5] == top[:, None]).any(axis=1).mean()),
        "tag_cosine": float(_cosines(mine, theirs).mean()),
        "least_tag_cosine": float(_cosines(mine, theirs).min()),
        "kl": float((_cross_entropy(mine, theirs) - entropy).mean()),
        **values,
    }


_COLUMNS: dict[str, Callable[[dict[str, float]], str]] = {
    "same top": lambda s: f"{s['same_top']:.3f}",
    "in five": lambda s: f"{s['in_five']:.3f}",
    "cosine of probabilities (least)": lambda s: f"{s['tag_cosine']:.5f} ({s['least_tag_cosine']:.5f})",
    "KL": lambda s: f"{s['kl']:.2e}",
    "cosine of embeddings (least)": lambda s: f"{s['embedding_cosine']:.6f} ({s['least_embedding_cosine']:.6f})",
    "largest difference": lambda s: f"{s['embedding_error']:.2g} of {s['embedding_peak']:.3g}",
}


def report(name: str, weights: Path | None, files: Sequence[Path]) -> None:
    """Prints the table."""
    row = resolve(name).checkpoint
    path = locate(row, weights)
    file = read_for(row, path)
    if file.quantization is not None and file.quantization.int8:
        raise SystemExit(f"{path} has {file.quantization.in_words} weights; give a file of the float ones (--weights)")
    print(f"\n{name}, {len(files)} recordings:\n")
    expected: Heard | None = None
    with tempfile.TemporaryDirectory() as folder:
        for way, (data, size) in ways(file).items():
            stored = Path(folder) / "weights.safetensors"
            stored.write_bytes(data)
            found = hear(name, stored, files)
            if expected is None:
                expected = found
                columns = [c for c in _COLUMNS if found.probabilities is not None or "embed" in c or "diff" in c]
                print("| stored |", " | ".join(["kB", *columns]), "|")
                print("|---|" + "---|" * (1 + len(columns)))
            found_scores = scores(found, expected)
            print(f"| {way} | {size / 1000:.0f} |", " | ".join(_COLUMNS[c](found_scores) for c in columns), "|")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    files = [f for a in arguments.audio for f in (sorted(a.rglob("*")) if a.is_dir() else [a]) if is_audio(str(f))]
    if not files:
        parser.error("there is no audio in " + ", ".join(map(str, arguments.audio)))
    report(arguments.name, arguments.weights, files)


if __name__ == "__main__":
    main()

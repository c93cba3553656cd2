"""Whether two versions of the package give the same bits: embeddings, timestamps, tags, streams and datasets.

Run it once with each version, then compare; it prints how many of the arrays differ, and exits with 1 if any does::

    git worktree add ../before COMMIT
    cp tests/benchmarks/same_bits.py ../before/tests/benchmarks/
    (cd ../before && PYTHONPATH=. python -m tests.benchmarks.same_bits record /tmp/before.npz)
    PYTHONPATH=. python -m tests.benchmarks.same_bits record /tmp/after.npz
    python -m tests.benchmarks.same_bits compare /tmp/before.npz /tmp/after.npz

Only the documented interface is used, so that it runs on versions whose modules have other names. The nets have seeded
weights; where the authors' own checkpoints are at hand (``--checkpoints FOLDER``), those are recorded too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import hear_edgel3
import hear_edgel3.edgel3

_TESTS = Path(__file__).parents[1]
_EXAMPLE = _TESTS / "data" / "example.flac"
_SEEDED = ("sea_64", "sea_512", "sparse_95", "mn04_as", "mn10_as_hop_15", "mn01_as_b5_11_se4_clf1_max_ch_pool")
_ENGINES = ("torch", "numba", "onnxruntime", "eager")
_TAGGERS = {"tiny": ["tiny"], "mn04_as": ["mn04_as"], "ensemble": ["mn04_as", "mn10_as_hop_15"]}


def record(checkpoints: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of this version of the package, by a name of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "support.write_weights", folder], cwd=_TESTS, check=True)
        weights = {name: Path(folder) for name in _SEEDED}
        for name in ("tiny", *_SEEDED):
            yield from _embeddings(name, weights.get(name), name)
        if checkpoints is not None:
            for name, source in (
                ("sea_64", "edgel3_sea_ust_audio_emb_64.h5.gz"),
                ("mn04_as", "mn04_as_mAP_432.pt"),
            ):
                path = Path(folder) / "real" / f"{name}.safetensors"
                path.parent.mkdir(exist_ok=True)
                command = ["-m", "weights_convert", name, "--source", str(checkpoints / source), "--output", str(path)]
                subprocess.run([sys.executable, *command], check=True, stdout=sys.stderr)
                yield f"real {name}/bytes", np.frombuffer(path.read_bytes(), np.uint8)
                yield from _embeddings(name, path, f"real {name}")
        for title, names in _TAGGERS.items():
            yield from _tags(title, names, None if names == ["tiny"] else Path(folder))
        yield from _datasets(Path(folder))
        embedding, timestamps = hear_edgel3.edgel3.get_embedding(
            _noise(2, 44100)[0].numpy(), 44100, model=hear_edgel3.load("sea_64", Path(folder))
        )
        yield "edgel3/embedding", embedding
        yield "edgel3/timestamps", timestamps


def _noise(seconds: float, rate: int, clips: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rate)
    t = torch.arange(round(seconds * rate)) / rate
    tone = 0.3 * torch.sin(2 * torch.pi * (200 + 900 * t) * t)
    return tone + 0.1 * torch.randn(clips, len(t), generator=generator)


def _embeddings(name: str, weights: Path | None, title: str) -> Iterator[tuple[str, np.ndarray]]:
    for engine in _ENGINES:
        try:
            extractor = hear_edgel3.load(name, weights, engine=engine)
            extractor.engine  # noqa: B018 (that it can run this net)
        except hear_edgel3.HearEdgeL3Error:
            continue
        audio = _noise(1.7, extractor.sample_rate, clips=2)
        for hop in (None, 137.3):
            found = extractor.timestamp_embeddings(audio, hop)
            for what, value in zip(("embeddings", "timestamps"), found, strict=True):
                yield f"{title}/{engine}/{what}/{hop}", value.numpy()
        yield f"{title}/{engine}/scene", extractor.scene_embeddings(audio).numpy()
    extractor = hear_edgel3.load(name, weights)
    yield f"{title}/long scene", extractor.scene_embeddings(_noise(13, extractor.sample_rate)).numpy()
    clip = hear_edgel3.embed_file(_EXAMPLE, extractor)
    yield f"{title}/file", clip.embedding
    yield f"{title}/file timestamps", clip.timestamps
    if not name.startswith(("tiny", "mn")):  # whose timestamps are always centred
        clip = hear_edgel3.embed_file(_EXAMPLE, extractor, hop_size=0.29, center=False)
        yield f"{title}/file not centred", clip.embedding
    for rate in (extractor.net_sample_rate, 44100):
        audio = _noise(2.3, rate)[0]
        moments = list(extractor.stream(torch.split(audio, 977), sample_rate=rate, hop_ms=90))
        yield f"{title}/stream {rate}", torch.stack([moment.embedding for moment in moments]).numpy()
        yield f"{title}/stream {rate} timestamps", np.array([moment.timestamp_ms for moment in moments])
    windows = _noise(1, extractor.net_sample_rate, clips=3)
    yield f"{title}/forward", extractor(windows).detach().numpy()


def _tags(title: str, names: list[str], weights: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    tagger = hear_edgel3.Tagger(names, weights)
    for window, hop in ((None, None), (1.0, None), (0.5, 0.8)):
        tags = tagger.tag_file(_EXAMPLE, window, hop)
        yield f"tags {title}/{window}/logits", tags.logits
        yield f"tags {title}/{window}/starts", tags.starts
    long = tagger.tag_samples(_noise(70, 16000)[0].numpy(), 16000)
    yield f"tags {title}/long", long.logits
    found = list(tagger.stream(torch.split(_noise(3.3, 48000)[0], 1311), sample_rate=48000, window=1.0))
    yield f"tags {title}/stream", np.stack([window.logits for window in found])
    yield f"tags {title}/stream times", np.array([(window.start_ms, window.end_ms) for window in found])


def _datasets(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    import pyarrow.parquet
    import soundfile

    audio = folder / "audio"
    audio.mkdir()
    for i, (seconds, rate) in enumerate(((0.4, 8000), (1.0, 16000), (3.0, 44100), (12.0, 32000), (1.3, 48000))):
        soundfile.write(audio / f"{i}.flac", _noise(seconds, rate)[0].numpy().astype(np.float64), rate)
    for name, options in (("tiny", {}), ("sea_64", {"weights": folder}), ("tiny", {"timestamps": True, "hop_ms": 70})):
        output = folder / f"dataset {name} {len(options)}"
        hear_edgel3.extract([audio], output, name, workers=1, **options)  # type: ignore[arg-type]
        table = pyarrow.parquet.read_table(output, columns=["file", "timestamp_ms", "embedding"]).sort_by(
            [("file", "ascending"), ("timestamp_ms", "ascending")]
        )
        yield f"{output.name}/embedding", np.stack(table.column("embedding").to_pylist()).astype(np.float32)


def compare(before: Path, after: Path) -> int:
    """Prints what differs and returns how many arrays do."""
    with np.load(before) as old, np.load(after) as new:
        different = 0
        for name in sorted({*old.files, *new.files}):
            if name not in old.files or name not in new.files:
                print(f"{name}: only {'after' if name in new.files else 'before'}")
            elif old[name].dtype != new[name].dtype or old[name].tobytes() != new[name].tobytes():
                largest = np.abs(old[name] - new[name]).max() if old[name].shape == new[name].shape else "shapes"
                print(f"{name}: differs ({largest})")
            else:
                continue
            different += 1
        print(f"{different} differences in {len(old.files)} arrays")
    return different


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("output", type=Path)
    recording.add_argument("--checkpoints", type=Path, help="folder with the authors' files")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "compare":
        return min(1, compare(arguments.before, arguments.after))
    torch.set_num_threads(1)
    found = dict(record(arguments.checkpoints))
    np.savez(arguments.output, **found)
    print(f"{len(found)} arrays of {Path(hear_edgel3.__file__).parent} in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

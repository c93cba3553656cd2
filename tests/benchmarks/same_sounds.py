"""What cosine tells best which sounds are alike, measured on your own clips: plain, centred, or as the search takes it.

    python -m tests.benchmarks.same_sounds FOLDER [--configs tiny mn04_as] [--clips 2400] [--copies 200]

Folders inside FOLDER (with at least 8 clips; 24 of each count, and their first 15 seconds) stand for kinds of sound.
`precision@10` is how many of the ten nearest clips are from a clip's own folder. `alike by chance` is the similarity
that 1 % of the clips reach with a clip of another folder; the columns after it say how many altered copies are more
like their original than that. The last lines say for thresholds how many copies `hear-edgel3 duplicates` finds, and how
many clips have one in another folder that is no copy as far as this program knows.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.find import AUDIO_SUFFIXES
from hear_edgel3.audio.resample import resample
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import scene_framing
from hear_edgel3.extractor.window_net import embed_blocks, mean_embedding
from hear_edgel3.search.neighbours import unit
from hear_edgel3.search.whitening import Whitening

_SECONDS = 15
_PER_FOLDER = (8, 24)
_THRESHOLDS = (0.85, 0.9, 0.95, 0.98)


def encoded(audio: np.ndarray, rate: int, container: str, codec: str, compression: float) -> tuple[np.ndarray, int]:
    """A clip after a lossy codec."""
    memory = io.BytesIO()
    soundfile.write(memory, audio, rate, format=container, subtype=codec, compression_level=compression)
    memory.seek(0)
    return soundfile.read(memory, dtype="float32")


ALTERED: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, int]]] = {
    "6 dB softer": lambda audio, rate: (audio / 2, rate),
    "Vorbis": lambda audio, rate: encoded(audio, rate, "OGG", "VORBIS", 0.9),
    "MP3": lambda audio, rate: encoded(audio, rate, "MP3", "MPEG_LAYER_III", 0.8),
    "5 % cut off": lambda audio, rate: (audio[len(audio) // 20 :], rate),
    "16 kHz": lambda audio, rate: (resample(torch.from_numpy(audio)[None], rate, 16000)[0].numpy(), 16000),
}


@dataclass
class Embedded:
    """Clips and altered copies of some.

    Attributes:
        clips: (n, D).
        folders: (n,) numbers of their folders.
        copies: by alteration, (m,) numbers of clips and (m, D).
    """

    clips: np.ndarray
    folders: np.ndarray
    copies: dict[str, tuple[np.ndarray, np.ndarray]]


def read_clips(root: Path, n: int) -> Iterator[tuple[int, np.ndarray, int]]:
    """Folder's number, mono samples and rate of up to n clips that are not silent, in random order."""
    random = np.random.RandomState(0)
    chosen = []
    for number, folder in enumerate(sorted({p.parent for p in root.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES})):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES)
        if len(files) >= _PER_FOLDER[0]:
            chosen += [(number, files[i]) for i in random.permutation(len(files))[: _PER_FOLDER[1]]]
    for i in random.permutation(len(chosen))[:n]:
        number, file = chosen[i]
        try:
            with soundfile.SoundFile(file) as opened:
                audio = opened.read(_SECONDS * opened.samplerate, dtype="float32", always_2d=True).mean(axis=1)
                rate = opened.samplerate
        except soundfile.LibsndfileError:
            continue
        if rate >= 8000 and len(audio) > 0.3 * rate and np.abs(audio).max() > 1e-3:
            yield number, audio, rate


def embed(extractor: Extractor, root: Path, n_clips: int, n_copies: int) -> Embedded:
    """Embeds clips, and altered copies of the first of them."""

    def scene(audio: np.ndarray, rate: int) -> np.ndarray:
        path = extractor.window_path(scene_framing(extractor.configuration), rate)
        return mean_embedding(*embed_blocks([extractor], [torch.from_numpy(np.ascontiguousarray(audio))], path))

    clips, folders = [], []
    copies: dict[str, list[tuple[int, np.ndarray]]] = {name: [] for name in ALTERED}
    for number, (folder, audio, rate) in enumerate(read_clips(root, n_clips)):
        clips.append(scene(audio, rate))
        folders.append(folder)
        if number >= n_copies:
            continue
        for name, alter in ALTERED.items():
            try:
                copies[name].append((number, scene(*alter(audio, rate))))
            except soundfile.LibsndfileError:  # a rate that the codec does not know
                continue
    stacked = {name: (np.array([i for i, _ in c]), np.array([v for _, v in c])) for name, c in copies.items() if c}
    return Embedded(np.array(clips), np.array(folders), stacked)


def report(name: str, embedded: Embedded) -> None:
    """Prints the table of one net."""
    clips, folders = embedded.clips, embedded.folders
    whitening = Whitening.fit([clips], clips.shape[1], len(clips))
    mean = clips.mean(axis=0)
    kinds = {"plain": unit, "centred": lambda vectors: unit(vectors - mean), "the search's": whitening.apply}
    print(f"\n{name}, {len(clips)} clips:\n")
    print("| cosine | precision@10 | alike by chance |", " | ".join(embedded.copies), "|")
    print("|---|---|---|" + "---|" * len(embedded.copies))
    for kind, place in kinds.items():
        placed = place(clips)
        similarities = placed @ placed.T
        np.fill_diagonal(similarities, -1)
        near = np.argsort(-similarities, axis=1)[:, :10]
        precision = (folders[near] == folders[:, None]).mean()
        elsewhere = np.where(folders[:, None] == folders, -1, similarities).max(axis=1)
        chance = np.quantile(elsewhere, 0.99)
        like = {k: (place(v) * placed[i]).sum(axis=1) for k, (i, v) in embedded.copies.items()}
        cells = " | ".join(f"{(s > chance).mean():.2f}" for s in like.values())
        print(f"| {kind} | {precision:.3f} | {chance:.3f} | {cells} |")
    for threshold in _THRESHOLDS:  # of the last, the search's
        cells = " | ".join(f"{(s >= threshold).mean():.2f}" for s in like.values())
        print(f"| above {threshold}: {(elsewhere >= threshold).mean():.2%} of clips by chance | | | {cells} |")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configs", nargs="+", default=["tiny"])
    parser.add_argument("--clips", type=int, default=2400)
    parser.add_argument("--copies", type=int, default=200)
    arguments = parser.parse_args()
    for name in arguments.configs:
        report(name, embed(hear_edgel3.load(name), arguments.folder, arguments.clips, arguments.copies))


if __name__ == "__main__":
    main()

"""The parts of distillation: clips, examples, batches and the learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from hear_edgel3.distillation import batches as batches_of
from hear_edgel3.distillation import corpus, examples, measuring
from hear_edgel3.distillation.corpus import find_corpus
from hear_edgel3.distillation.loss import DistillationLoss
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.target_scale import make_target_scale
from hear_edgel3.errors import InvalidAudio, InvalidOption
from hear_edgel3.training.schedule import cosine
from support import signals
from support.distilling import N_FILES


def test_which_clips(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many per file, evenly spread; other files held out; the same ones every time."""
    monkeypatch.setattr(corpus, "MINIMUM_SECONDS", 40.0)
    found = find_corpus([str(audio)], Recipe(lengths=(0.5, 2.0), clips_per_file=3, validation=0.25))
    assert found.n_files == N_FILES
    assert found.seconds == 2 * 3 * N_FILES
    held_out, learnt = ({clip.path for clip in part} for part in (found.validation, found.train))
    assert len(held_out) == 2
    assert not held_out & learnt
    assert held_out | learnt == set(audio.rglob("*.wav"))
    for path in learnt:
        assert sorted(clip.start for clip in found.train if clip.path == path) == [0.0, 3.0, 6.0]
    assert {clip.seconds for clip in found.train} == {2.0}
    assert [clip.path for clip in found.train] != sorted(clip.path for clip in found.train)  # in random order
    again = find_corpus([str(audio)], Recipe(lengths=(0.5, 2.0), clips_per_file=3, validation=0.25))
    assert again == found
    other = find_corpus([str(audio)], Recipe(lengths=(0.5, 2.0), clips_per_file=3, validation=0.25, seed=1))
    assert other != found
    # a little too long: from the middle; too short for a whole clip: all of it; next to nothing: none
    for i, seconds in enumerate((15.0, 15.0, 15.0, 19.0, 7.0, 0.04)):
        soundfile.write(tmp_path / f"{i}.wav", signals.clip(seconds, 8000), 8000)
    middle = find_corpus([str(tmp_path)], Recipe(validation=0.01))
    places = {clip.path.name: (clip.start, clip.seconds) for clip in (*middle.train, *middle.validation)}
    assert places == {**{f"{i}.wav": (2.5, 10.0) for i in range(3)}, "3.wav": (4.5, 10.0), "4.wav": (0.0, 7.0)}
    assert len({clip.path for clip in middle.validation}) == 1  # there is always one


def shard(path: Path, clips_of: dict[int, int], generator: torch.Generator) -> Path:
    """A file of examples of some lengths in milliseconds, one clip each, with seven values and four classes."""
    from safetensors.torch import save_file

    tensors = {"places": torch.zeros(0, 4, dtype=torch.int64)}
    for length, n in clips_of.items():
        first = len(tensors["places"])
        places = torch.tensor([[first + i, 0, length, i] for i in range(n)], dtype=torch.int64).reshape(-1, 4)
        tensors["places"] = torch.cat([tensors["places"], places])
        tensors[f"{length}.inputs"] = torch.randn(n, 11, 2, generator=generator)
        tensors[f"{length}.embedding"] = torch.randn(n, 7, generator=generator) * 5 + 1
        tensors[f"{length}.logits"] = torch.randn(n, 4, generator=generator)
    save_file(tensors, path)
    return path


class Inputs(torch.nn.Module):
    """A net whose outputs stand in its input."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, :, 0]


def test_what_is_measured(tmp_path: Path) -> None:
    """Against the definitions, computed in one piece from all clips, in batches of any size."""
    generator = torch.Generator().manual_seed(0)
    parts = {1000: 9, 10000: 5}
    found = examples.Examples([shard(tmp_path / "0.safetensors", parts, generator)])
    space = make_target_scale(found.embeddings(), None)
    loss_of = DistillationLoss(space, True, 3.0, torch.device("cpu"))
    batches = [found.read([c[0] for c in found.clips if c[0].length == length / 1000]) for length in parts]
    outputs = torch.cat([batch.inputs[:, :, 0] for batch in batches])
    wanted = space.targets(torch.cat([batch.embedding for batch in batches]))
    logits = torch.cat([batch.logits for batch in batches if batch.logits is not None])
    error = float((outputs[:, :7] - wanted).square().mean())
    same = (outputs[:, 7:].argmax(dim=1) == logits.argmax(dim=1)).double()
    p, q = logits.double().sigmoid(), outputs[:, 7:].double().sigmoid()
    entropy = -(p * q.log() + (1 - p) * (1 - q).log()).mean()
    own = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    # of four classes, all are among the five
    expected = {
        "validation_loss": error + 3.0 * float(entropy),
        "validation_embedding_loss": error,
        "validation_logits_loss": float(entropy),
        "r2": 1 - error / float((wanted - wanted.mean(dim=0)).square().mean()),
        "cosine": float(torch.nn.functional.cosine_similarity(outputs[:, :7], wanted).mean()),
        "top1_agreement": float(same.mean()),
        "top1_agreement_10s": float(same[9:].mean()),
        "top1_in_five": 1.0,
        "probability_cosine": float(((p * q).sum(dim=1) / (p.norm(dim=1) * q.norm(dim=1))).mean()),
        "kl": float(entropy - own),
    }
    assert 0 < expected["top1_agreement"] != expected["top1_agreement_10s"]
    for seconds in (2.0, 20.0, 1000.0):
        measured = measuring.measure(Inputs(), loss_of, found, seconds, torch.device("cpu"))
        assert measured == pytest.approx(expected, rel=1e-5)  # of float32 sums in another order
    assert found.mean_probabilities() is not None
    torch.testing.assert_close(found.mean_probabilities(), logits.double().sigmoid().mean(dim=0))
    # what cannot be said of one clip, or without classes, is not there
    alone = examples.Examples([shard(tmp_path / "1.safetensors", {1000: 1}, generator)])
    bare = DistillationLoss(space, False, 3.0, torch.device("cpu"))
    measured = measuring.measure(Inputs(), bare, alone, 2.0, torch.device("cpu"))
    assert measured.keys() == {"validation_loss", "validation_embedding_loss", "validation_logits_loss", "cosine"}


@pytest.mark.parametrize(("n", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [2, 8, 8]), (5, [5]), (2, [2])])
def test_batches(n: int, sizes: list[int]) -> None:
    """Of one length each, none of a single example; all examples once, in random order."""
    some = [examples.Example(length, Path("0"), row) for length in (1.0, 4.0) for row in range(n)]
    found = batches_of.make_batches(some, 8.0, torch.Generator().manual_seed(0), smallest=2)
    assert all(len({example.length for example in batch}) == 1 for batch in found)
    assert sorted(len(batch) for batch in found if batch[0].length == 1.0) == sizes
    if n > 1:
        assert sorted((e.length, e.row) for batch in found for e in batch) == [(e.length, e.row) for e in some]
    assert found == batches_of.make_batches(some, 8.0, torch.Generator().manual_seed(0), smallest=2)
    if n > 4:
        assert found != batches_of.make_batches(some, 8.0, torch.Generator().manual_seed(1), smallest=2)


def test_a_length_of_which_there_is_one_clip_makes_no_batch() -> None:
    """An epoch that trains nothing would be said to have a loss of 0."""
    some = [examples.Example(length, Path("0"), 0) for length in (1.0, 4.0, 10.0)]
    with pytest.raises(InvalidAudio, match=r"no 2 of the 3 clips .* have the same length \(1 s, 4 s, 10 s\)"):
        batches_of.make_batches(some, 8.0, torch.Generator().manual_seed(0), smallest=2)


@pytest.mark.parametrize("processes", [2, 3, 4, 8])
@pytest.mark.parametrize("n", [16, 17, 64])
def test_every_process_has_as_many_batches(n: int, processes: int) -> None:
    """A process without one would leave, and the others wait for it for ever."""
    some = [examples.Example(1.0, Path("0"), row) for row in range(n)]
    for batch_seconds in (4.0, 160.0):
        batches = batches_of.make_batches(some, batch_seconds, torch.Generator().manual_seed(0), 2, processes)
        shares = [len(batches[i::processes]) for i in range(processes)]
        assert len(set(shares)) == 1
        assert shares[0] > 0
        assert min(map(len, batches)) >= 2
    # nothing is lost where one batch is cut for all
    assert sorted(example.row for batch in batches for example in batch) == list(range(n))


def test_more_processes_than_there_can_be_batches() -> None:
    some = [examples.Example(1.0, Path("0"), row) for row in range(7)]
    assert len(batches_of.make_batches(some, 160.0, torch.Generator().manual_seed(0), 2, 3)) == 3
    with pytest.raises(InvalidOption, match=r"7 clips make \d batches of at least 2, fewer than the 4 processes"):
        batches_of.make_batches(some, 160.0, torch.Generator().manual_seed(0), 2, 4)


def test_the_learning_rate() -> None:
    """A line up, a cosine down; never nothing at all."""
    steps = [cosine(i / 1000, 0.1) for i in range(1001)]
    assert steps[0] == steps[-1] == pytest.approx(1e-3)
    assert steps[50] == pytest.approx(0.5)
    assert max(steps) == steps[100] == pytest.approx(1 + 1e-3)
    assert steps[550] == pytest.approx(0.5 + 1e-3)
    assert steps == [*sorted(steps[:101]), *sorted(steps[101:], reverse=True)]
    assert cosine(0.0, 0.0) == pytest.approx(1 + 1e-3)

"""Broad augmentation: what the teacher is asked about, and that it goes on as the usual one does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.distillation import examples
from hear_edgel3.distillation.broad import BroadClips
from hear_edgel3.errors import MissingExtra
from hear_edgel3.training.sounds import make_sounds
from support.distilling import TWO_AND_TWO, Distill, interrupting, leftovers, shards, table, without_times

BROAD: dict[str, Any] = {"augmentation": "broad", "views": 3, **TWO_AND_TWO}


@pytest.fixture(scope="module")
def broad(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distill(tmp_path_factory.mktemp("out") / "broad", cache=None, **BROAD)


def test_a_student_learns_from_broad_clips(broad: Path) -> None:
    assert len(table(broad)) == 4
    assert all(np.isfinite(list(row.values())).all() for row in table(broad))
    kept = [path for path in shards(broad) if path.parent.name.startswith("sounds-")]
    assert len(kept) == 1  # decoded once


def test_it_hears_what_the_teacher_hears(
    distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broad: Path
) -> None:
    """The very samples: of the first variant the clip, of the others the broad clips of their numbers."""
    asked: list[torch.Tensor] = []
    ask = examples._Maker._ask

    def watched(self: Any, variants: Any, length: float) -> dict[str, torch.Tensor]:
        found = ask(self, variants, length)
        asked.extend(variants)
        teacher = self._teacher.ask(torch.stack(list(variants)), windows=False)
        # the answers are stored in 16-bit floats; the batch is another one
        torch.testing.assert_close(found["logits"].float(), teacher.logits, rtol=1e-2, atol=1e-2)
        inputs = self._student.frontend(torch.stack(list(variants)))
        torch.testing.assert_close(found["inputs"].float(), inputs, rtol=1e-2, atol=1e-2)
        return found

    monkeypatch.setattr(examples._Maker, "_ask", watched)
    clips: list[Any] = []
    make = examples.make_examples
    monkeypatch.setattr(
        "hear_edgel3.distillation.run.make_examples", lambda part, *a: clips.append(part) or make(part, *a)
    )
    distill(tmp_path / "out", cache=None, **{**BROAD, "epochs": 1})
    train = clips[-1]
    sounds = make_sounds(train, tmp_path / "cache", 32000, quiet=True)
    expected = BroadClips(sounds, 32000, 1.0, 0)
    for i, variants in enumerate(np.array_split(np.arange(3 * len(train)), len(train))):
        first, *others = (asked[-3 * len(train) + int(n)] for n in variants)
        np.testing.assert_array_equal(first.numpy(), sounds.read(i))
        for view, other in enumerate(others, 1):
            np.testing.assert_array_equal(other.numpy(), expected.clip(3 * i + view))


def test_it_goes_on(broad: Path, distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between shards, and while it trains."""
    output = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(examples._Maker, "shard", interrupting(examples._Maker.shard, 1))
        with pytest.raises(KeyboardInterrupt):
            distill(output, cache=None, **BROAD)
    assert leftovers(output) == []
    before = shards(output)
    distill(output, cache=None, **BROAD)
    assert {path: shards(output)[path] for path in before} == before
    assert without_times(output) == without_times(broad)


def test_windows_hear_broad_clips_too(distill: Distill, tmp_path: Path) -> None:
    output = distill(tmp_path / "out", "sea_64", student="l3", cache=None, augmentation="broad", views=2, epochs=1)
    assert np.isfinite(table(output)[0]["train_loss"])


def test_without_scipy(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is made."""
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"broad augmentation needs the package 'scipy'.*\[distill\]"):
        distill(tmp_path / "out", **BROAD)
    assert not (tmp_path / "out").exists()

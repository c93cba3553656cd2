"""Sources that are held out as wholes, and what is measured on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.cli import main
from hear_edgel3.distillation import corpus as corpora
from hear_edgel3.distillation import training
from hear_edgel3.distillation.corpus import find_corpus
from hear_edgel3.distillation.curves import draw_curves
from hear_edgel3.distillation.held_out import Size, choose_sources
from hear_edgel3.distillation.measuring import agreement
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.errors import InvalidAudio, InvalidOption
from support.distilling import L3, NAN, RATE, Distill, coloured_noise, table

LEAST = Size(4, 60.0)


def sizes(n: int, seconds: float = 100.0) -> dict[str, Size]:
    return {f"source{i:02}": Size(10, seconds) for i in range(n)}


def test_some_are_held_out_where_there_are_enough() -> None:
    for n, wanted in ((8, 1), (14, 2), (40, 4), (100, 10)):  # 15 % of the audio of 8 are one
        choice = choose_sources(sizes(n), None, 0, LEAST)
        assert len(choice.names) == wanted
        assert choice.note == f"held out of {n} sources: {', '.join(choice.names)}"
        assert choice == choose_sources(sizes(n), None, 0, LEAST)
    assert len({choose_sources(sizes(40), None, seed, LEAST).names for seed in range(10)}) > 5
    few = choose_sources(sizes(7), None, 0, LEAST)
    assert few.names == ()
    assert few.note.startswith("validation is by file alone: 7 sources (folders below the inputs) of the 8")
    assert choose_sources(sizes(100), 0.0, 0, LEAST) == ((), "")


def test_never_so_much_that_too_little_is_left() -> None:
    """Large sources are passed over, unless somebody wants them."""
    uneven = {**sizes(9, 10.0), "huge": Size(500, 1000.0)}
    for seed in range(20):
        choice = choose_sources(uneven, None, seed, LEAST)
        assert len(choice.names) == 2
        assert "huge" not in choice.names
        assert "huge" not in choose_sources({**sizes(9, 1.0), "huge": Size(3, 60.0)}, 0.5, seed, Size(4, 60.0)).names
    choice = choose_sources({f"s{i}": Size(1, 7.0) for i in range(9)}, None, 0, LEAST)
    assert choice == ((), "validation is by file alone: without any one source there is too little to learn from")
    with pytest.raises(InvalidAudio, match="without huge clips of 40 s in 20 files are left to distill from; at least"):
        choose_sources({"a": Size(10, 20.0), "b": Size(10, 20.0), "huge": Size(50, 500.0)}, ("huge",), 0, LEAST)
    with pytest.raises(InvalidAudio, match="are left to distill from"):
        choose_sources(sizes(2, 31.0), 0.5, 0, LEAST)


def test_by_name_or_fraction() -> None:
    choice = choose_sources(sizes(5), ("source03", "source01"), 0, LEAST)
    assert choice == (("source01", "source03"), "")
    assert len(choose_sources(sizes(10), 0.3, 0, LEAST).names) == 3
    assert len(choose_sources(sizes(10), 0.01, 0, LEAST).names) == 1
    with pytest.raises(InvalidOption, match="there is no source 'birds' with audio; there are source00, source01, sou"):
        choose_sources(sizes(3), ("source00", "birds"), 0, LEAST)
    with pytest.raises(InvalidOption, match="source29 and 70 more"):
        choose_sources(sizes(100), ("birds",), 0, LEAST)


def test_options_are_plain_values() -> None:
    assert Recipe(hold_out_sources=["a", "b"]).to_dict()["hold_out_sources"] == ["a", "b"]  # type: ignore[arg-type]
    assert Recipe(**json.loads(json.dumps(Recipe(hold_out_sources=("a",)).to_dict()))).hold_out_sources == ("a",)
    assert Recipe(hold_out_sources=0.2).to_dict()["hold_out_sources"] == 0.2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten sources of two files, of four seconds each; other sources, other sounds."""
    folder = tmp_path_factory.mktemp("folders")
    for source in range(10):
        (folder / f"s{source}" / "inside").mkdir(parents=True)
        for i in range(2):
            sound = np.concatenate([coloured_noise(1000 * source + 10 * i + k) for k in range(4)])
            soundfile.write(folder / f"s{source}" / ("inside" if i else "") / f"{i}.wav", sound, RATE)
    return folder


def test_which_clips(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"lengths": (1.0,), "clips_per_file": 4}
    found = find_corpus([str(folders)], Recipe(**options))
    assert len(found.held_out) == 1  # two are more than 15 %
    assert {clip.source for clip in found.by_source} == set(found.held_out)
    assert len(found.by_source) == 8
    rest = {clip.source for clip in (*found.train, *found.validation)}
    assert rest == {f"s{i}" for i in range(10)} - set(found.held_out)
    assert not {clip.path for clip in found.train} & {clip.path for clip in found.validation}
    assert (found.n_files, found.n_sources, found.seconds) == (20, 10, 80.0)
    # none: as if there were no sources
    bare = find_corpus([str(folders)], Recipe(hold_out_sources=0.0, **options))
    assert bare.by_source == bare.held_out == ()
    assert len(bare.train) + len(bare.validation) == 80
    named = find_corpus([str(folders)], Recipe(hold_out_sources=("s2", "s7"), **options))
    assert named.held_out == ("s2", "s7")
    assert len(named.by_source) == 16
    assert named.note == ""
    monkeypatch.setattr(corpora, "_MOST_OF_A_SOURCE", 3)
    few = find_corpus([str(folders)], Recipe(hold_out_sources=("s2", "s7"), **options))
    assert len(few.by_source) == 6
    assert few.train == named.train
    assert few == find_corpus([str(folders)], Recipe(hold_out_sources=("s2", "s7"), **options))


def test_agreement() -> None:
    """Of ten classes, of which five are looked at."""
    wanted = torch.zeros(3, 10)
    wanted[:, 0] = 5.0
    logits = torch.arange(10.0).repeat(3, 1)
    logits[1, 0] = 4.5  # behind 9, 8, 7, 6 and 5: the sixth
    logits[2, 0] = 20.0
    found = agreement(logits, wanted)
    assert found["top1_agreement"].tolist() == [0, 0, 1]
    assert found["top1_in_five"].tolist() == [0, 0, 1]
    logits[1, 0] = 5.5
    assert agreement(logits, wanted)["top1_in_five"].tolist() == [0, 1, 1]
    same = agreement(wanted, wanted)
    torch.testing.assert_close(same["kl"], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(same["probability_cosine"], torch.ones(3, dtype=torch.float64))
    assert (found["kl"] > 0).all()
    # probabilities of next to nothing do not become none
    assert torch.isfinite(agreement(torch.full((1, 10), -200.0), torch.full((1, 10), 200.0))["kl"]).all()


def test_a_student_is_measured_by_source_too(folders: Path, distill: Distill, tmp_path: Path) -> None:
    """In the table, the description and the card, beside the figures by file and those of a guess."""
    output = distill(tmp_path / "out", audio=[folders], epochs=2, clips_per_file=4, hold_out_sources=0.2, curves=True)
    rows = table(output)
    figures = ["validation_loss", "r2", "cosine", "top1_agreement", "top1_in_five", "probability_cosine", "kl"]
    guessed = figures[3:]
    for row in rows:
        assert {f"{prefix}{name}" for name in figures for prefix in ("", "source_")} <= row.keys()
        assert {f"{prefix}guess_{name}" for name in guessed for prefix in ("", "source_")} <= row.keys()
        assert row["source_validation_loss"] != row["validation_loss"]
        assert {k: v for k, v in row.items() if "guess" in k} == {k: v for k, v in rows[0].items() if "guess" in k}
        for name in ("top1_agreement", "top1_in_five"):
            assert 0 <= row[f"source_guess_{name}"] <= 1
        assert row["guess_kl"] > 0
    made = json.loads((output / "configuration.json").read_text())["made"]
    assert made["sources"] == 10
    assert len(made["held_out_sources"]) == 2
    assert made["recipe"]["hold_out_sources"] == 0.2
    assert made["scores"].keys() == {key for key in rows[0] if not key.startswith(("epoch", "seconds", "lr", "train_"))}
    card = (output / "README.md").read_text()
    assert f"and 2 of 10 sources as wholes ({', '.join(made['held_out_sources'])})" in card
    assert "| held-out files | a constant guess there | held-out sources | a constant guess there |" in card
    row = next(line for line in card.splitlines() if line.startswith("| top1_in_five |"))
    values = [made["scores"][f"{n}top1_in_five"] for n in ("", "guess_", "source_", "source_guess_")]
    assert row == f"| {' | '.join(['top1_in_five', *(f'{value:.4g}' for value in values)])} |"
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_epoch_is_that_of_the_sources(
    folders: Path, distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the loss on files says; training stops by it too, and goes on by it."""
    measure = training.measure
    by_file, by_source = iter([5.0, 4.0, 3.0, 2.0, 1.0]), iter([5.0, 3.0, 1.0, 2.0, NAN])
    clips_of_sources = 16

    def measured(net: Any, loss_of: Any, examples: Any, *arguments: Any) -> dict[str, float]:
        losses = by_source if len(examples.clips) == clips_of_sources else by_file
        return {**measure(net, loss_of, examples, *arguments), "validation_loss": next(losses)}

    monkeypatch.setattr(training, "measure", measured)
    options = {**L3, "epochs": 20, "fix_norm": 0.05, "patience": 2, "clips_per_file": 4, "audio": [folders]}
    output = distill(tmp_path / "out", hold_out_sources=0.2, **options)
    made = json.loads((output / "configuration.json").read_text())["made"]
    assert (made["epochs"], made["best_epoch"]) == (5, 3)


def test_what_the_command_says(
    folders: Path, weights_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--device", "cpu"]
    arguments += "--student l3 --views 1 --width 0.05 --clips-per-file 4 --epochs 1".split()
    assert main([*arguments, "--audio", str(folders), "--output", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().err
    assert "hear-edgel3: held out of 10 sources: s" in said
    epoch = next(line for line in said.replace("\r", "\n").splitlines() if line.startswith("epoch 1/1,"))
    assert epoch.count("validation_loss ") == epoch.count("r2 ") == 2
    assert "; by source: validation_loss " in epoch
    plain = [*arguments, "--audio", str(folders), "--hold-out-sources", "s1,s8", "--output", str(tmp_path / "b")]
    assert main(plain) == 0
    assert "held out of" not in capsys.readouterr().err
    assert json.loads((tmp_path / "b" / "configuration.json").read_text())["made"]["held_out_sources"] == ["s1", "s8"]
    wrong = [*arguments, "--audio", str(folders), "--hold-out-sources", "s1,cats", "--output", str(tmp_path / "c")]
    assert main(wrong) == 2
    assert "there is no source 'cats' with audio; there are s0, s1, s2" in capsys.readouterr().err


def test_curves_without_sources() -> None:
    """A panel less; and figures of a guess are lines, not curves."""
    row = {"epoch": 1.0, "train_loss": 1.0, "validation_loss": 1.1, "r2": 0.1, "cosine": 0.2}
    assert draw_curves([row]) is not None
    more = {**row, "top1_agreement": 0.4, "guess_top1_agreement": 0.3}
    wide = {**more, **{f"source_{key}": value for key, value in more.items()}, "source_guess_top1_agreement": 0.1}
    pictures = [draw_curves([some]) for some in (more, wide)]
    assert None not in pictures
    widths = [int.from_bytes(picture[16:20], "big") for picture in pictures if picture]
    assert widths == [900, 1350]

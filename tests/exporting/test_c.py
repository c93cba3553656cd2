"""Libraries in C: what they compute, for which nets, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import ComputationError, ConfigurationError, InvalidOption, OutputError
from hear_edgel3.exporting import c as target
from hear_edgel3.exporting import int8
from hear_edgel3.exporting.c_code import prefix_of
from hear_edgel3.exporting.c_constants import comment, string
from hear_edgel3.exporting.folders import CARD
from hear_edgel3.exporting.program import Program
from hear_edgel3.exporting.run import Exported, export
from support import signals
from support.compiling import compiled, needed, run
from support.detectors import CLASSES, write_detector
from support.libraries import memory_of, program

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")


def tones(rate: int, n_samples: int) -> np.ndarray:
    """Pure tones, silence, a click and noise."""
    t = np.arange(n_samples) / rate
    clips = [0.9 * np.sin(2 * np.pi * share * rate * t) for share in (0.005, 0.125, 0.25)]
    clips += [np.zeros(n_samples), np.eye(1, n_samples, n_samples // 2)[0], signals.clip(n_samples / rate + 0.1, rate)]
    return np.stack([one[:n_samples] for one in clips]).astype(np.float32)


def check(found: dict[str, np.ndarray], made: Program, x: np.ndarray) -> None:
    """Against PyTorch in float64: what float32 rounds is observed to be 7e-6 at most."""
    expected = dict(zip(made.outputs, (y.numpy() for y in made.reference(torch.from_numpy(x))), strict=True))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        scale = max(np.abs(values).max(), 1.0) if name == "probabilities" else np.abs(values).max()
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-4 * scale, err_msg=name)


def test_proof_and_info(c_tiny: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    proof = c_tiny.proof
    assert proof.passed
    assert set(proof.outputs) == {"embedding", "logits", "probabilities"}
    assert proof.outputs["embedding"].by_kind.keys() == {"tone", "silence", "click", "synthetic"}
    assert 0 < proof.outputs["embedding"].share < 1e-5
    assert "C99 by" in proof.engine
    # 599 thousand weights, and the front end's constants.
    assert 4 * 599_000 < proof.size < 4 * 620_000
    assert target.read_card(c_tiny.path) == json.loads(json.dumps(c_tiny.card))
    assert main(["info", str(c_tiny.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["target"] == "c"
    assert facts["operators"]["Conv"] > 40
    assert abs(facts["parameters"] / 599_000 - 1) < 0.01
    assert main(["info", str(c_tiny.path)]) == 0
    assert "527: Speech" in capsys.readouterr().out


def test_macs_are_those_of_the_net(c_tiny: Exported) -> None:
    from hear_edgel3.extractor.complexity import complexity_of
    from hear_edgel3.registry.names import resolve

    costs = complexity_of(resolve("tiny_logits"))
    assert costs is not None
    assert target.describe(c_tiny.path, c_tiny.card)["macs_window"] == costs.macs_window


def test_clips_shorter_than_what_can_be_reflected(c_tiny: Exported) -> None:
    """They are followed by zeros, as in the package."""
    session, extractor = target.open_file(c_tiny.path), hear_edgel3.load("tiny", engine="eager")
    for n in (1, 2, 300, 513, 515, 801):
        x = signals.clip(0.1, 32000, seed=n)[:n][None].astype(np.float32)
        usual = extractor.embed_windows(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session(x)["embedding"], usual, rtol=0, atol=1e-4 * np.abs(usual).max())


@pytest.mark.parametrize(
    "words", ["b0_se4_15_clf1_clf2_logits", "b3_se13", "all_b_mel_avgs_avg_time_pool", "b0_3_se13_clf1_avg_time_pool"]
)
def test_features_of_all_kinds(words: str, mobilenetv3_folder: Path, tmp_path: Path) -> None:
    with program(hear_edgel3.load(f"mn01_as_{words}", mobilenetv3_folder, engine="torch")) as made:
        target.write(made, tmp_path / "c")
        x = tones(32000, 9000)
        check(target.open_file(tmp_path / "c")(x), made, x)


def test_the_shape_of_mn04(mobilenetv3_folder: Path, tmp_path: Path) -> None:
    """And the working memory of a second and of two, of it and (below) of the built-in net."""
    needed("gcc")
    with program(hear_edgel3.load("mn04_as", mobilenetv3_folder, engine="torch")) as made:
        target.write(made, tmp_path / "c")
        x = tones(32000, 16_000)[:4]
        check(target.open_file(tmp_path / "c")(x), made, x)
    one, two = memory_of(tmp_path / "c", tmp_path)
    assert two <= 370_000
    assert one <= 195_000


def test_working_memory(c_tiny: Exported, tmp_path: Path) -> None:
    needed("gcc")
    one, two = memory_of(c_tiny.path, tmp_path)
    assert two <= 370_000
    assert one <= 195_000


def test_weights_in_eight_bits(mobilenetv3_folder: Path, tmp_path: Path) -> None:
    """Of clips of one length alone."""
    words = {"quantize": "int8", "length": 0.2, "weights": mobilenetv3_folder}
    done = export("mn01_as", tmp_path / "c", to="c", **words)
    assert done.card["quantization"]["method"] == "weights"
    assert done.proof.float_size is not None
    # Of this smallest net more stays in float than of others: small weights, and what is padded.
    assert done.proof.size <= 0.46 * done.proof.float_size
    cosine = done.proof.outputs["embedding"].cosine_without_mel_avgs
    assert cosine is not None
    assert 0.995 < cosine[1] < 1
    header = (tmp_path / "c" / "mn01_as.h").read_text()
    assert "#define MN01_AS_LENGTH 6400 " in header
    assert "#define MN01_AS_INT8 1 " in header
    needed("gcc")
    assert "0 checks failed" in run([str(compiled(tmp_path / "c", "test", tmp_path))]).stdout


def test_blocks_that_stay_in_float(mobilenetv3_folder: Path, tmp_path: Path) -> None:
    """What is computed is what PyTorch computes with the weights that are stored."""
    with program(hear_edgel3.load("mn01_as", mobilenetv3_folder, engine="torch")) as made:
        parameters = {name: one for name, one in made.module.named_parameters() if name.startswith("net.")}
        found = int8.narrowed_weights(parameters)
        narrowed = {name: one for name, one in found.items() if ".14." not in name}
        assert 2 < len(narrowed) < len(found)
        target._write(made, tmp_path / "c", narrowed, made.card)
        x = tones(32000, 5120)
        in_float = made.module(torch.from_numpy(x))[0].numpy()
        for name, one in narrowed.items():
            wide = torch.from_numpy(one.values.astype(np.float32) * one.scale)
            parameters[name].data.copy_(wide.reshape(parameters[name].shape))
        answer = target.open_file(tmp_path / "c")(x)["embedding"]
        expected = made.module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(answer, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert np.abs(answer - in_float).max() > 2e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("kind", "targets", "words", "mlp"),
    [
        ("small", "single", "b5_11", True),
        ("small", "single", "avg_time_pool", False),
        ("small_l3", "several", "", False),
        ("small", "numbers", "", False),
        ("small_dymn", "several", "b5_11_ctx3", True),
        ("small_dymn", "single", "avg_time_pool", False),
    ],
)
def test_classes_of_somebodys_own(kind: str, targets: str, words: str, mlp: bool, tmp_path: Path) -> None:
    scale = {} if targets == "numbers" else {"temperature": 1.7}
    folder = write_detector(tmp_path / "net", kind, targets=targets, words=words, mlp=mlp, name="Birds3", **scale)
    extractor = hear_edgel3.load(folder, engine="torch")
    with program(extractor) as made:
        target.write(made, tmp_path / "c")
        x = tones(extractor.net_sample_rate, extractor.net_sample_rate)
        check(target.open_file(tmp_path / "c")(x), made, x)
        assert made.card["labels"] == list(CLASSES)
    needed("gcc")
    assert "0 checks failed" in run([str(compiled(tmp_path / "c", "test", tmp_path))]).stdout


def test_a_net_of_windows_of_one_length(c_sea: Exported, tmp_path: Path) -> None:
    """Its proof has pure tones in it, of which a DFT in float makes something else."""
    assert c_sea.proof.passed
    assert 0 < c_sea.proof.outputs["embedding"].share < 1e-5
    assert [*c_sea.proof.outputs] == ["embedding"]
    with pytest.raises(ComputationError):
        target.open_file(c_sea.path)(tones(8000, 7999))
    needed("gcc")
    assert "0 checks failed" in run([str(compiled(c_sea.path, "test", tmp_path, "-O2"))]).stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"part": "net"}, r"leave part='net' \(--no-frontend\) out"),
        ({"configuration": "tiny_b5_max_ch_pool"}, "the pooling max_ch"),
        ({"configuration": "tiny_block_avg_time_pool"}, "the bands of the last convolution"),
    ],
)
def test_refused(words: dict, text: str, here: Path) -> None:
    with pytest.raises(InvalidOption, match=text):
        export(**words, to="c")
    assert list(here.iterdir()) == []


def test_other_families_are_refused(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    extractor = hear_edgel3.load("tiny", engine="torch")

    class Other(type(extractor.net)):  # type: ignore[misc]
        def folded(self) -> torch.nn.Module:
            return torch.nn.Sequential(super().folded())

    monkeypatch.setattr(extractor.net, "__class__", Other)
    monkeypatch.delattr(extractor.net, "_built")  # as of a net of which nobody knows what it was made with
    with pytest.raises(InvalidOption, match="only MobileNetV3, DyMN and L3 nets have"):
        export(extractor, to="c")


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, here: Path, capsys) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert main(["export", "tiny", "--to", "c"]) != 0
    error = capsys.readouterr().err
    assert "no-such-compiler" in error
    assert "install" in error
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(InvalidOption, match="none of cc, gcc, clang is there"):
        export("tiny", to="c")
    assert list(here.iterdir()) == []


def test_over_the_tolerance_no_folder(monkeypatch: pytest.MonkeyPatch, here: Path, capsys) -> None:
    write_detector(here / "net", "small")
    monkeypatch.setattr(target, "TOLERANCES", {"": 1e-10})
    assert main(["export", "net", "--to", "c", "--length", "0.1", "--output", "out"]) == 1
    assert "out was not written" in capsys.readouterr().err
    assert [one.name for one in here.iterdir()] == ["net"]


def test_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of an earlier export is written anew; one with somebody's own files is not touched."""
    write_detector(here / "net", "small")
    (here / "mine").mkdir()
    (here / "mine" / "a.txt").write_text("own")
    with pytest.raises(OutputError, match="there are files in it that export did not write"):
        export(here / "net", here / "mine", to="c")
    with pytest.raises(OutputError, match="there are files in it that export did not write"):
        export(here / "net", here / "net", to="c")
    with pytest.raises(OutputError, match="there is a file of that name"):
        export(here / "net", here / "mine" / "a.txt", to="c")
    with pytest.raises(OutputError, match="does not exist"):
        export(here / "net", here / "nowhere" / "c", to="c")
    assert export(here / "net", to="c", length=0.1).path == Path("mine_c")
    (here / "mine_c" / "mine.c").write_text("damaged")
    (here / "mine_c" / "own.c").write_text("own")
    export(here / "net", to="c", length=0.1)
    assert "mine_clip" in (here / "mine_c" / "mine.c").read_text()
    assert (here / "mine_c" / "own.c").read_text() == "own"
    whole = json.loads((here / "mine_c" / CARD).read_text())
    (here / "mine_c" / CARD).write_text(json.dumps({**whole, "facts": {"bytes": "many"}}))
    assert main(["info", "mine_c"]) != 0
    assert "is damaged" in capsys.readouterr().err
    (here / "mine_c" / CARD).write_text('{"target": "c", "card": []}')
    with pytest.raises(ConfigurationError, match="damaged"):
        target.read_card(here / "mine_c")


def test_names_and_texts_in_c() -> None:
    assert prefix_of("mn04_as_all_b") == "mn04_as_all_b"
    assert prefix_of("some/where/My Birds (2)!") == "my_birds_2"
    assert prefix_of("3 birds") == "net_3_birds"
    assert prefix_of("été") == "t"
    assert prefix_of("鳥") == "net"
    assert string('a"b\\c??/é\n') == '"a\\042b\\134c\\077\\077/\\303\\251\\012"'
    assert "*/" not in comment(["a */ b"])

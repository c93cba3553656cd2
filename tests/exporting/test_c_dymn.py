"""Libraries in C of DyMN nets: what they compute, with which options, in how much memory, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting import c as target
from hear_edgel3.exporting import int8
from hear_edgel3.exporting.c_nets import int8_rows, stays_in_float
from hear_edgel3.exporting.run import Exported, export
from hear_edgel3.extractor.complexity import complexity_of
from support import signals
from support.compiling import SANITIZED, compiled, needed, run
from support.detectors import write_net
from support.libraries import check, memory_of, program

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")
# One sample and what is filled up to the least; frames (one every 320 samples) that are odd or even after every stride;
# more than a second.
LENGTHS = (1, 514, 640, 1600, 5120, 9000, 10560, 33000)
ALL = "mel_avgs_clf1_clf2_logits_all_ctx_b0_1_2_3_4_5_6_7_8_9_10_11_12_13_14_15"
# Options of a net, and the gain of its weights: as large as lets much depend on the sound, and roundings not grow.
SHAPES: dict[str, tuple[float, dict[str, Any]]] = {
    "all": (2.7, {}),
    "replace_se": (2.0, {"use_dy_blocks": "replace_se"}),
    "other sizes": (
        2.7,
        {"width_mult": 0.23, "dyconv_k": 3, "dyrelu_k": 3, "n_mels": 40, "context_ratio": 3, "tau": 2.5},
    ),
    "one kernel, one line": (2.5, {"dyconv_k": 1, "dyrelu_k": 1}),
    "strides": (2.3, {"strides": [1, 2, 2, 1]}),
    "no_dyconv": (2.5, {"no_dyconv": True}),
    "no_dyrelu": (3.0, {"no_dyrelu": True}),
    "no_ca": (1.4, {"no_ca": True}),
    "nothing but a context": (2.0, {"no_dyconv": True, "no_dyrelu": True, "no_ca": True}),
    "reduced tail, convolutions to the end": (2.5, {"reduced_tail": True, "head": "fully_convolutional"}),
}


def sounds(n: int) -> np.ndarray:
    """A tone, noise, a click, something quiet, and silence."""
    t = np.arange(n) / 32000
    noise = signals.clip(n / 32000 + 0.1, 32000, seed=n)[:n]
    click = np.eye(1, n, n // 2)[0]
    return np.stack([0.9 * np.sin(2 * np.pi * 880 * t), noise, click, 1e-3 * noise, np.zeros(n)]).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_options_and_lengths(shape: str, tmp_path: Path) -> None:
    """Everything that a net can put out, of clips of all kinds of lengths."""
    gain, options = SHAPES[shape]
    words = ALL.replace("clf2_", "") if "head" in options else ALL
    folder = write_net(tmp_path / "net", words=words, gain=gain, **options)
    with program(hear_edgel3.load(folder, engine="torch")) as made:
        target.write(made, tmp_path / "c")
        session = target.open_file(tmp_path / "c")
        for n in LENGTHS:
            check(session, made, sounds(n))


@pytest.mark.parametrize("words", ["ctx0", "b0", "ctx7_b3", "clf2", "all_b_mel_avgs_avg_time_pool", "logits"])
def test_words(words: str, tmp_path: Path) -> None:
    """Nets that end early too: blocks behind what is wanted are not there."""
    folder = write_net(tmp_path / "net", words=words)
    extractor = hear_edgel3.load(folder, engine="torch")
    with program(extractor) as made:
        target.write(made, tmp_path / "c")
        session = target.open_file(tmp_path / "c")
        for n in (700, 8000):
            check(session, made, sounds(n))


@pytest.mark.parametrize("dynamic", ["all", "replace_se"])
@pytest.mark.parametrize("words", ["mel_avgs_b0", "b2", "b4"])
def test_nets_of_few_blocks(words: str, dynamic: str, tmp_path: Path) -> None:
    """Of none, of plain ones only: what is not needed is not there, and nothing is left over to warn of."""
    folder = write_net(tmp_path / "net", words=words, n_classes=None, use_dy_blocks=dynamic)
    with program(hear_edgel3.load(folder, engine="torch")) as made:
        target.write(made, tmp_path / "c")
        check(target.open_file(tmp_path / "c"), made, sounds(5000))
    assert ("static mixture make_mixture" in (tmp_path / "c" / "small.c").read_text()) == (
        words == "b4" or (dynamic, words) == ("all", "b2")
    )
    needed("gcc")
    assert "0 checks failed" in run([str(compiled(tmp_path / "c", "test", tmp_path, "-O2"))]).stdout


def test_temperatures_of_their_own(tmp_path: Path) -> None:
    """Of each convolution another one, which no parameter shows."""
    extractor = hear_edgel3.load(write_net(tmp_path / "net", words="b15"), engine="torch")
    with program(extractor) as made:
        target.write(made, tmp_path / "one")
        before = target.open_file(tmp_path / "one")(sounds(4000))["embedding"]
    layers: Any = extractor.net.layers
    for i, layer in enumerate(layers):
        layer.proj_conv.tau, layer.depth_conv.tau = 0.3 + i / 5, 2.0
    with program(extractor) as made:
        target.write(made, tmp_path / "c")
        session = target.open_file(tmp_path / "c")
        check(session, made, sounds(4000))
        after = session(sounds(4000))["embedding"]
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()


def test_rows_and_groups(c_dymn: Exported) -> None:
    """Both ways to compute a block are used, and so tested."""
    text = next(c_dymn.path.glob("*_weights.h")).read_text()
    contexts = text[text.index("CONTEXTS[N_BLOCKS]") :]
    assert set(re.findall(r"^    \{([01]), 4, 2, 1", contexts, re.MULTILINE)) == {"0", "1"}


def test_proof(c_dymn: Exported) -> None:
    proof = c_dymn.proof
    assert proof.passed
    assert set(proof.outputs) == {"embedding", "logits", "probabilities"}
    assert 0 < proof.outputs["embedding"].share < 5e-6
    facts = target.describe(c_dymn.path, c_dymn.card)
    assert facts["operators"]["DynamicConv"] == 3 * 15 - 4  # that many blocks expand nothing, so narrow as they are
    assert 4 * facts["parameters"] < proof.size < 4 * facts["parameters"] * 1.4 + 60_000


@pytest.mark.parametrize("options", [{}, {"use_dy_blocks": "replace_se"}])
def test_macs_are_those_of_the_net(options: dict[str, Any], tmp_path: Path) -> None:
    extractor = hear_edgel3.load(write_net(tmp_path / "net", words="logits", **options), engine="torch")
    with program(extractor) as made:
        target.write(made, tmp_path / "c")
        costs = complexity_of(extractor.configuration)
        assert costs is not None
        assert target.describe(tmp_path / "c", made.card)["macs_window"] == costs.macs_window


def test_working_memory(tmp_path: Path) -> None:
    """Of the channels of dymn04, with all that leads to block 15."""
    needed("gcc")
    folder = write_net(tmp_path / "net", words="b15", width_mult=0.4, n_mels=128, n_classes=None)
    with program(hear_edgel3.load(folder, engine="torch")) as made:
        target.write(made, tmp_path / "c")
    one, two = memory_of(tmp_path / "c", tmp_path)
    assert one <= 205_000
    assert two <= 380_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dilated": True}, "it has dilated convolutions"),
        ({"words": "b5_max_ch_pool"}, "the pooling max_ch"),
        ({"n_teacher": 6, "words": "teacher"}, "the feature teacher"),
        ({"words": "mel_avgs", "n_classes": None}, "is the mean of the front end's images alone"),
    ],
)
def test_refused(options: dict[str, Any], text: str, here: Path) -> None:
    folder = write_net(here / "net", **options)
    with pytest.raises(InvalidOption, match=text):
        export(folder, here / "c", to="c")
    assert [one.name for one in here.iterdir()] == ["net"]


@pytest.mark.parametrize(
    "options", [{}, {"use_dy_blocks": "replace_se", "head": "fully_convolutional"}, {"no_dyconv": True}]
)
def test_weights_in_eight_bits(options: dict[str, Any], tmp_path: Path) -> None:
    """What is computed is what PyTorch computes with the weights that are stored, each output of a kernel by itself."""
    folder = write_net(tmp_path / "net", words="b5_15_clf1", gain=2.0, **{"width_mult": 0.5, **options})
    with program(hear_edgel3.load(folder, engine="torch")) as made:
        parameters = {name: one for name, one in made.module.named_parameters() if name.startswith("net.")}
        found = int8.narrowed_weights(parameters, int8_rows(made.module.net))
        narrowed = {name: one for name, one in found.items() if ".13." not in name and not stays_in_float(name)}
        for kind in ("exp_conv", "depth_conv", "proj_conv", "coef_net", "joint_conv", "conv_f", "conv_t", "out_c"):
            assert any(kind in name for name in narrowed), kind
        target._write(made, tmp_path / "c", narrowed, made.card)
        session = target.open_file(tmp_path / "c")
        answers = {n: session(sounds(n))["embedding"] for n in (700, 9000)}
        in_float = made.module(torch.from_numpy(sounds(9000)))[0].numpy()
        for name, one in narrowed.items():
            wide = torch.from_numpy(one.values.astype(np.float32) * one.scale)
            parameters[name].data.copy_(wide.reshape(parameters[name].shape))
        for n, answer in answers.items():
            expected = made.module(torch.from_numpy(sounds(n)))[0].numpy()
            np.testing.assert_allclose(answer, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert np.abs(answers[9000] - in_float).max() > 1e-4 * np.abs(in_float).max()
    needed("gcc")
    assert "0 checks failed" in run([str(compiled(tmp_path / "c", "test", tmp_path, *SANITIZED))]).stdout


def test_eight_bits_of_all_that_can_be(tmp_path: Path) -> None:
    """An export of the channels of dymn04, proven."""
    folder = write_net(tmp_path / "net", words="b15", gain=2.0, width_mult=0.4, n_classes=None)
    done = export(folder, tmp_path / "c", to="c", quantize="int8", length=0.2)
    assert done.proof.float_size is not None
    assert done.proof.size <= 0.36 * done.proof.float_size
    cosine = done.proof.outputs["embedding"].cosine
    assert cosine is not None
    assert 0.999 < cosine[0] < 1

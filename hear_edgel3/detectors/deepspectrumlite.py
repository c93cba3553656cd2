"""Configuration files of DeepSpectrumLite as options of a training, of the net that they ask for or of another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.detectors.pictures import TAKEN, check_pictures
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training import read_grid

# What any net takes over; everything else is of pictures of spectrograms, and of nets that see these.
_TAKEN = (
    *("num_units", "activation", "dropout", "learning_rate", "fine_learning_rate", "finetune_layer"),
    *("pre_epochs", "epochs", "batch_size", "prediction_type", "label_parser", "model_name"),
)


class Run(NamedTuple):
    """One training.

    Attributes:
        folder: Where the detector goes.
        options: Of :class:`TrainOptions`.
        pictures: The file's values, which say what net there is and what it sees; None if another net was named.
    """

    folder: str
    options: dict[str, Any]
    pictures: Mapping[str, Any] | None


def runs_of(
    path: str | os.PathLike[str],
    config: str | os.PathLike[str] | None,
    output: str | os.PathLike[str],
    given: Mapping[str, Any],
) -> tuple[list[Run], list[str]]:
    """What a file asks for: one training, or one for each combination of its values.

    Args:
        path: The JSON file.
        config: The net that takes the place of the file's; None for that.
        output: The folder to write; of several combinations each gets a folder in it, called by its number.
        given: Options that were given besides, which go before the file's.

    Returns:
        The trainings, and what to say.

    Raises:
        ConfigurationError: The file cannot be read.
        InvalidOption: It needs a net or pictures that are not here, or options do not fit together.
    """
    grid = read_grid(path)
    numbers = grid.numbers()
    if dead := [name for name in ("head", "recipe") if name in given]:
        raise InvalidOption(f"{dead[0]} is for trainings without a configuration file: it says what the head is")
    runs: list[Run] = []
    said: list[str] = []
    for number in numbers:
        configuration = grid[number]
        if config is None:
            check_pictures(configuration.values, os.fspath(path))
        chosen = _options(configuration.values)
        for name, value in given.items():
            if name in chosen and chosen[name] != value:
                said.append(f"{name} {value} was given, and goes before the file's {chosen[name]}")
        chosen |= given
        TrainOptions(**chosen)
        folder = Path(output) / f"{number:04d}" if len(grid) > 1 else Path(output)
        runs.append(Run(str(folder), chosen, configuration.values if config is None else None))
        said += configuration.unused
        taken = (*_TAKEN, *TAKEN) if config is None else _TAKEN
        unused = [name for name in configuration.values if name not in taken]
        instead = "" if config is None else f" with {os.fspath(config)}"
        said.append(f"no use{instead}: {', '.join(unused)}")
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

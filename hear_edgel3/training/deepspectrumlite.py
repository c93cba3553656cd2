"""DeepSpectrumLite's configuration files, read as they are.

A file is a JSON object. Every value may be a list, and the file then means all combinations, a grid. They count from 0
in the order of the file's options, the last one changing fastest, and ``SLURM_ARRAY_TASK_ID`` picks one.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hear_edgel3._checks import check_path, shown
from hear_edgel3.disk.jsons import each_once
from hear_edgel3.errors import ConfigurationError, InvalidOption
from hear_edgel3.heads import ACTIVATIONS
from hear_edgel3.heads.layout import HeadLayout
from hear_edgel3.training.images import SapAugment
from hear_edgel3.training.losses import KERAS_LOSSES
from hear_edgel3.training.optimizers import keras_optimizer
from hear_edgel3.training.recipes import TrainingRecipe
from hear_edgel3.training.schedule import TwoPhases

TASK = "SLURM_ARRAY_TASK_ID"
_REQUIRED = object()
_OFF = object()  # of an option that is only needed where another one is on

BASE_MODELS = tuple(
    "vgg16 vgg19 resnet50 xception inception_v3 densenet121 densenet169 densenet201 mobilenet mobilenet_v2 "
    "nasnet_large nasnet_mobile inception_resnet_v2 squeezenet_v1".split()
)
COLOR_MAPS = ("viridis", "cividis", "inferno", "magma", "plasma")
RESIZE_METHODS = ("bilinear", "lanczos3", "bicubic", "gaussian", "nearest", "area", "mitchellcubic")


@dataclass(frozen=True)
class _Option:
    """One option of a file.

    Attributes:
        check: Says what is wrong with a value, or None.
        default: Where it is left out.
    """

    check: Callable[[Any], str | None]
    default: Any = _REQUIRED


def _whole(least: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if fits else f"must be a whole number of at least {least}"

    return check


def _number(least: float = -math.inf, most: float = math.inf) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
        if fits and math.isfinite(value):
            return None
        limits = (
            "" if least == -math.inf else f" of at least {least:g}" if most == math.inf else f" {least:g} to {most:g}"
        )
        return f"must be a number{limits}"

    return check


def _positive(value: Any) -> str | None:
    return None if _number(0)(value) is None and value > 0 else "must be a positive number"


def _one_of(*allowed: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in allowed else f"must be one of {', '.join(map(repr, allowed))}"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a text"


def _optimizer(value: Any) -> str | None:
    try:
        keras_optimizer(value, 1.0)
    except InvalidOption as error:
        return f"cannot be used: {error}"
    return None


def _chunk(value: Any) -> str | None:
    return _number()(value) or ("must be positive, or negative for whole files" if value == 0 else None)


_SHARE = _number(0, 1)
_OPTIONS: Mapping[str, _Option] = {
    "label_parser": _Option(_text, ""),
    "prediction_type": _Option(_one_of("categorical", "regression"), "categorical"),
    "model_name": _Option(_one_of("TransferBaseModel"), "TransferBaseModel"),
    "basemodel_name": _Option(_one_of(*BASE_MODELS)),
    "weights": _Option(_one_of("imagenet", ""), "imagenet"),
    "tb_experiment": _Option(_text, ""),
    "tb_run_id": _Option(_text, ""),
    "num_units": _Option(_whole(1)),
    "dropout": _Option(lambda v: _SHARE(v) or ("must be below 1" if v == 1 else None)),
    "optimizer": _Option(_optimizer),
    "learning_rate": _Option(_positive),
    "fine_learning_rate": _Option(_number(0), 0.0),
    "finetune_layer": _Option(_SHARE),
    "loss": _Option(_one_of(*KERAS_LOSSES)),
    "activation": _Option(_one_of(*ACTIVATIONS)),
    "pre_epochs": _Option(_whole(0)),
    "epochs": _Option(_whole(0)),
    "batch_size": _Option(_whole(1)),
    "sample_rate": _Option(_whole(1)),
    "normalize_audio": _Option(_flag, False),
    "chunk_size": _Option(_chunk),
    "chunk_hop_size": _Option(_positive),
    "stft_window_size": _Option(_positive),
    "stft_hop_size": _Option(_positive),
    "stft_fft_length": _Option(_positive),
    "mel_scale": _Option(_flag, True),
    "lower_edge_hertz": _Option(_number(0)),
    "upper_edge_hertz": _Option(_positive),
    "num_mel_bins": _Option(_whole(1), 128),
    "num_mfccs": _Option(_whole(0), 0),
    "cep_lifter": _Option(_whole(0), 0),
    "db_scale": _Option(_flag),
    "use_plot_images": _Option(_flag),
    "color_map": _Option(_one_of(*COLOR_MAPS)),
    "image_width": _Option(_whole(1)),
    "image_height": _Option(_whole(1)),
    "resize_method": _Option(_one_of(*RESIZE_METHODS), "bilinear"),
    "anti_alias": _Option(_flag, True),
    "sap_aug_a": _Option(_SHARE, _OFF),
    "sap_aug_s": _Option(_positive, _OFF),
    "augment_cutmix": _Option(_flag, False),
    "augment_specaug": _Option(_flag, False),
    "da_prob_min": _Option(_SHARE, _OFF),
    "da_prob_max": _Option(_SHARE, _OFF),
    "cutmix_min": _Option(_SHARE, _OFF),
    "cutmix_max": _Option(_SHARE, _OFF),
    "specaug_freq_min": _Option(_SHARE, _OFF),
    "specaug_freq_max": _Option(_SHARE, _OFF),
    "specaug_time_min": _Option(_SHARE, _OFF),
    "specaug_time_max": _Option(_SHARE, _OFF),
    "specaug_freq_mask_num": _Option(_whole(0), _OFF),
    "specaug_time_mask_num": _Option(_whole(0), _OFF),
}
_ALWAYS = ("sap_aug_a", "sap_aug_s", "da_prob_min", "da_prob_max")
_CUTMIX = ("cutmix_min", "cutmix_max")
_SPECAUG = tuple(name for name in _OPTIONS if name.startswith("specaug_"))


@dataclass(frozen=True)
class Configuration:
    """One combination of a grid.

    Attributes:
        number: Of the combination, from 0.
        values: Every option that has a value, by its name in the file; those that were left out have their defaults.
        unused: What has no effect, as sentences that begin with the option's name.
    """

    number: int
    values: Mapping[str, Any]
    unused: tuple[str, ...]

    def recipe(self) -> TrainingRecipe:
        """How the configuration trains, as a row."""
        v = self.values
        rate = float(v["learning_rate"])
        fine = float(v["fine_learning_rate"]) / rate if _has_second_rate(v) else 1.0
        categorical = v["prediction_type"] == "categorical"
        return TrainingRecipe(
            name="deepspectrumlite",
            title="A configuration file of DeepSpectrumLite",
            net=v["basemodel_name"],
            pretrained=v["weights"] == "imagenet",
            targets="classes" if categorical else "numbers",
            n_classes=None,
            optimizer=keras_optimizer(v["optimizer"], rate),
            schedule=TwoPhases(v["pre_epochs"], v["epochs"], fine, float(v["finetune_layer"])),
            batch_size=v["batch_size"],
            epochs=v["pre_epochs"] + v["epochs"],
            clip_seconds=None if v["chunk_size"] < 0 else float(v["chunk_size"]),
            sap_augment=self._augmentation(),
            loss=v["loss"],
            dropout=float(v["dropout"]),
            units=v["num_units"],
            activation=v["activation"],
            selected_by="UAR" if categorical else "loss",
        )

    def head(self, inputs: int, outputs: int) -> HeadLayout:
        """The classifier behind the net.

        Args:
            inputs: The values of the net's embedding.
            outputs: The classes, or the numbers of a regression.
        """
        v = self.values
        return HeadLayout("mlp", inputs, outputs, v["num_units"], v["activation"], float(v["dropout"]))

    def _augmentation(self) -> SapAugment | None:
        v = self.values
        if not v["augment_cutmix"] and not v["augment_specaug"]:
            return None

        def pair(name: str) -> tuple[float, float]:
            return float(v[f"{name}_min"]), float(v[f"{name}_max"])

        masks = bool(v["augment_specaug"])
        return SapAugment(
            a=float(v["sap_aug_a"]),
            s=float(v["sap_aug_s"]),
            probability=pair("da_prob"),
            cutmix=pair("cutmix") if v["augment_cutmix"] else None,
            freq=pair("specaug_freq") if masks else None,
            time=pair("specaug_time") if masks else None,
            n_freq=v["specaug_freq_mask_num"] if masks else 0,
            n_time=v["specaug_time_mask_num"] if masks else 0,
        )


class Grid(Sequence[Configuration]):
    """All combinations of the values of a file, made one by one.

    Args:
        axes: The values of each option, by its name, in the order of the file.
        where: What the file is called in errors.
    """

    def __init__(self, axes: Mapping[str, Sequence[Any]], where: str) -> None:
        self._axes, self._where = dict(axes), where

    def __len__(self) -> int:
        return math.prod(len(values) for values in self._axes.values())

    def __iter__(self) -> Iterator[Configuration]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: Any) -> Any:
        """The combination of a number, from 0.

        Raises:
            IndexError: There is no such one.
            ConfigurationError: It lacks an option, or its options contradict each other.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self._where} has {len(self)} combinations, and none with the number {number}")
        rest = number = number % len(self)
        chosen: dict[str, Any] = {}
        for name, values in reversed(self._axes.items()):
            rest, place = divmod(rest, len(values))
            chosen[name] = values[place]
        return _configuration(number, chosen, self._where)

    def numbers(self, environment: Mapping[str, str] | None = None) -> list[int]:
        """Which combinations are to be trained: the one that ``SLURM_ARRAY_TASK_ID`` names, or all.

        Args:
            environment: Instead of that of this process.

        Raises:
            InvalidOption: There is none of that number.
        """
        task = (os.environ if environment is None else environment).get(TASK)
        if task is None:
            return list(range(len(self)))
        if re.fullmatch(r"[0-9]{1,18}", task) is None or int(task) >= len(self):
            raise InvalidOption(
                f"{TASK} is {shown(task)}, but {self._where} has the combinations 0 to {len(self) - 1}; use "
                f"--array=0-{len(self) - 1}"
            )
        return [int(task)]


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """The combinations of a configuration file.

    Args:
        path: Of the JSON file.

    Raises:
        ConfigurationError: It cannot be read, or an option is unknown, missing, or has a value that cannot be used.
        InvalidOption: It is no path.
    """
    axes: dict[str, list[Any]] = {}
    for name, value in _read_object(path).items():
        if name not in _OPTIONS:
            near = difflib.get_close_matches(name, _OPTIONS, n=3)
            hint = f"; do you mean {' or '.join(near)}?" if near else f"; there are {', '.join(_OPTIONS)}"
            raise ConfigurationError(f"{path} has an unknown option {name!r}{hint}")
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ConfigurationError(f"{name} in {path} is an empty list; give at least one value")
        for each in values:
            problem = _OPTIONS[name].check(each)
            if problem is not None:
                raise ConfigurationError(f"{name} in {path} {problem}; got {each!r}")
        axes[name] = values
    missing = [name for name, option in _OPTIONS.items() if option.default is _REQUIRED and name not in axes]
    if missing:
        raise ConfigurationError(f"{path} lacks {', '.join(missing)}")
    return Grid(axes, str(path))


def read_classes(path: str | os.PathLike[str]) -> dict[str, str]:
    """The classes of a class configuration: what a label in the data is called in results, in the order of the file.

    Args:
        path: Of the JSON file.

    Raises:
        ConfigurationError: It cannot be read, or is not an object of names.
        InvalidOption: It is no path.
    """
    classes = _read_object(path)
    wrong = [name for name, title in classes.items() if not isinstance(title, str)]
    if wrong or not classes:
        what = f"the name of {wrong[0]!r} is no text" if wrong else "it has no classes"
        raise ConfigurationError(f"{path} must have a name for each label: {what}")
    return classes


def _read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    check_path(path, "path")
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=each_once)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must be a JSON object of options")
    return values


def _configuration(number: int, chosen: Mapping[str, Any], where: str) -> Configuration:
    values = {
        name: chosen.get(name, option.default)
        for name, option in _OPTIONS.items()
        if name in chosen or option.default not in (_REQUIRED, _OFF)
    }
    needed = [
        *(_CUTMIX if values["augment_cutmix"] else ()),
        *(_SPECAUG if values["augment_specaug"] else ()),
        *(_ALWAYS if values["augment_cutmix"] or values["augment_specaug"] else ()),
    ]
    missing = [name for name in needed if name not in values]
    if missing:
        raise ConfigurationError(f"{where} lacks {', '.join(missing)}, which its augmentation needs")
    top = values["sample_rate"] / 2
    if not values["lower_edge_hertz"] < values["upper_edge_hertz"] <= top:
        raise ConfigurationError(
            f"{where}: lower_edge_hertz ({values['lower_edge_hertz']:g}) must be below upper_edge_hertz "
            f"({values['upper_edge_hertz']:g}), and that at most half the sample_rate ({top:g})"
        )
    result = Configuration(number, values, tuple(_unused(chosen, values)))
    try:
        result.recipe()
    except InvalidOption as error:
        raise ConfigurationError(f"{where}, combination {number}: {error}") from error
    return result


def _has_second_rate(values: Mapping[str, Any]) -> bool:
    return bool(values["fine_learning_rate"] > 0 and values["pre_epochs"] > 0 and values["weights"] == "imagenet")


def _unused(chosen: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """What has no effect, of the options that the file has."""
    if "label_parser" in chosen:
        yield "label_parser is not used: no program of a configuration is run; give the labels as a table"
    if "mel_scale" in chosen:
        yield "mel_scale has no effect, as in DeepSpectrumLite: the bands are mel bands either way"
    if "fine_learning_rate" in chosen and not _has_second_rate(values):
        yield "fine_learning_rate has no effect: it needs to be above 0, with pre_epochs above 0 and weights imagenet"
    if values["cep_lifter"] and not values["num_mfccs"]:
        yield "cep_lifter has no effect without num_mfccs"
    if not values["use_plot_images"]:
        yield "color_map has no effect without use_plot_images"
    if values["resize_method"] == "nearest" and chosen.get("anti_alias"):
        yield "anti_alias has no effect with the resize_method nearest"
    off = [
        (_CUTMIX, values["augment_cutmix"], "augment_cutmix"),
        (_SPECAUG, values["augment_specaug"], "augment_specaug"),
        (_ALWAYS, values["augment_cutmix"] or values["augment_specaug"], "augment_cutmix or augment_specaug"),
    ]
    for names, on, switch in off:
        for name in names:
            if name in chosen and not on:
                yield f"{name} has no effect without {switch}"

"""The package as Python sees it: cheap to import, silent, offline, and a module per name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

import hear_edgel3
from support.processes import python


def test_importing_is_cheap_silent_and_offline() -> None:
    code = """
import logging, socket, sys, threading, warnings

def forbidden(*arguments, **options):
    raise AssertionError("a socket was opened")

socket.socket.connect = forbidden
socket.create_connection = forbidden
socket.getaddrinfo = forbidden
before = set(sys.modules)
import hear_edgel3
import hear_edgel3.sparse_95, hear_edgel3.sea_64
assert "sparse_95" in dir(hear_edgel3)
hear_edgel3.list_configurations()
new = {name.partition(".")[0] for name in set(sys.modules) - before}
outside = {name for name in new if name not in sys.stdlib_module_names} - {"hear_edgel3"}
assert not outside, outside
assert threading.active_count() == 1
assert not logging.getLogger().handlers
assert not logging.getLogger("hear_edgel3").handlers
modules = ("extractor.extractor", "extractor.loading", "families.l3.net", "cli")
heavy = {f"hear_edgel3.{name}" for name in modules} & set(sys.modules)
assert not heavy, heavy
"""
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_using_it_imports_torch_and_opens_no_socket(weights_folder: Path) -> None:
    code = """
import socket, sys
socket.socket.connect = socket.create_connection = socket.getaddrinfo = None
import hear_edgel3
assert "torch" not in sys.modules
extractor = hear_edgel3.load("sea_64", engine="torch")  # numba would say that it compiles
assert "torch" in sys.modules
assert "soundfile" not in sys.modules
import torch
print(tuple(extractor.scene_embeddings(torch.zeros(1, 16000)).shape))
"""
    done = python(code, HEAR_EDGEL3_WEIGHTS=str(weights_folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 64)\n", "")


def test_dir() -> None:
    listed = dir(hear_edgel3)
    assert listed == sorted(set(listed))
    assert set(hear_edgel3.list_configurations()) < set(listed)
    public = {"load", "embed_file", "list_configurations", "Extractor", "TimestampContract", "HearEdgeL3Error"}
    assert public < set(listed)
    for name in listed:
        assert getattr(hear_edgel3, name) is not None, name


def test_a_module_loads_its_own_configuration(weights_folder: Path) -> None:
    from hear_edgel3 import sea_64, sea_128

    for module, size in ((sea_64, 64), (sea_128, 128)):
        model = module.load_model(str(weights_folder / f"sea_{size}.safetensors"), hop_ms=100.0)
        assert model.configuration.name == f"sea_{size}"
        assert module.get_scene_embeddings(torch.zeros(1, 16000), model).shape == (1, size)
        embeddings, timestamps = module.get_timestamp_embeddings(torch.zeros(1, 16000), model)
        assert timestamps[0].tolist() == [100.0 * k for k in range(11)]
        assert embeddings.shape == (1, 11, size)


def test_names_that_resemble_nothing() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'hear_edgel3.zzzzzzzz': .*`hear-edgel3 list`"):
        importlib.import_module("hear_edgel3.zzzzzzzz")
    with pytest.raises(ImportError, match="cannot import name 'nope' from 'hear_edgel3'"):
        from hear_edgel3 import nope  # noqa: F401
    with pytest.raises(AttributeError, match="module 'hear_edgel3' has no attribute 'nope'"):
        hear_edgel3.nope  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hear_edgel3.sea_64.deeper")
    assert not hasattr(hear_edgel3, "__wrapped__")


def test_other_packages_are_left_to_others() -> None:
    assert importlib.util.find_spec("sparse_95") is None
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'sea_64'$"):
        importlib.import_module("sea_64")


def test_the_finder_is_installed_once() -> None:
    importlib.reload(hear_edgel3)
    assert sum(type(finder).__name__ == "ConfigurationFinder" for finder in sys.meta_path) == 1


def test_the_import_statement() -> None:
    import hear_edgel3.mn40_as_ext_e1_l_all_se
    from hear_edgel3 import mn10_as_b5_11_13

    assert callable(hear_edgel3.mn40_as_ext_e1_l_all_se.load_model)
    assert mn10_as_b5_11_13.__name__ == "hear_edgel3.mn10_as_b5_11_13"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sparse_96", "sparse_95"),
        ("sea64", "sea_64"),
        ("sparse_95_kb", "sparse_95_kd"),
        ("mn10_as_clf3", "'clf3' is no feature; the words are mel_avgs, clf1, clf2"),
        ("mn10_as_fc_clf2", "clf2 is the hidden layer of the mlp head"),
        ("mn40_as_ext_e1_l_all_b", "e1, l and all_b belong to two vocabularies"),
        ("mn10_as_hop_10", "did you mean mn10_as_hop_20"),
        ("mn10_as__logits", "did you mean mn10_as"),
        ("mn99_as", "did you mean"),
    ],
)
def test_a_module_that_is_none_says_why(name: str, reason: str) -> None:
    with pytest.raises(
        ModuleNotFoundError, match=f"No module named 'hear_edgel3.{name}': there is no .*{reason}"
    ) as caught:
        importlib.import_module(f"hear_edgel3.{name}")
    assert caught.value.name == f"hear_edgel3.{name}"
    assert f"hear_edgel3.{name}" not in sys.modules
    assert not hasattr(hear_edgel3, name)

"""Nets that nobody has been handed are not looked at for changes; who is handed a part of one may change it."""

from __future__ import annotations

import copy
import inspect
import operator
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import pytest
import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.utils.hooks import RemovableHandle

import hear_edgel3
from hear_edgel3.engine.seen import Seen
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.kept import KeepsModules
from support import synthetic
from support.wrapper import noise_clips


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The nets that were looked at for changes."""
    looked: list[nn.Module] = []
    still = Seen.still

    def watched(self: Seen, net: nn.Module) -> bool:
        looked.append(net)
        return still(self, net)

    monkeypatch.setattr(Seen, "still", watched)
    return looked


@pytest.fixture
def kept(weights_folder: Path) -> Extractor:
    extractor = hear_edgel3.load("sea_64", weights_folder)
    extractor.scene_embeddings(noise_clips(8000))
    assert extractor.kept is not None
    return extractor


def first(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """The first that says something in every net: a weight of more than one number."""
    return next(tensor for tensor in tensors if tensor.ndim == 4)


def of_modules(modules: Iterable[object]) -> torch.Tensor:
    return first(p for module in modules if isinstance(module, nn.Module) for p in module.parameters())


def by_apply(extractor: Extractor) -> torch.Tensor:
    seen: list[nn.Module] = []
    extractor.apply(seen.append)
    return of_modules(seen)


def by_inner_apply(extractor: Extractor) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    extractor._apply(lambda tensor: seen.append(tensor) or tensor)
    return first(seen)


def by_pickling(extractor: Extractor) -> torch.Tensor:
    """What a pickler of somebody's own is given of it."""
    state = extractor.__reduce_ex__(4)[2]
    assert isinstance(state, dict)
    return first(state["_modules"]["net"].parameters())


def by_update(extractor: Extractor) -> torch.Tensor:
    found: dict[str, object] = {}
    found.update(extractor._modules)
    return of_modules(found.values())


def by_matching(extractor: Extractor) -> torch.Tensor:
    match extractor._modules:
        case {"net": net}:
            return of_modules([net])
    raise AssertionError


def by_popping(extractor: Extractor) -> torch.Tensor:
    net = extractor._modules.pop("net")
    extractor._modules["net"] = net
    return of_modules([net])


WAYS: dict[str, Callable[[Extractor], torch.Tensor]] = {
    "net": lambda e: first(e.net.parameters()),
    "getattr": lambda e: of_modules([e.net]),
    "attrgetter": lambda e: operator.attrgetter("net.convs")(e)[0].weight,
    "_modules": lambda e: of_modules([e._modules["net"]]),
    "values": lambda e: of_modules(e._modules.values()),
    "items": lambda e: of_modules(module for _, module in e._modules.items()),
    "get": lambda e: of_modules([e._modules.get("net")]),
    "dict": lambda e: of_modules(dict(e._modules).values()),
    "OrderedDict": lambda e: of_modules(OrderedDict(e._modules).values()),
    "unpacked": lambda e: of_modules({**e._modules}.values()),
    "dict.copy": lambda e: of_modules(e._modules.copy().values()),
    "copied": lambda e: of_modules(copy.copy(e._modules).values()),
    "dict.update": by_update,
    "|": lambda e: of_modules((e._modules | {}).values()),
    "| it": lambda e: of_modules(({} | e._modules).values()),
    "match": by_matching,
    "setdefault": lambda e: of_modules([e._modules.setdefault("net")]),
    "popitem": by_popping,
    "object.__getattribute__": lambda e: of_modules(object.__getattribute__(e, "_modules").values()),
    "__dict__": lambda e: of_modules(e.__dict__["_modules"].values()),
    "object.__dict__": lambda e: of_modules(object.__getattribute__(e, "__dict__")["_modules"].values()),
    "vars": lambda e: of_modules(vars(e)["_modules"].values()),
    "getmembers": lambda e: of_modules(value for _, value in inspect.getmembers(e)),
    "children": lambda e: of_modules(e.children()),
    "named_children": lambda e: of_modules(dict(e.named_children()).values()),
    "modules": lambda e: of_modules(e.modules()),
    "named_modules": lambda e: of_modules(dict(e.named_modules()).values()),
    "get_submodule": lambda e: of_modules([e.get_submodule("net")]),
    "parameters": lambda e: first(e.parameters()),
    "named_parameters": lambda e: first(dict(e.named_parameters()).values()),
    "get_parameter": lambda e: e.get_parameter("net.convs.0.weight"),
    "state_dict": lambda e: first(e.state_dict().values()),
    "apply": by_apply,
    "_apply": by_inner_apply,
    "copy": lambda e: first(copy.copy(e).net.parameters()),
    "reduce": by_pickling,
    "getstate": lambda e: first(e.__getstate__()["_modules"]["net"].parameters()),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_handed_out_may_be_changed(way: str, kept: Extractor) -> None:
    before = kept.scene_embeddings(noise_clips(8000))
    handed = WAYS[way](kept)
    assert kept.kept is None
    kept.scene_embeddings(noise_clips(8000))  # it is still looked at later
    with torch.no_grad():
        handed.mul_(1.5)
    after = kept.scene_embeddings(noise_clips(8000))
    assert not torch.allclose(after, before, rtol=0.01)
    kept.forget_compiled()
    assert torch.equal(kept.scene_embeddings(noise_clips(8000)), after)


def other_net() -> nn.Module:
    net = synthetic.row("sea_64").net.build()
    net.load_state_dict({k: 1.5 * v for k, v in synthetic.state("sea_64").items()}, strict=False)
    return net


def set_a_module(extractor: Extractor) -> None:
    extractor.net = other_net()


def add_a_module(extractor: Extractor) -> None:
    extractor.add_module("net", other_net())


def set_the_modules(extractor: Extractor) -> None:
    extractor._modules = {**extractor._modules, "net": other_net()}


def set_the_attributes(extractor: Extractor) -> None:
    extractor.__dict__ = {**extractor.__dict__, "_modules": {**extractor._modules, "net": other_net()}}


def load_other_weights(extractor: Extractor) -> None:
    extractor.load_state_dict({f"net.{k}": 1.5 * v for k, v in synthetic.state("sea_64").items()}, strict=False)


def restore(extractor: Extractor) -> None:
    extractor.__setstate__({"_modules": {"frontend": extractor.frontend, "net": other_net()}})


@pytest.mark.parametrize(
    "change", [set_a_module, add_a_module, set_the_modules, set_the_attributes, load_other_weights, restore]
)
def test_what_it_is_given_is_noticed(change: Callable[[Extractor], None], kept: Extractor) -> None:
    before = kept.scene_embeddings(noise_clips(8000))
    change(kept)
    assert kept.kept is None
    assert not torch.allclose(kept.scene_embeddings(noise_clips(8000)), before, rtol=0.01)


def test_nobody_looks_at_what_nobody_has(kept: Extractor, looks: list[nn.Module]) -> None:
    clips = noise_clips(8000)
    scene = kept.scene_embeddings(clips)
    kept.timestamp_embeddings(clips)
    kept.embed_windows(torch.from_numpy(clips))
    list(kept.stream([clips[0]]))
    kept.eval()
    kept.train()
    assert not hasattr(kept, "no_such_attribute")
    assert kept.engine in ("numba", "torch")
    assert kept.labels is None
    assert kept.embedding_size == 64
    assert torch.equal(kept.scene_embeddings(clips), scene)
    assert looks == []
    net = kept.net
    assert net.training
    kept.scene_embeddings(clips)
    assert looks == [net]


def test_another_device_or_type_is_noticed(kept: Extractor, looks: list[nn.Module]) -> None:
    """Moving is no reason to look every time from then on: once is enough."""
    clips = noise_clips(8000)
    before = kept.scene_embeddings(clips)
    kept.to("cpu")
    assert torch.equal(kept.scene_embeddings(clips), before)
    assert len(looks) == 1
    assert kept.to(torch.float64) is kept
    after = kept.scene_embeddings(clips)
    assert not torch.equal(after, before)
    assert 2 <= len(looks) <= 3  # twice where a net is compiled
    looked = len(looks)
    assert torch.equal(kept.scene_embeddings(clips), after)
    assert len(looks) == looked
    assert kept.kept is not None
    with pytest.raises(InvalidOption, match="numbers of the type int32, but floating-point ones only"):
        kept.to(torch.int32)


def test_its_own_tensors_move_too(kept: Extractor) -> None:
    kept.register_buffer("mean", torch.zeros(3))
    assert kept.to(torch.float64).mean.dtype == torch.float64
    assert kept.net.convs[0].weight.dtype == torch.float64
    kept.no_part = "a word"
    assert kept.no_part == "a word"
    with pytest.raises(AttributeError, match="'Extractor' object has no attribute 'nothing'"):
        kept.nothing  # noqa: B018


def test_its_attributes_are_found_without_a_call(kept: Extractor) -> None:
    """As protocols that are checked at run time, and what completes names, look for them."""

    @runtime_checkable
    class HasRate(Protocol):
        sample_rate: int

    assert inspect.getattr_static(kept, "sample_rate") == kept.sample_rate
    assert isinstance(kept, HasRate)
    assert kept.kept is not None


def test_copies_are_looked_at(kept: Extractor) -> None:
    clips = noise_clips(8000)
    before = kept.scene_embeddings(clips)
    for twin in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert twin.kept is None
        assert torch.equal(twin.scene_embeddings(clips), before)
        set_a_module(twin)
        assert not torch.allclose(twin.scene_embeddings(clips), before, rtol=0.01)
    assert torch.equal(kept.scene_embeddings(clips), before)


def set_in_the_class(extractor: Extractor, net: nn.Module) -> None:
    extractor.__class__ = type("Wrapped", (Extractor,), {"net": property(lambda _: net)})


def set_beside_the_modules(extractor: Extractor, net: nn.Module) -> None:
    object.__setattr__(extractor, "net", net)


@pytest.mark.parametrize("change", [set_in_the_class, set_beside_the_modules])
def test_an_attribute_before_the_module(change: Callable[[Extractor, nn.Module], None], kept: Extractor) -> None:
    """It is what nn.Module would find, and somebody has it."""
    clips, net = noise_clips(8000), other_net()
    before = kept.scene_embeddings(clips)
    change(kept, net)
    assert kept.net is net
    after = kept.scene_embeddings(clips)
    assert not torch.allclose(after, before, rtol=0.01)
    with torch.no_grad():
        first(net.parameters()).mul_(1.5)
    assert not torch.allclose(kept.scene_embeddings(clips), after, rtol=0.01)


def test_without_a_net_the_error_is_that_of_a_missing_attribute(kept: Extractor) -> None:
    """So that hasattr() and inspect.getmembers() say what they say of any module."""
    del kept.net
    assert not hasattr(kept, "engine")
    assert "engine" not in dict(inspect.getmembers(kept))
    with pytest.raises(AttributeError):
        kept.scene_embeddings(noise_clips(8000))


@pytest.mark.parametrize(
    "register",
    [
        hooks.register_module_module_registration_hook,
        hooks.register_module_parameter_registration_hook,
        hooks.register_module_buffer_registration_hook,
    ],
)
def test_who_is_called_with_what_modules_are_made_of_has_it(
    register: Callable[[Callable[[nn.Module, str, object], None]], RemovableHandle], weights_folder: Path
) -> None:
    made: list[object] = []
    with register(lambda module, _name, part: made.extend([module, part])):
        extractor = hear_edgel3.load("sea_64", weights_folder)
    clips = noise_clips(8000)
    before = extractor.scene_embeddings(clips)
    with torch.no_grad():
        for module in {module for module in made if isinstance(module, nn.Module)}:
            for parameter in module.parameters(recurse=False):
                parameter.mul_(1.5)
    assert not torch.allclose(extractor.scene_embeddings(clips), before, rtol=0.01)


def test_who_makes_one_has_its_modules(kept: Extractor) -> None:
    net = other_net()
    own = Extractor(kept.configuration, kept.frontend, net).eval()
    assert own.kept is None
    before = own.scene_embeddings(noise_clips(8000))
    with torch.no_grad():
        first(net.parameters()).mul_(1.5)
    assert not torch.allclose(own.scene_embeddings(noise_clips(8000)), before, rtol=0.01)


def test_moved_by_one_thread_while_another_embeds(kept: Extractor) -> None:
    """Whatever was compiled while it moved, what it is now is embedded in the end."""
    clips = noise_clips(8000)
    done = threading.Event()
    failed: list[BaseException] = []

    def embed() -> None:
        while not done.is_set():
            try:
                kept.scene_embeddings(clips)
            except RuntimeError:
                pass  # half of it is of another type
            except BaseException as error:
                failed.append(error)
                return

    thread = threading.Thread(target=embed)
    thread.start()
    for dtype in (torch.float64, torch.float32) * 10:
        kept.to(dtype)
    done.set()
    thread.join(60)
    found = kept.scene_embeddings(clips)
    kept.forget_compiled()
    assert failed == []
    assert torch.equal(kept.scene_embeddings(clips), found)


class Two(KeepsModules):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 2)
        self.keep()


@pytest.mark.parametrize(
    "name",
    [
        *("cpu", "float", "half", "double", "bfloat16", "share_memory", "zero_grad", "requires_grad_"),
        *("parameters", "named_parameters", "modules", "named_modules", "children", "named_children", "state_dict"),
    ],
)
def test_methods_of_torch_hand_out(name: str) -> None:
    found = Two()
    assert found.kept is not None
    result = getattr(found, name)()
    assert result is None or list([result] if isinstance(result, nn.Module) else result)
    assert found.kept is None
    assert isinstance(found.own("net"), nn.Linear)

"""Front ends that are made, or used first, in another mode of torch than they are used in later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch

from hear_edgel3.families.image.frontend import ImageSpectrogram
from hear_edgel3.families.image.picture import Picture
from hear_edgel3.families.l3.frontend import L3MelSpectrogram
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram

MAKE: dict[str, Callable[[], torch.nn.Module]] = {
    "l3": lambda: L3MelSpectrogram(8000, 1024, 160, 64),
    "mobilenetv3": MobileNetV3MelSpectrogram,
    "ssondo": SsondoMelSpectrogram,
    "image": lambda: torch.nn.Sequential(ImageSpectrogram(), Picture(image_width=32, image_height=32)),
}
AROUND: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "inference mode": torch.inference_mode,
    "a default device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.fixture
def float16() -> Iterator[None]:
    torch.set_default_dtype(torch.float16)
    yield
    torch.set_default_dtype(torch.float32)


def sound() -> torch.Tensor:
    return 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", MAKE)
def test_made_in_a_mode(name: str, around: str) -> None:
    expected = MAKE[name]().eval()(sound())
    with AROUND[around]():
        frontend = MAKE[name]().eval()
    samples = sound().requires_grad_()
    found = frontend(samples)
    assert torch.equal(found, expected)
    found.sum().backward()  # tensors of inference mode could not be saved for this
    assert samples.grad is not None
    assert bool(samples.grad.any())


@pytest.mark.parametrize("name", MAKE)
def test_made_with_another_default_type(name: str, float16: None) -> None:
    found = MAKE[name]().eval()(sound())
    torch.set_default_dtype(torch.float32)
    assert torch.equal(found, MAKE[name]().eval()(sound()))


@pytest.mark.parametrize("name", MAKE)
def test_used_first_in_inference_mode_for_another_device(name: str) -> None:
    """What is kept for a device is made when it is needed first."""
    frontend = MAKE[name]().eval()
    for part in frontend.modules():
        for kept in ("_constants", "_tables"):
            getattr(part, kept, {}).clear()
    with torch.inference_mode():
        frontend(sound())
    samples = sound().requires_grad_()
    frontend(samples).sum().backward()
    assert samples.grad is not None

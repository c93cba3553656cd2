"""Resizing against what ``tf.image.resize`` gave: TensorFlow 2.15.1, 30 by 40 random numbers made 13 and 64 by 17."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hear_edgel3.families.image.options import RESIZE_METHODS
from hear_edgel3.families.image.resizing import resize
from support.paths import DATA


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(DATA / "tf_image_resize.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("method", "anti_alias"), [*itertools.product(RESIZE_METHODS, (True, False))])
def test_as_tensorflow(method: str, anti_alias: bool, golden: dict[str, np.ndarray]) -> None:
    images = torch.from_numpy(golden["x"])
    for which in ("mix", "down"):
        expected = torch.from_numpy(golden[f"{method}_{'aa' if anti_alias else 'noaa'}_{which}"])
        found = resize(images[None, None], *expected.shape, method, anti_alias)[0, 0]
        # Sums of up to 30 float32 values near 1, in another order.
        torch.testing.assert_close(found, expected, atol=0 if method == "nearest" else 6e-6, rtol=0)


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_whatever_the_caller_has_set(method: str) -> None:
    images = torch.randn(2, 3, 21, 18)
    expected = resize(images, 30, 12, method, True)
    torch.set_default_dtype(torch.float16)
    try:
        with torch.inference_mode():
            found = resize(images, 30, 12, method, True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)
    flat = resize(torch.full((1, 21, 18), 2.5), 30, 12, method, True)
    torch.testing.assert_close(flat, torch.full((1, 30, 12), 2.5))


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_gradients_flow(method: str) -> None:
    images = torch.randn(1, 5, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: resize(x, 3, 7, method, True), images)

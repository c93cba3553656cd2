"""How images share the lanes of vectors, and are cut into strips of time."""

from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.engine.kernels.alone import most_alone
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime, strips_for

# Of MobileNetV3: stride and reach of the first convolution and of the 15 blocks.
CONVOLUTIONS = [(2, 1), (1, 1), (2, 1), (1, 1), (2, 2), (1, 2), (1, 2), (2, 1), *[(1, 1)] * 5, (2, 2), (1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("frames", "strips", "width"),
    [(1, 1, 1), (16, 1, 16), (101, 2, 64), (331, 16, 32), (501, 16, 32), (1000, 16, 64), (2500, 16, 160)],
)
def test_strips_of_the_family(frames: int, strips: int, width: int) -> None:
    """160 ms, 1 s, 3.3 s, 5 s, 10 s, 25 s."""
    assert strips_for(frames, 16, CONVOLUTIONS) == StripsOfTime(16, strips, frames, width)


@pytest.mark.parametrize(
    ("lanes", "frames", "most"),
    [(16, 16, 3), (16, 101, 2), (16, 501, 0), (8, 16, 3), (8, 101, 2), (8, 501, 0), (4, 16, 1), (4, 101, 0)],
)
def test_images_that_do_not_share_vectors(lanes: int, frames: int, most: int) -> None:
    """160 ms, 1 s, 5 s."""
    assert most_alone(strips_for(frames, lanes, CONVOLUTIONS), dynamic=False) == most


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_strips_suit_all_layers(lanes: int) -> None:
    for frames in range(1, 3000, 7):
        sharing = strips_for(frames, lanes, CONVOLUTIONS)
        assert sharing.strips * sharing.width >= frames
        assert sharing.images * sharing.strips == lanes
        width = sharing.width
        for stride, reach in CONVOLUTIONS if sharing.strips > 1 else ():
            assert width >= (1 if sharing.strips == lanes else reach)
            assert width % stride == 0
            width //= stride


@pytest.mark.parametrize("strips", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("reach", [1, 2, 4])
def test_what_is_masked_before_a_convolution(strips: int, reach: int) -> None:
    """All of a map's columns behind its end that an output within it sees, and no more than a row has."""
    for width in (1, 2, 3, 5, 8, 12):  # of the shortest, a reach of 4 goes around more than once
        for frames in range(1, strips * width + 1):
            sharing = StripsOfTime(16, strips, frames, width)
            begin, end = sharing.before_convolving(width, frames, reach)
            assert 0 <= begin <= end <= width
            seen = {at % width for at in range(frames, frames + reach) if at < strips * width}
            assert seen <= set(range(begin, end)) or strips == 1
            if begin > 0 and strips > 1:
                assert set(range(begin, end)) == seen


@pytest.mark.parametrize("sharing", [StripsOfTime(8, 4, 50, 16), StripsOfTime(4, 4, 64, 16), StripsOfTime(4, 1, 5, 5)])
def test_images_in_lanes(sharing: StripsOfTime) -> None:
    images = np.random.RandomState(0).randn(sharing.images, 3, sharing.frames).astype(np.float32)
    target = aligned(3 * sharing.width * sharing.lanes)
    target[:] = np.nan
    sharing.put(images, target)
    found = (
        target.reshape(3, sharing.width, sharing.images, sharing.strips)
        .transpose(0, 2, 3, 1)
        .reshape(3, sharing.images, -1)
    )
    np.testing.assert_array_equal(found[:, :, : sharing.frames].transpose(1, 0, 2), images)
    assert (found[:, :, sharing.frames :] == 0).all()
    mask, begin = sharing.mask(sharing.width, sharing.frames)
    ones = np.ones((sharing.width, sharing.lanes)) if mask is None else mask
    assert ones.sum() == sharing.frames * sharing.images
    assert (ones[:begin] == 1).all()
    first, last = sharing.edges()
    assert first.sum() == last.sum() == sharing.images * (sharing.strips - 1)
    assert (first[:: sharing.strips] == 0).all()
    assert (last[sharing.strips - 1 :: sharing.strips] == 0).all()


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("strips", [1, 2, 4])
@pytest.mark.parametrize("frames", [1, 3, 16, 37, 64, 131])
@pytest.mark.parametrize("longer", [0, 1, 7])
def test_what_is_put_into_lanes(lanes: int, strips: int, frames: int, longer: int) -> None:
    """Every value lies where the picture of the layout says, and all else is zero, whatever was there before."""
    sharing = StripsOfTime(lanes, strips, frames, -(-frames // strips) + longer)
    for n in range(1, sharing.images + 1):
        images = np.random.RandomState(n).randn(n, 3, frames).astype(np.float32)
        expected = np.zeros((3, sharing.width, lanes), np.float32)
        for i in range(n):
            for frame in range(frames):
                expected[:, frame % sharing.width, i * strips + frame // sharing.width] = images[i, :, frame]
        target = aligned(expected.size)
        target[:] = np.nan
        sharing.put(images, target)
        np.testing.assert_array_equal(target, expected.ravel())
        sharing.put(np.asfortranarray(images), target)
        np.testing.assert_array_equal(target, expected.ravel())

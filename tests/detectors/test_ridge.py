"""The ridge regression of linear heads, against scikit-learn's, which solves all anew for each penalty."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference

from hear_edgel3.detectors.linear import Ridge

# Both solve the same equations in float64; observed at most 2e-13 of the largest coefficient.
CLOSE = 1e-10


@pytest.mark.parametrize(("n", "size"), [(200, 12), (12, 200), (30, 30)])
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("penalty", [1.0, 100.0, 1e5])
def test_one_penalty_of_several_is_as_if_it_were_the_only_one(n: int, size: int, weighed: bool, penalty: float) -> None:
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((n, size)) * rng.uniform(0.1, 3, size) + 5
    targets = rng.standard_normal((n, 3)) + vectors[:, :3]
    weights = rng.uniform(0.1, 4, n) if weighed else None
    ridge = Ridge(vectors, targets, weights)
    ridge.fit(10.0)  # what was asked before makes no difference
    coefficients, bias = ridge.fit(penalty)
    wanted = Reference(penalty).fit(vectors, targets, sample_weight=weights)
    largest = np.abs(wanted.coef_).max()
    np.testing.assert_allclose(coefficients, wanted.coef_, rtol=0, atol=CLOSE * largest)
    np.testing.assert_allclose(bias, wanted.intercept_, rtol=0, atol=CLOSE * max(1, np.abs(wanted.intercept_).max()))

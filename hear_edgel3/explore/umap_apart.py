"""UMAP of neighbours that are known, in a process apart (:mod:`hear_edgel3.disk.apart`).

Apart, for the process that asks is to be spared numba's threads, which change torch's, and its switches. What is
compiled is kept on disk, and no more is compiled than is run: pynndescent, which finds neighbours and is imported by
umap-learn in any case, would take longer than all the rest.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import numpy as np

from hear_edgel3.disk.apart import Answer

_FEW = 1000


def answer(question: dict[str, Any], body: bytes) -> Answer:
    """Lays vectors out.

    Args:
        question: ``n`` and ``size`` of the vectors; ``k``, of the neighbours of each, itself included; ``seed``; and
            ``folder``, where compiled functions are kept.
        body: (n, size) float32, the vectors; (n, k) int32, the numbers of the neighbours, each vector's own first;
            and (n, k) float32, their distances.

    Returns:
        Nothing, and (n, 2) float32.
    """
    n, size, k = question["n"], question["size"], question["k"]
    values = bytearray(body)  # into which UMAP may write
    vectors = np.frombuffer(values, np.float32, n * size).reshape(n, size)
    numbers = np.frombuffer(values, np.int32, n * k, 4 * n * size).reshape(n, k)
    distances = np.frombuffer(values, np.float32, n * k, 4 * n * (size + k)).reshape(n, k)
    os.environ["NUMBA_CACHE_DIR"] = question["folder"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies' own deprecations, and that a seed means one thread
        umap = _umap(n)
        layout = umap.UMAP(
            n_neighbors=k, random_state=question["seed"], n_jobs=1, precomputed_knn=(numbers, distances, None)
        ).fit_transform(vectors)
    return {}, [np.ascontiguousarray(layout, np.float32).tobytes()]


def _umap(n: int) -> Any:
    """The library, for n vectors."""
    from numba import config, njit

    config.DISABLE_JIT = True
    try:
        importlib.import_module("pynndescent")  # which umap imports, and which has nothing to do here
    finally:
        config.DISABLE_JIT = False
    import umap
    from umap import layouts, umap_

    # One thread is used, and code for several takes four times as long to compile. Of few clips they take less time as
    # they are.
    for name in ("smooth_knn_dist", "compute_membership_strengths"):
        function = getattr(umap_, name)
        compiled = njit(function.py_func, locals=function.locals, cache=True)
        setattr(umap_, name, function.py_func if n <= _FEW else compiled)
    epoch = getattr(layouts, "_nb_optimize_layout_euclidean_single_epoch", None)  # not in older versions
    if epoch is not None:
        epoch.enable_caching()
    return umap

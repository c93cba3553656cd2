"""From embeddings to places on a map."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np

from hear_edgel3.errors import InvalidOption, MissingExtra
from hear_edgel3.search.neighbours import unit

METHODS = ("auto", "pca", "umap")
_UMAP_NEIGHBOURS = 10
_COUNTED = 2000
_FEWEST = 15  # clips, and no more: they are not laid out by UMAP


def project(
    vectors: np.ndarray, method: str = "auto", seed: int = 0, near: np.ndarray | None = None
) -> tuple[np.ndarray, str]:
    """Lays vectors out in two dimensions. Their lengths do not count: neighbours are compared by angle as well.

    Args:
        vectors: (n, D) float32, n >= 1.
        method: ``pca``; ``umap``; or ``auto``: UMAP where umap-learn is installed and there are enough vectors for it.
        seed: The seed of UMAP; the same gives the same map.
        near: (n, D') float32, the vectors by which neighbours are found, for UMAP to keep near; None for ``vectors``.
            Principal components are of ``vectors``: whitened ones have none.

    Returns:
        (n, 2) float32 in [-1, 1], centred, with equal scales of both axes; and the method that was used.

    Raises:
        InvalidOption: no such method.
        MissingExtra: UMAP was asked for and umap-learn is not installed.
    """
    if method not in METHODS:
        raise InvalidOption(f"projection {method!r} is not known; use one of {', '.join(METHODS)}")
    if method == "umap":
        require_umap()
    enough = len(vectors) > _FEWEST  # fewer have not so many neighbours
    if enough and (method == "umap" or (method == "auto" and _umap_is_there())):
        return _fitted(
            _pca(_umap(vectors if near is None else near, seed))
        ), "umap"  # turned so that it is wider than high
    return _fitted(_pca(unit(vectors))), "pca"


def neighbours_kept(places: np.ndarray, neighbours: np.ndarray) -> float | None:
    """How many of each clip's nearest are among as many nearest places on the map, from 0 to 1.

    Args:
        places: (n, 2).
        neighbours: (n, k) the numbers of the nearest by their embeddings, -1 where there are no more.

    Returns:
        The mean, of at most 2,000 clips that are evenly spread; None for one clip.
    """
    n, k = neighbours.shape
    if n < 2 or k == 0:
        return None
    shares = []
    for clip in np.linspace(0, n - 1, min(n, _COUNTED)).astype(int):
        away = ((places - places[clip]) ** 2).sum(axis=1)
        away[clip] = np.inf
        wanted = neighbours[clip][neighbours[clip] >= 0]
        near = np.argpartition(away, len(wanted) - 1)[: len(wanted)]
        shares.append(len(np.intersect1d(near, wanted)) / len(wanted))
    return float(np.mean(shares))


def require_umap() -> None:
    """Finds out before the work that umap-learn is missing.

    Raises:
        MissingExtra: it is not installed.
    """
    if not _umap_is_there():
        raise MissingExtra("the projection 'umap'", "umap-learn", "explore")


def _umap_is_there() -> bool:
    return importlib.util.find_spec("umap") is not None


def _pca(vectors: np.ndarray) -> np.ndarray:
    """(n, 2): the two leading principal components, each with its largest weight positive."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    # of the (D, D) covariance: D is hundreds, n may be many thousands; eigenvalues come in ascending order
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    places = centred @ axes
    return places if places.shape[1] == 2 else np.pad(places, ((0, 0), (0, 1)))  # embeddings of one value


def _umap(vectors: np.ndarray, seed: int) -> np.ndarray:
    import torch

    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its dependencies' own deprecations, and that a seed means one thread
            import umap

            layout: np.ndarray = umap.UMAP(n_neighbors=_UMAP_NEIGHBOURS, random_state=seed, n_jobs=1).fit_transform(
                unit(vectors)
            )
    finally:
        # numba's threads raise it to the number of cores, through the OpenMP library that both use; nets whose
        # threads outnumber what the caller has chosen are many times slower.
        torch.set_num_threads(threads)
    return layout


def _fitted(places: np.ndarray) -> np.ndarray:
    """Moved and scaled into [-1, 1]."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = float((high - low).max()) / 2
    fitted: np.ndarray = ((places - (low + high) / 2) / (half or 1)).astype(np.float32)
    return fitted

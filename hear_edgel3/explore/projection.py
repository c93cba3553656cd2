"""From embeddings to places on a map."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np

from hear_edgel3.disk.apart import Apart, Ended, Failed
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import ComputationError, InvalidOption, MissingExtra
from hear_edgel3.search.neighbours import nearest, unit

METHODS = ("auto", "pca", "umap")
NEIGHBOURS = 9  # that UMAP goes by; with itself each clip has 10
_PATIENCE_S = 1_000_000  # of millions of clips, too
_COUNTED = 2000
_FEWEST = 15  # clips, and no more: they are not laid out by UMAP


def project(
    vectors: np.ndarray,
    method: str = "auto",
    seed: int = 0,
    near: np.ndarray | None = None,
    neighbours: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, str]:
    """Lays vectors out in two dimensions. Their lengths do not count: neighbours are compared by angle as well.

    Args:
        vectors: (n, D) float32, n >= 1.
        method: ``pca``; ``umap``; or ``auto``: UMAP where umap-learn is installed and there are enough vectors for it.
        seed: The seed of UMAP; the same gives the same map.
        near: (n, D') float32, the vectors by which neighbours are found, for UMAP to keep near; None for ``vectors``.
            Principal components are of ``vectors``: whitened ones have none.
        neighbours: The nearest :data:`NEIGHBOURS` (or more) of each in ``near``, as
            :func:`~hear_edgel3.search.neighbours.nearest` gives them, where they are known; None to find them.

    Returns:
        (n, 2) float32 in [-1, 1], centred, with equal scales of both axes; and the method that was used.

    Raises:
        InvalidOption: no such method.
        MissingExtra: UMAP was asked for and umap-learn is not installed.
        ComputationError: UMAP failed, for want of memory for example.
    """
    if method not in METHODS:
        raise InvalidOption(f"projection {method!r} is not known; use one of {', '.join(METHODS)}")
    if method == "umap":
        require_umap()
    enough = len(vectors) > _FEWEST  # fewer have not so many neighbours
    if enough and (method == "umap" or (method == "auto" and _umap_is_there())):
        near = vectors if near is None else near
        layout = _umap(near, seed, nearest(near, NEIGHBOURS) if neighbours is None else neighbours)
        return _fitted(_pca(layout)), "umap"  # turned so that it is wider than high
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


def _umap(near: np.ndarray, seed: int, neighbours: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(n, 2): the layout that keeps the nearest of each vector near."""
    n = len(near)
    numbers, cosines = (table[:, :NEIGHBOURS] for table in neighbours)
    # What has no neighbours (zeros) is as far from all as from any.
    others = (np.arange(n)[:, None] + np.arange(1, NEIGHBOURS + 1)) % n
    distances = np.where(numbers < 0, 1, np.sqrt(np.maximum(2 - 2 * cosines, 0)))
    numbers = np.where(numbers < 0, others, numbers)
    vectors = unit(near)
    body = b"".join(
        [
            vectors.tobytes(),
            np.concatenate([np.arange(n)[:, None], numbers], axis=1).astype(np.int32).tobytes(),
            np.concatenate([np.zeros((n, 1)), distances], axis=1).astype(np.float32).tobytes(),
        ]
    )
    question = {"n": n, "size": vectors.shape[1], "k": NEIGHBOURS + 1, "seed": seed}
    with (
        _folder_of_compiled() as folder,
        closing(Apart("hear_edgel3.explore.umap_apart:answer", "umap", _PATIENCE_S)) as umap,
    ):
        try:
            _, layout = umap.ask({**question, "folder": folder}, body)
        except (Failed, Ended) as error:
            raise ComputationError(
                f"umap-learn could not lay {n} clips out: {error}; --projection pca (projection='pca') goes without it"
            ) from error
    return np.frombuffer(layout, np.float32).reshape(n, 2)


@contextmanager
def _folder_of_compiled() -> Iterator[str]:
    """Where what numba compiles is kept; where nothing can be, a folder for this once."""
    folder = cache_folder() / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        with tempfile.TemporaryDirectory() as once:
            yield once
    else:
        yield str(folder.resolve())


def _fitted(places: np.ndarray) -> np.ndarray:
    """Moved and scaled into [-1, 1]."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = float((high - low).max()) / 2
    fitted: np.ndarray = ((places - (low + high) / 2) / (half or 1)).astype(np.float32)
    return fitted

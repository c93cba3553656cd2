"""A linear probe, its accuracy, and how sure that is. Needs scikit-learn.

The probe standardises each value and fits a ridge classifier whose classes weigh the same; how strong the penalty is,
it finds by cross-validation on the training folds alone, with groups undivided there too.
"""

from __future__ import annotations

import numpy as np

PENALTIES = tuple(10.0**power for power in range(6))
_INNER_FOLDS = 4
_RESAMPLES = 2000


def predict(embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Classes of all clips, each predicted by a probe that was fitted on the other folds.

    Args:
        embeddings: (n, size).
        labels: (n,) true classes.
        groups: (n,) what is never divided.
        folds: (n,) number of the fold of each clip.

    Returns:
        (n,) classes.
    """
    result = np.empty_like(labels)
    for fold in np.unique(folds):
        test = folds == fold
        train = ~test
        penalty = _best_penalty(embeddings[train], labels[train], groups[train])
        result[test] = _fit(embeddings[train], labels[train], penalty).predict(embeddings[test])
    return result


def balanced_accuracy(labels: np.ndarray, correct: np.ndarray) -> float:
    """Mean over the classes of the share of their clips that are predicted rightly.

    Args:
        labels: (n,) true classes.
        correct: (n,) whether each clip was predicted rightly, or in what share of several runs.
    """
    return float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def bootstrap(labels: np.ndarray, groups: np.ndarray, correct: np.ndarray, seed: int = 0) -> np.ndarray:
    """Balanced accuracies of resampled tasks.

    Groups are drawn with replacement, among those of their class if each has one class. The probes stay the same, so
    the spread is that of the test clips, not of the training.

    Args:
        labels: (n,) true classes.
        groups: (n,) what is drawn as a whole.
        correct: as for :func:`balanced_accuracy`.
        seed: equal seeds draw equal groups, so that differences between nets can be resampled too.

    Returns:
        (2000,) accuracies; their quantiles .025 and .975 are a 95 % confidence interval.
    """
    random = np.random.RandomState(seed)
    names, group_of = np.unique(groups, return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    first = {int(group): int(label) for group, label in zip(group_of[::-1], class_of[::-1], strict=True)}
    one_class = all(first[int(group)] == label for group, label in zip(group_of, class_of, strict=True))
    strata = np.array([first[group] if one_class else 0 for group in range(len(names))])
    drawn = np.zeros((_RESAMPLES, len(names)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        drawn[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), _RESAMPLES)
    times = drawn[:, group_of]
    of_class = np.eye(len(classes))[class_of]
    count = times @ of_class
    right = (times * correct) @ of_class
    # A class that was not drawn, which happens only where groups have several, does not count.
    return np.where(count > 0, right / np.maximum(count, 1), 0).sum(axis=1) / (count > 0).sum(axis=1)


def interval(scores: np.ndarray) -> tuple[float, float]:
    """The 95 % confidence interval that resampled scores give."""
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def _best_penalty(embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(_INNER_FOLDS, len(np.unique(groups)))
    inner = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    predicted = {penalty: np.empty_like(labels) for penalty in PENALTIES}
    for train, test in inner.split(embeddings, labels, groups):
        for penalty in PENALTIES:
            predicted[penalty][test] = _fit(embeddings[train], labels[train], penalty).predict(embeddings[test])
    # The stronger of two that are equally good.
    return max(PENALTIES, key=lambda penalty: (balanced_accuracy(labels, predicted[penalty] == labels), penalty))


def _fit(embeddings: np.ndarray, labels: np.ndarray, penalty: float):
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeClassifier(penalty, class_weight="balanced"))
    return model.fit(embeddings, labels)

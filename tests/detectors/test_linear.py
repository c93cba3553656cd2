"""Linear heads: what scikit-learn would say of the same embeddings, brought into a head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.quality import probe
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hear_edgel3.detectors.frozen import fit_head, logits_of
from hear_edgel3.detectors.linear import Part, _inner_folds, _logistic, fit_linear
from hear_edgel3.detectors.options import TrainOptions
from hear_edgel3.labels import Kind
from hear_edgel3.scores.calibration import expected_calibration_error, fit_temperature, probabilities_of


def part_of(targets: np.ndarray, kind: Kind = Kind.SINGLE, n_outputs: int = 3, mask: np.ndarray | None = None) -> Part:
    """Embeddings in which the targets can be seen, of groups of three."""
    rng = np.random.default_rng(0)
    shown = np.eye(n_outputs)[targets] if kind is Kind.SINGLE else targets.astype(np.float64)
    vectors = shown @ rng.standard_normal((n_outputs, 12)) * 2 + rng.standard_normal((len(targets), 12)) * 2 + 5
    return Part(vectors.astype(np.float32), targets, mask, np.arange(len(targets)) // 3, kind, n_outputs)


@pytest.fixture
def classes() -> np.ndarray:
    return np.random.default_rng(1).integers(3, size=90)


def test_the_quality_benchmarks_probe(classes: np.ndarray) -> None:
    part = part_of(classes)
    fitted = fit_linear(part)
    unseen = part_of(np.random.default_rng(2).integers(3, size=60)).vectors
    folds = np.r_[np.zeros(90), np.ones(60)]
    vectors, groups = np.r_[part.vectors, unseen], np.r_[part.units, 100 + np.arange(60) // 3]
    labels = np.r_[part.targets, np.arange(60) % 3]
    wanted = probe.predict(vectors, labels, groups, folds)[90:]
    assert (logits_of(fitted.head, unseen).argmax(axis=1) == wanted).all()


def test_logits_are_those_of_scikit_learn_but_for_a_scale(classes: np.ndarray) -> None:
    part = part_of(classes)
    fitted = fit_linear(part)
    wanted = make_pipeline(StandardScaler(), RidgeClassifier(fitted.about["penalty"], class_weight="balanced"))
    wanted.fit(part.vectors, part.targets)
    logits = fitted.about["scale"] * wanted.decision_function(part.vectors)
    np.testing.assert_allclose(logits_of(fitted.head, part.vectors), logits, atol=1e-4)


def test_the_scale_makes_probabilities_of_them(classes: np.ndarray) -> None:
    """Where classes can hardly be told, a guess must be as unsure as it is often wrong."""
    part = part_of(classes)
    rng = np.random.default_rng(3)
    hard = replace(part, vectors=(part.vectors + 8 * rng.standard_normal(part.vectors.shape)).astype(np.float32))
    sure = [
        torch.from_numpy(logits_of(fit_linear(one).head, one.vectors)).softmax(dim=1).amax(dim=1).mean()
        for one in (part, hard)
    ]
    assert sure[0] > 0.75
    assert sure[1] < 0.6


@pytest.mark.parametrize(("n_classes", "n"), [(3, 300), (10, 100), (10, 300), (30, 300)])
def test_probabilities_of_many_classes_are_not_too_unsure(n_classes: int, n: int) -> None:
    """The likeliest temperature of other sounds is near 1, and so small is what they are off by."""
    logs, errors = [], []
    for seed in range(5):
        random = np.random.default_rng(seed)
        middles, targets = 0.45 * random.standard_normal((n_classes, 64)), random.integers(0, n_classes, n + 1000)
        noise = random.standard_normal((n + 1000, 64)) * np.geomspace(2, 0.5, 64)
        vectors = (middles[targets] + noise).astype(np.float32)
        part = Part(vectors[:n], targets[:n], None, np.arange(n), Kind.SINGLE, n_classes)
        logits = logits_of(fit_linear(part).head, vectors[n:])
        logs.append(np.log(fit_temperature(logits, targets[n:])))
        errors.append(expected_calibration_error(probabilities_of(logits, True), targets[n:]))
    assert abs(np.mean(logs)) < 0.29
    assert np.mean(errors) < 0.035


def test_units_stay_whole_inside(classes: np.ndarray) -> None:
    part = part_of(classes)
    folds = list(_inner_folds(part))
    assert len(folds) == 4
    for train, test in folds:
        assert not set(part.units[train]) & set(part.units[test])


def test_two_classes_have_two_logits() -> None:
    part = part_of(np.arange(40) % 2, n_outputs=2)
    logits = logits_of(fit_linear(part).head, part.vectors)
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], atol=1e-4)
    assert (logits.argmax(axis=1) == part.targets).mean() > 0.9


def test_a_class_without_a_sound_is_never_guessed() -> None:
    part = part_of(np.arange(60) % 2, n_outputs=3)
    logits = logits_of(fit_linear(part).head, part.vectors)
    assert (logits[:, 2] < -1000).all()


@pytest.mark.parametrize("counts", [(5, 5, 5), (5, 5, 1), (1, 1, 1)])
def test_few_sounds(counts: tuple[int, ...]) -> None:
    targets = np.repeat(np.arange(3), counts)
    part = replace(part_of(targets), units=np.arange(len(targets)))
    fitted = fit_linear(part)
    assert np.isfinite(logits_of(fitted.head, part.vectors)).all()
    assert ("usual" in "".join(fitted.notes)) == (max(counts) == 1)


def test_several_labels_are_logistic_regressions() -> None:
    targets = np.random.default_rng(4).integers(2, size=(90, 3)).astype(np.float32)
    part = part_of(targets, Kind.SEVERAL)
    fitted = fit_linear(part)
    logits = logits_of(fitted.head, part.vectors)
    values = StandardScaler().fit_transform(part.vectors.astype(np.float64))
    for i in range(3):
        wanted = LogisticRegression(C=1 / fitted.about["penalty"], max_iter=1000, tol=1e-8).fit(values, targets[:, i])
        np.testing.assert_allclose(logits[:, i], wanted.decision_function(values), atol=1e-3)


def test_what_nobody_judged_has_no_effect() -> None:
    rng = np.random.default_rng(5)
    targets, mask = rng.integers(2, size=(90, 3)).astype(np.float32), rng.random((90, 3)) < 0.7
    part = part_of(targets, Kind.SEVERAL, mask=mask)
    other = replace(part, targets=np.where(mask, targets, 1 - targets))
    heads = [fit_linear(one).head for one in (part, other)]
    assert torch.equal(heads[0].output.weight, heads[1].output.weight)


def test_the_same_bits_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((300, 600)).astype(np.float32)
    targets = (vectors[:, :10] + rng.standard_normal((300, 10)) > 0.5).astype(np.float32)
    part = Part(vectors, targets, None, np.arange(300), Kind.SEVERAL, 10)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            found.append(_logistic(part, [], 1.0)[1])
    assert (found[0] == found[1]).all()


def test_a_penalty_that_is_given_is_taken(classes: np.ndarray) -> None:
    for part in (
        part_of(classes),
        part_of(np.eye(3)[classes], Kind.SEVERAL),
        part_of(np.eye(3)[classes], Kind.NUMBERS),
    ):
        chosen = fit_linear(part)
        given = fit_linear(part, 3000.0)
        again = fit_linear(part, chosen.penalty)
        assert chosen.penalty == chosen.about["penalty"] != 3000.0 == given.penalty == given.about["penalty"]
        assert not torch.equal(given.head.output.weight, chosen.head.output.weight)
        assert again.about == chosen.about
        assert torch.equal(again.head.output.weight, chosen.head.output.weight)


def test_labels_that_all_or_no_sounds_have_are_as_likely_as_that() -> None:
    targets = np.zeros((40, 3), np.float32)
    targets[:, 1] = 1
    targets[::2, 2] = 1
    logits = logits_of(fit_linear(part_of(targets, Kind.SEVERAL)).head, part_of(targets, Kind.SEVERAL).vectors)
    assert (logits[:, 0] < -4).all()
    assert (logits[:, 1] > 4).all()


def test_numbers_are_ridge_regression() -> None:
    targets = np.random.default_rng(6).standard_normal((90, 2)).astype(np.float32) * (1, 100) + (0, 1000)
    part = part_of(targets.astype(np.float32), Kind.NUMBERS, n_outputs=2)
    fitted = fit_linear(part)
    values = StandardScaler().fit_transform(part.vectors.astype(np.float64))
    wanted = Ridge(fitted.about["penalty"]).fit(values, part.targets).predict(values)
    np.testing.assert_allclose(logits_of(fitted.head, part.vectors), wanted, rtol=1e-4, atol=1e-3)


class TestMlp:
    def learn(self, part: Part, validation: Part | None = None, **options: object):
        empty = replace(part, vectors=part.vectors[:0], targets=part.targets[:0], units=part.units[:0])
        return fit_head(part, validation or empty, TrainOptions(head="mlp", **options))  # type: ignore[arg-type]

    def test_the_same_seed_gives_the_same_bits_and_the_callers_stream_stays(self, classes: np.ndarray) -> None:
        part = part_of(classes)
        torch.manual_seed(5)
        state = torch.get_rng_state()
        first, second, other = (self.learn(part, seed=seed, epochs=5).head.state_dict() for seed in (1, 1, 2))
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["output.weight"], other["output.weight"])

    @pytest.mark.parametrize("activation", ["relu", "arelu"])
    def test_it_learns(self, activation: str, classes: np.ndarray) -> None:
        part = part_of(classes)
        fitted = self.learn(part, activation=activation, units=32)
        assert (logits_of(fitted.head, part.vectors).argmax(axis=1) == part.targets).mean() > 0.9
        assert fitted.head.layout.activation == activation

    def test_numbers_come_out_as_they_are(self) -> None:
        targets = (np.random.default_rng(6).standard_normal((90, 1)) * 100 + 1000).astype(np.float32)
        part = part_of(targets, Kind.NUMBERS, n_outputs=1)
        part = replace(part, vectors=np.repeat(targets, 4, axis=1) / 10)
        found = logits_of(self.learn(part, dropout=0.0).head, part.vectors)
        assert np.abs(found - targets).mean() < 20

    def test_the_validation_part_ends_it(self, classes: np.ndarray) -> None:
        part = part_of(classes)
        noise = replace(part, targets=np.random.default_rng(9).permutation(part.targets))
        assert self.learn(part, noise, patience=3).about["best_epoch"] < 20

    def test_what_nobody_judged_has_no_effect(self) -> None:
        rng = np.random.default_rng(5)
        targets, mask = rng.integers(2, size=(60, 3)).astype(np.float32), rng.random((60, 3)) < 0.7
        part = part_of(targets, Kind.SEVERAL, mask=mask)
        other = replace(part, targets=np.where(mask, targets, 1 - targets))
        with_mask = [
            fit_head(one, replace(one, vectors=one.vectors), TrainOptions(head="mlp", epochs=3)).head.state_dict()
            for one in (part, other)
        ]
        assert all(torch.equal(with_mask[0][name], with_mask[1][name]) for name in with_mask[0])

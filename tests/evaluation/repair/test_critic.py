"""The fresh critics, on images that differ in a known way or not at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tf_spot.evaluation.repair import critic

PHOTOS = np.random.default_rng(0).uniform(-1, 1, (200, 8, 8, 3)).astype(np.float32)


def test_equal_images_cannot_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the critic learned: for every pair in order there is one out of order, and an image ties with itself."""
    monkeypatch.setattr(critic, "STEPS", 2)
    score = critic.critic_score(PHOTOS, PHOTOS.copy(), seed=0)
    assert score.auc == pytest.approx(0.5, abs=1e-9)
    assert score.stderr == pytest.approx(math.sqrt((2 * 60 + 1) / 12) / 60, rel=1e-3)  # of the rank-sum test at 0.5


def test_a_visible_mark_is_found_on_photos_that_were_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(critic, "STEPS", 100)
    marked = PHOTOS.copy()
    marked[:, 2:5, 2:5] = 1
    shares: list[float] = []
    assert critic.critic_score(PHOTOS, marked, seed=0, on_share=shares.append).auc > 0.99
    assert len(shares) == critic.CRITICS * critic.STEPS and shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_it_trains_on_the_first_photos_and_is_tested_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(critic, "_train", lambda _, decoded, altered, *rest: given.append((decoded, altered)))
    critic.critic_score(PHOTOS, -PHOTOS, seed=0)
    assert len(given) == critic.CRITICS
    for decoded, altered in given:
        np.testing.assert_array_equal(decoded, PHOTOS[:140])
        np.testing.assert_array_equal(altered, -PHOTOS[:140])


def test_score_is_the_mean_and_its_error_has_both_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.7, 0.8, 0.9: the deviation is 0.1, that of their mean 0.1 / sqrt(3). Other seeds share no critic."""
    seeds: list[int] = []
    monkeypatch.setattr(critic, "_train", lambda judge, *rest: seeds.append(judge.seed))
    monkeypatch.setattr(critic, "auc", lambda *_: (0.7, 0.8, 0.9)[seeds[-1] % 3])
    score = critic.critic_score(PHOTOS, PHOTOS, seed=0)
    assert score.auc == pytest.approx(0.8) and score.aucs == (0.7, 0.8, 0.9)
    assert score.stderr == pytest.approx(math.sqrt(critic.auc_stderr(0.8, 60) ** 2 + 0.1**2 / 3))
    critic.critic_score(PHOTOS, PHOTOS, seed=1)
    assert seeds == [0, 1, 2, 3, 4, 5]


def test_critics_know_nothing_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second critic of a seed finds what the same critic finds as the first."""
    monkeypatch.setattr(critic, "STEPS", 5)
    monkeypatch.setattr(critic, "CRITICS", 2)
    both = critic.critic_score(PHOTOS, -PHOTOS, seed=0).aucs
    judge = critic._Critic(PHOTOS.shape[1:])
    judge.start_anew(1)
    critic._train(judge, PHOTOS[:140], -PHOTOS[:140], None)
    answers = np.concatenate([judge.answers(PHOTOS[140:]), judge.answers(-PHOTOS[140:])])
    assert both[1] == pytest.approx(critic.auc(np.arange(120) < 60, answers), abs=1e-9)
    assert both[0] != both[1]


def test_standard_error_by_hand() -> None:
    """Hanley and McNeil's variance at 0.8 with 10 and 10: 0.16 + 9 (2/3 - 0.64) + 9 (1.28/1.8 - 0.64), over 100."""
    assert critic.auc_stderr(0.8, 10) == pytest.approx(math.sqrt(0.16 + 9 * (2 / 3 - 0.64 + 1.28 / 1.8 - 0.64)) / 10)
    assert critic.auc_stderr(1.0, 10) == critic.auc_stderr(0.0, 10) == 0

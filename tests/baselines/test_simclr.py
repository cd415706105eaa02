"""The SimCLR task: the contrastive loss."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import check_draws, learn, make
from tf_spot.baselines import simclr


def test_nt_xent_by_hand() -> None:
    """Two images whose views agree perfectly and are orthogonal to the other's: e^2 / (e^2 + 2)."""
    projections = tf.constant([[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 5.0]])
    metrics = simclr.nt_xent(projections)
    assert float(metrics["pretext_loss"]) == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)), abs=1e-5)
    assert float(metrics["pretext_accuracy"]) == 1


@pytest.mark.slow
def test_simclr_is_learnt() -> None:
    """Slowly: these pictures differ in little but their colours, which the views change."""
    before, after = learn(make("simclr"), 160)["pretext_loss"]
    assert after < 0.96 * before


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("simclr")

"""What the tests of several devices share."""

import pytest
import tensorflow as tf

from tf_spot.distributed.strategies import make_strategy


@pytest.fixture(scope="module")
def two() -> tf.distribute.Strategy:
    """Both logical devices of the tests, as two replicas."""
    strategy = make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    return strategy

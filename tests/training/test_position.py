"""Steps, epochs and their ends."""

import math

from tf_spot.training.position import Position


def test_position_knows_epochs_and_their_ends():
    ends = [Position("spotter", 10, 4, 1, step=s).at_epoch_end for s in range(1, 11)]
    assert [s for s, end in enumerate(ends, start=1) if end] == [4, 8, 10]
    assert [Position("spotter", 10, 4, 1, step=s).epoch for s in (1, 4, 5, 8, 9, 10)] == [1, 1, 2, 2, 3, 3]
    every_second = [Position("spotter", 10, 4, 1, step=s).every(2) for s in (4, 8, 10)]
    assert every_second == [False, True, True]  # the last epoch counts always


def test_a_new_position_has_done_nothing():
    position = Position("autoencoder", 10, 4, 2)
    assert (position.step, position.seconds, position.epoch) == (0, 0.0, 0)
    assert math.isnan(position.rate)

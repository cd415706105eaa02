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


def test_a_checkpoint_is_due_every_so_many_steps_and_at_the_end():
    due = [s for s in range(1, 11) if Position("spotter", 10, 10, 1, step=s, checkpoint_steps=4).at_checkpoint]
    assert due == [4, 8, 10]
    assert not any(Position("spotter", 10, 10, 1, step=s).at_checkpoint for s in range(1, 11)), "there are none"


def test_losses_are_looked_at_now_and_then_before_a_checkpoint_and_at_the_end_of_an_epoch():
    def at(step, **changes):
        settings = {"rate": 1.0, "check_steps": 5, "checkpoint_steps": 7} | changes
        return Position("spotter", 30, 12, 1, step=step, **settings).at_check

    assert [s for s in range(1, 31) if at(s)] == [5, 7, 10, 12, 14, 15, 20, 21, 24, 25, 28, 30]
    assert at(1, rate=math.nan), "the first step, so that there is a rate"
    assert at(16, executed=4) and not at(19, executed=4), "a loop of four steps passed the fifteenth"
    assert all(at(s, check_steps=1) for s in range(1, 31))


def test_images_of_steps_with_another_batch_size_are_counted():
    position = Position("spotter", 10, 4, batch_size=6, step=5)
    assert position.images_seen == 30
    position.images_ahead = 8 - 2 * 6  # two steps of four images came first
    assert position.images_seen == 2 * 4 + 3 * 6

"""Signals: an orderly stop at a safe point, for real signals sent to this process."""

import os
import signal
import threading

import keras
import pytest

from tests.support.toy_stage import ToyStage
from tf_spot.training.interrupts import Interrupted, Signals


class SignalAt(keras.callbacks.Callback):
    """Sends this process a real signal during a step."""

    def __init__(self, number, at):
        super().__init__()
        self.number, self.at, self.step = number, at, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        if self.step == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_under_way_and_stops(tmp_path, number, exit_code):
    before = signal.getsignal(number)
    stage = ToyStage(tmp_path)
    with Signals() as signals, pytest.raises(Interrupted, match=number.name) as stop:
        signals.training = True
        stage.fit([SignalAt(number, 6)], signals=signals)
    assert stop.value.exit_code == exit_code
    assert stage.saved() == [6]
    assert [line[1] for line in stage.lines()] == [4]
    assert signal.getsignal(number) is before


def test_a_signal_in_the_last_step_of_an_epoch_still_writes_its_line(tmp_path):
    stage = ToyStage(tmp_path)
    with Signals() as signals, pytest.raises(Interrupted):
        signals.training = True
        stage.fit([SignalAt(signal.SIGTERM, 4)], signals=signals)
    assert stage.saved() == [4] and [line[1] for line in stage.lines()] == [4]


def test_a_signal_outside_training_or_a_second_one_stops_at_once():
    with Signals() as signals:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        signals.training = True
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_to_another_worker_stops_this_one_at_the_same_step(tmp_path):
    """What `of_all` gives are the signals of all workers; this one has none."""
    stage = ToyStage(tmp_path)
    asked = []

    def of_all(own):
        asked.append(own)
        return [own, signal.SIGTERM if len(asked) == 3 else 0]

    with pytest.raises(Interrupted, match="SIGTERM"):
        stage.fit(of_all=of_all)
    assert asked == [0, 0, 0] and stage.saved() == [3]


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def enter():
        with Signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]

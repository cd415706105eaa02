"""Progress: a bar on a terminal, lines elsewhere."""

import io
import re
import sys

import pytest

from tf_spot import progress as module
from tf_spot.progress import PlainLines, duration, show_progress


def test_lines_come_at_the_ends_of_a_phase_and_every_minute_between_with_the_time_left():
    now = [0.0]
    stream = io.StringIO()
    on_progress = PlainLines(stream, clock=lambda: now[0])
    for done in range(1, 6):
        on_progress(done, 5, f"spotter ({done} images/s)")
        now[0] += 36.0
    on_progress(1, 2, "probe conv1")
    assert stream.getvalue().splitlines() == [
        "spotter (1 images/s): 1/5",
        "spotter (3 images/s): 3/5, 1 min 12 s left",  # 36 s per step, two steps left
        "spotter (5 images/s): 5/5",
        "probe conv1: 1/2",
    ]


def test_a_stream_that_is_not_a_terminal_gets_plain_lines():
    stream = io.StringIO()
    with show_progress(stream) as on_progress:
        on_progress(1, 2, "autoencoder")
    assert stream.getvalue() == "autoencoder: 1/2\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_that_stay_go_into_the_stream_as_they_are():
    stream = io.StringIO()
    with show_progress(stream) as display:
        display.write("  12/250  [bold]1.234")
    assert stream.getvalue() == "  12/250  [bold]1.234\n"


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_lines_and_log_lines_stay_above_bars_that_fit(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with show_progress() as display:
        display(18_000, 195_250, "autoencoder (1035 images/s)")
        display.write("x" * 79)
        print("tf_spot: a warning in words", file=sys.stderr)
        display(18_001, 195_250, "autoencoder (1035 images/s)")
    shown = [re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]|\r", "", line) for line in stream.getvalue().splitlines()]
    assert "x" * 79 in shown and "tf_spot: a warning in words" in shown
    bars = [line for line in shown if "/195250" in line]
    assert bars[-1].startswith("autoencoder (1035 images/s)") and max(map(len, bars)) <= width


def test_a_terminal_gets_one_bar_per_phase_with_the_counts():
    stream = Terminal()
    with show_progress(stream) as on_progress:
        assert isinstance(on_progress, module.Bars)
        on_progress(1, 4, "autoencoder (9 images/s)")
        on_progress(4, 4, "autoencoder (8 images/s)")
        on_progress(1, 7, "spotter (3 images/s)")
        assert len(on_progress.tasks) == 2
    assert "4/4" in stream.getvalue() and "1/7" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.4, "59 s"), (75.2, "1 min 15 s"), (8000, "2 h 13 min"), (3599.7, "1 h 0 min")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text

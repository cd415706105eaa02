"""Progress: a bar on a terminal, lines elsewhere."""

import io

import pytest

from tf_spot import progress as module
from tf_spot.progress import PlainLines, duration, show_progress


def test_lines_come_at_the_ends_of_a_phase_and_every_ten_seconds_between_with_the_time_left():
    now = [0.0]
    stream = io.StringIO()
    on_progress = PlainLines(stream, clock=lambda: now[0])
    for done in range(1, 6):
        on_progress(done, 5, f"spotter ({done} images/s)")
        now[0] += 6.0
    on_progress(1, 2, "probe conv1")
    assert stream.getvalue().splitlines() == [
        "spotter (1 images/s): 1/5",
        "spotter (3 images/s): 3/5, 12 s left",  # 6 s per step, two steps left
        "spotter (5 images/s): 5/5",
        "probe conv1: 1/2",
    ]


def test_a_stream_that_is_not_a_terminal_gets_plain_lines():
    stream = io.StringIO()
    with show_progress(stream) as on_progress:
        on_progress(1, 2, "autoencoder")
    assert stream.getvalue() == "autoencoder: 1/2\n"


def test_a_terminal_gets_one_bar_per_phase_with_the_counts():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

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

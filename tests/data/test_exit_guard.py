"""Photos that threads are reading when Python exits."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.grey_photos import write
from tf_spot.data.exit_guard import Reading


def test_no_photo_is_read_while_python_exits():
    reading = Reading()
    reader = threading.Thread(target=lambda: read_slowly(reading))
    started = time.monotonic()
    reader.start()
    time.sleep(0.05)
    reading.stop(patience=2)
    assert time.monotonic() - started >= 0.2
    with pytest.raises(RuntimeError), reading.photo():
        pass
    reader.join()


def read_slowly(reading):
    with reading.photo():
        time.sleep(0.2)


@pytest.mark.slow
def test_an_unfinished_stream_lets_python_exit(tmp_path):
    """Readers are at work when the script ends; TensorFlow has been seen to wait for them for ever."""
    write(tmp_path, *range(40))
    script = """
import sys, time
from tf_spot.data import folder, load
read = folder.read_image
folder.read_image = lambda *arguments: (time.sleep(0.05), read(*arguments))[1]
stream = iter(load(sys.argv[1], image_size=32).unlabelled(16))
print(next(stream).shape[0])
"""
    command = [sys.executable, "-c", script, f"folder:{tmp_path}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=300, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "16")

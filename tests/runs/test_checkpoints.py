"""Checkpoints: whole or absent, newest kept, damage seen and passed over."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.runs import checkpoints
from tf_spot.storage.files import file_digest
from tf_spot.storage.json_files import NUMBER


def write(folder, step, keep=2):
    def save_weights(path):
        with open(path, "wb") as file:
            file.write(b"weights of %d" % step)

    return checkpoints.write(folder, step, {"seconds": 0.5 * step}, save_weights, keep)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_newest_stay_and_the_last_is_read(tmp_path):
    for step in (7, 100, 20_000):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000100", "step-00020000"]
    newest, damaged = checkpoints.newest_good(tmp_path)
    assert (newest.step, newest.state["seconds"], damaged) == (20_000, 10_000.0, [])
    with open(newest.weights_path, "rb") as file:
        assert file.read() == b"weights of 20000"


def test_one_that_cannot_be_read_now_is_not_damaged(tmp_path, monkeypatch):
    """Too many open files, say: it stays, and the one before it is not taken."""
    write(tmp_path, 7)
    write(tmp_path, 14)

    def fail(path):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(checkpoints, "file_digest", fail)
    with pytest.raises(OSError, match="Too many open files"):
        checkpoints.newest_good(tmp_path)
    assert names(tmp_path) == ["step-00000007", "step-00000014"]


def test_sums_are_those_of_sha256sum(tmp_path):
    path = write(tmp_path, 7)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=path, check=True, capture_output=True)


@pytest.mark.parametrize("name", [checkpoints.WEIGHTS, checkpoints.STATE, checkpoints.SUMS])
def test_a_flipped_bit_anywhere_falls_back_to_the_one_before_and_says_so(tmp_path, name):
    write(tmp_path, 7)
    flip(write(tmp_path, 14) / name)
    good, damaged = checkpoints.newest_good(tmp_path)
    assert good.step == 7
    assert len(damaged) == 1 and "step-00000014" in damaged[0]


@pytest.mark.parametrize("name", [checkpoints.WEIGHTS, checkpoints.STATE, checkpoints.SUMS])
def test_a_missing_file_is_damage(tmp_path, name):
    write(tmp_path, 7)
    (write(tmp_path, 14) / name).unlink()
    good, damaged = checkpoints.newest_good(tmp_path)
    assert good.step == 7 and "unreadable" in damaged[0]


def test_no_checkpoint_is_no_error_but_only_damaged_ones_are(tmp_path):
    assert checkpoints.newest_good(tmp_path / "absent") == (None, [])
    for step in (7, 14):
        flip(write(tmp_path, step) / checkpoints.WEIGHTS)
    with pytest.raises(UserError, match="no checkpoint in .* is whole: .*step-00000014.*step-00000007"):
        checkpoints.newest_good(tmp_path)
    assert names(tmp_path) == ["step-00000007", "step-00000014"]  # left for the user to look at


def test_what_a_kill_left_half_written_is_never_read_and_goes_with_the_next_write(tmp_path):
    write(tmp_path, 7)

    def killed(path):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.write(tmp_path, 14, {}, killed, 2)
    assert len(names(tmp_path)) == 2
    assert checkpoints.newest_good(tmp_path)[0].step == 7
    write(tmp_path, 14)
    assert names(tmp_path) == ["step-00000007", "step-00000014"]


def test_damaged_ones_passed_over_are_dropped_when_the_run_goes_on(tmp_path):
    for step in (7, 14, 21):
        write(tmp_path, step, keep=3)
    checkpoints.drop_after(tmp_path, 14)
    assert names(tmp_path) == ["step-00000007", "step-00000014"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from tf_spot.runs import checkpoints
from tf_spot.errors import UserError
folder, size = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
def save_weights(path):
    with open(path, "wb") as file:
        file.write(bytes(60_000))
try:
    checkpoints.write(folder, 14, {}, save_weights, 2, size)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("size", [60_000, 0], ids=["seen before the writing", "seen in the midst of it"])
def test_no_room_leaves_the_checkpoint_before_whole_and_says_so(tmp_path, size):
    """A limit on the size of files stands for the full disk; in a process of its own, as it cannot be lifted."""
    write(tmp_path, 7)
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(size)]
    environment = os.environ | {"PYTHONPATH": str(Path(checkpoints.__file__).parents[2])}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "File too large" in told and "at step 14" in told
    assert f"newest checkpoint, which is whole: {tmp_path / 'step-00000007'}" in told
    assert names(tmp_path) == ["step-00000007"]
    assert checkpoints.newest_good(tmp_path)[0].step == 7


def test_no_room_needed_leaves_nothing_behind_but_the_checkpoint(tmp_path):
    path = checkpoints.write(tmp_path, 7, {}, lambda weights: open(weights, "wb").close(), 2, 1_000_000)
    assert names(path) == sorted([checkpoints.WEIGHTS, checkpoints.STATE, checkpoints.SUMS])


@pytest.mark.parametrize(
    ("state", "says"),
    [("{}", "lacks step"), ("[]", "must be an object"), ('{"step": "14", "seconds": 1}', "must be a whole number"),
     ('{"step": 14}', "lacks seconds"), ('{"step": 7, "seconds": 1}', "of step 7"), ("{", "no JSON")],
)  # fmt: skip
def test_a_state_that_was_altered_with_its_sum_is_damage(tmp_path, state, says):
    write(tmp_path, 7)
    path = write(tmp_path, 14)
    (path / checkpoints.STATE).write_text(state)
    sums = (f"{file_digest(path / name)}  {name}\n" for name in (checkpoints.WEIGHTS, checkpoints.STATE))
    (path / checkpoints.SUMS).write_text("".join(sums))
    good, damaged = checkpoints.newest_good(tmp_path, {"seconds": NUMBER})
    assert good.step == 7 and "step-00000014" in damaged[0] and says in damaged[0]


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    """A stray file is neither read, nor counted among those to keep, nor removed."""
    write(tmp_path, 7)
    (tmp_path / "step-99999999").touch()
    (tmp_path / "step-old").mkdir()
    write(tmp_path, 14)
    assert checkpoints.newest_good(tmp_path)[0].step == 14
    checkpoints.drop_after(tmp_path, 14)
    assert names(tmp_path) == ["step-00000007", "step-00000014", "step-99999999", "step-old"]


def test_an_empty_folder_with_the_name_of_a_later_step_is_damage(tmp_path):
    write(tmp_path, 7)
    (tmp_path / "step-99999999").mkdir()
    good, damaged = checkpoints.newest_good(tmp_path)
    assert good.step == 7 and "step-99999999: unreadable" in damaged[0]
    checkpoints.drop_after(tmp_path, 7)
    assert names(tmp_path) == ["step-00000007"]

"""One device, two devices and two worker processes train to the same weights; a lost worker stops the other."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import two_workers
from tf_spot.distributed.strategies import make_strategy
from tf_spot.runs.run import STAGES, Run
from tf_spot.training.train import train

replicas = two_workers.replicas  # the committed comparison: the same recipe, photos and launch

# The sums are the same, taken in another order: float32 roundings (6e-8 of a value) that ten steps of training carry
# on. Another row, mask or draw anywhere would show as 1e-2 and more; an update is 1e-3 at most.
TOLERANCES = {"weights": 1e-5, "moments": 1e-4, "history": 1e-4}
FEATURES, LOSSES = 1e-5, 1e-5
STOPS_WITHIN = 60  # seconds from the loss of one worker to the end of the other, on a busy machine


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replicas.make_photos(tmp_path_factory.mktemp("photos"))


# --- two steps of both stages and evaluation, in one start of two processes ------------------------------------------


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one device trains what the two workers of `together` train."""
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def together(photos: Path, alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote, see two_workers.py; this process trains `alone` beside them."""
    out = tmp_path_factory.mktemp("together")
    workers = replicas.start_workers([two_workers.__file__, str(photos), str(out)])
    train(replicas.config(*two_workers.SHORT), f"folder:{photos}", alone / "run", strategy="none")
    for worker in workers:
        _, err = worker.communicate(timeout=600)
        assert worker.returncode == 0, err
    return out


def seen(together: Path) -> list[dict[str, Any]]:
    return [json.loads((together / f"{worker}.json").read_text()) for worker in (0, 1)]


def test_two_processes_meet_share_each_batch_and_settle_numbers(together: Path) -> None:
    first, second = seen(together)
    assert (first.pop("chief"), second.pop("chief")) == (True, False)
    assert (first.pop("rows"), second.pop("rows")) == ([12, 13, 14], [15, 16, 17])
    assert first == second
    assert first.pop("refused").startswith("all workers must have the same number; received: [0, 1]")
    first.pop("probe")
    assert first == {"workers": 2, "replicas": 2, "of_all": [10, 11]}


def test_two_processes_train_both_stages_as_one_device(together: Path, alone: Path) -> None:
    """Also that the second worker wrote nothing: one line a stage and epoch."""
    found = replicas.run_differences(alone / "run", together / "run")
    for stage in STAGES:
        assert all(found[stage][kind] <= TOLERANCES[kind] for kind in TOLERANCES), found
    assert found["losses"] <= LOSSES, found
    assert [(line["stage"], line["step"]) for line in Run(together / "run").metrics()] == [(s, 2) for s in STAGES]


def test_two_processes_evaluate_and_embed_as_one(photos: Path, together: Path, alone: Path) -> None:
    """The same trained run: only the sharing of photos differs."""
    probe, maps = two_workers.evaluate(together / "run", photos, alone / "rows.npz")
    for worker, told in enumerate(seen(together)):
        assert told["probe"] == probe
        with np.load(together / f"{worker}.npz") as found:
            assert list(found) == list(maps)
            for name in maps:
                np.testing.assert_allclose(found[name], maps[name], rtol=1e-5, atol=1e-5)
    with np.load(together / "rows.npz") as ours, np.load(alone / "rows.npz") as theirs:
        assert len(theirs["id"]) == 30
        for name in ("id", "path"):
            np.testing.assert_array_equal(ours[name], theirs[name])
        np.testing.assert_allclose(ours["embedding"], theirs["embedding"], rtol=1e-5, atol=1e-5)
    assert not list(together.glob(".rows*"))


def test_two_devices_probe_and_embed_as_one(photos: Path, alone: Path, together: Path, tmp_path: Path) -> None:
    """`together` is only waited for: `alone` is trained by then."""
    with make_strategy("mirrored").scope():
        probe, maps = two_workers.evaluate(alone / "run", photos, tmp_path / "mirrored.npz")
    expected, plain = two_workers.evaluate(alone / "run", photos, tmp_path / "plain.npz")
    assert probe["by_layer"] == pytest.approx(expected["by_layer"], abs=LOSSES)
    for name in plain:
        np.testing.assert_allclose(maps[name], plain[name], rtol=FEATURES, atol=FEATURES)
    ours, theirs = (np.load(tmp_path / f"{name}.npz") for name in ("mirrored", "plain"))
    assert ours["path"].tolist() == theirs["path"].tolist() and len(ours["path"]) == len(set(ours["path"]))
    np.testing.assert_allclose(ours["embedding"], theirs["embedding"], rtol=FEATURES, atol=FEATURES)


# --- ten steps of both stages ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Ten steps of both stages under each strategy; the workers run while this process trains the other two."""
    outs = {name: tmp_path_factory.mktemp(name) for name in ("none", "mirrored", "multiworker")}
    workers = replicas.start_workers([replicas.__file__, "multiworker", str(photos), str(outs["multiworker"])])
    # Deterministic operations cannot be switched off again in this process.
    recipe = replicas.config("training.deterministic=false")
    for name in ("none", "mirrored"):
        replicas.train_and_extract(make_strategy(name), recipe, photos, outs[name])
    for worker in workers:
        _, err = worker.communicate(timeout=900)
        assert worker.returncode == 0, err
    yield outs


@pytest.mark.slow
@pytest.mark.parametrize("other", ["mirrored", "multiworker"])
def test_both_stages_and_features_are_those_of_one_device(trained: dict[str, Path], other: str) -> None:
    found = replicas.differences(trained["none"], trained[other])
    for stage in ("autoencoder", "spotter"):
        assert {kind: found[stage][kind] <= TOLERANCES[kind] for kind in TOLERANCES} == dict.fromkeys(
            TOLERANCES, True
        ), found
    assert found["losses"] <= LOSSES and found["features"] <= FEATURES, found


@pytest.mark.slow
def test_workers_agree_to_the_bit_and_only_the_chief_writes(trained: dict[str, Path]) -> None:
    """What each worker loads at the end; one line a stage and epoch, as one process writes them."""
    first, second = (np.load(trained["multiworker"] / f"features-{worker}.npy") for worker in (0, 1))
    np.testing.assert_array_equal(first, second)
    alone, together = (Run(trained[name] / "run").metrics() for name in ("none", "multiworker"))
    assert [(line["stage"], line["step"]) for line in together] == [(line["stage"], line["step"]) for line in alone]
    names = [sorted(str(p.relative_to(trained[n])) for p in trained[n].rglob("*.png")) for n in ("none", "multiworker")]
    assert names[0] == names[1] and names[0]


# --- failures, on the command line -----------------------------------------------------------------------------------

LONG = ("training.spotter_steps=24", "training.checkpoint_steps=4", "training.steps_per_epoch=6")


def start(photos: Path, run: Path, *words: str, cluster: list[str] | None = None) -> list[subprocess.Popen[str]]:
    settings = [word for change in (*replicas.SETTINGS, *LONG) for word in ("--set", change)]
    command = ["-m", "tf_spot", "train", "--data", f"folder:{photos}", "--out", str(run), "--preset", "tiny", *settings,
               "--strategy", "multiworker", "--resume", *words]  # fmt: skip
    return replicas.start_workers(command, cluster=cluster or ())


def finish(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        _, err = worker.communicate(timeout=900)
        assert worker.returncode == 0, err


def wait_for(path: Path, workers: list[subprocess.Popen[str]]) -> None:
    while not path.exists():
        assert all(worker.poll() is None for worker in workers), workers[0].communicate()
        time.sleep(0.02)


def error_lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("tf-spot: ")]


@pytest.fixture(scope="module")
def uninterrupted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    finish(start(photos, run))
    return run


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_worker_stops_the_other_and_both_go_on_to_the_same_weights(
    photos: Path, uninterrupted: Path, tmp_path: Path, killed: int
) -> None:
    run = tmp_path / "run"
    workers = start(photos, run)
    wait_for(run / "checkpoints" / "spotter" / "step-00000008", workers)
    workers[killed].kill()
    began = time.monotonic()
    _, err = workers[1 - killed].communicate(timeout=900)
    assert time.monotonic() - began < STOPS_WITHIN
    assert workers[1 - killed].returncode == 2, err
    (line,) = error_lines(err)
    assert f"worker {1 - killed} stops" in line and "--resume" in line
    assert "Traceback" not in err
    workers[killed].communicate()

    finish(start(photos, run))
    ours, theirs = (replicas.arrays(path.parent / "run", "spotter") for path in (run, uninterrupted))
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not np.array_equal(ours[name], theirs[name])]


@pytest.mark.slow
def test_ctrl_c_on_one_worker_saves_and_stops_both(photos: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    workers = start(photos, run)
    wait_for(run / "checkpoints" / "spotter" / "step-00000004", workers)
    workers[1].send_signal(signal.SIGINT)
    for worker in workers:
        _, err = worker.communicate(timeout=900)
        assert worker.returncode == 130, err
        assert "the work is saved" in error_lines(err)[0]


@pytest.mark.slow
def test_a_worker_that_never_comes_and_a_port_in_use_are_one_line_each(photos: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it takes calls and never answers
        cluster = [replicas.free_addresses(1)[0], f"127.0.0.1:{taken.getsockname()[1]}"]
        workers = start(photos, tmp_path / "run", "--wait", "3", cluster=cluster)
        for worker, says in zip(workers, (f"at {cluster[1]}", "in use"), strict=True):
            _, err = worker.communicate(timeout=200)
            assert worker.returncode == 2 and len(error_lines(err)) == 1 and says in error_lines(err)[0], err
    assert not (tmp_path / "run").exists()


DIES_AFTER_MEETING = """
import os, sys
from tf_spot.distributed.rendezvous import meet, read_cluster
from tf_spot.distributed.strategies import make_strategy
if read_cluster().worker == int(sys.argv[1]):
    meet(read_cluster(), 300)
    os._exit(9)
make_strategy("multiworker", 30)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_a_worker_that_dies_right_after_the_meeting_does_not_make_the_other_hang(dead: int) -> None:
    """TensorFlow itself waits an hour for it, and holds Python's lock."""
    workers = replicas.start_workers(["-c", DIES_AFTER_MEETING, str(dead)])
    _, err = workers[1 - dead].communicate(timeout=300)
    assert workers[1 - dead].returncode == -signal.SIGKILL, err
    (line,) = error_lines(err)
    assert "another one stopped before TensorFlow could start in 30 s" in line
    workers[dead].communicate()

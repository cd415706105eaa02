"""Rows of a table: finished, refused, failed and tried again; settings, shared autoencoders, statistics."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from pathlib import Path
from typing import Any

import keras
import pytest

from tf_spot.config import preset
from tf_spot.errors import NoSpace, UserError
from tf_spot.experiments.table import (
    Row,
    Table,
    by_layer,
    check_names,
    finished_autoencoder,
    keep_settings,
    mean,
    stderr,
    training_cost,
)
from tf_spot.runs.run import Run

CONFIG = preset("tiny").replace(**{"training.seed": 3})
MADE_WITH = {"config": CONFIG.to_dict(), "probe_values": 50, "data": "photos"}


def make_row(folder: Path, **changes: Any) -> Row:
    return Row("a", CONFIG, folder / "a-3", folder / "a-3" / "result.json", MADE_WITH | changes, "fingerprint")


def finish(row: Row) -> None:
    row.folder.mkdir()
    row.result_path.write_text(json.dumps(MADE_WITH | {"value": 1.5}))


def never(on_progress: Any) -> Any:
    raise RuntimeError("trained again")


def test_a_finished_row_is_read(tmp_path: Path) -> None:
    row = make_row(tmp_path)
    assert row.finished() is None
    finish(row)
    assert row.result(never) == row.finished() == MADE_WITH | {"value": 1.5}
    table = Table()
    table.add(row, never)
    assert table.results == {"a": [row.finished()]} and not table.failed


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config": CONFIG.replace(**{"game.drop_rate": 0.3}).to_dict()}, "configuration"),
        ({"probe_values": 51}, "probe_values"),
        ({"data": "other photos"}, "data"),
        ({"probe_values": 51, "data": "other photos"}, "probe_values, data"),
    ],
)
def test_a_row_made_with_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    """Not counted as failed, which would leave the table with the old row's place empty."""
    row = make_row(tmp_path, **changes)
    finish(row)
    table = Table()
    with pytest.raises(UserError, match=f"result.json, made with another {named}; repeat the first command"):
        table.add(row, never)
    assert not table.results and not table.failed and not (row.folder / "error.txt").exists()


def test_a_row_of_other_photos_with_the_same_name_is_refused(tmp_path: Path) -> None:
    row = make_row(tmp_path)
    finish(row)
    for fingerprint in ("fingerprint", "another"):
        (row.folder / "data.json").write_text(json.dumps({"fingerprint": fingerprint}))
        if fingerprint == row.fingerprint:
            assert row.finished() is not None
        else:
            with pytest.raises(UserError, match="made with another photos"):
                row.finished()


def test_a_row_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path: Path) -> None:
    row, other = make_row(tmp_path), Row("b", CONFIG, tmp_path / "b-3", tmp_path / "b-3.json")
    table = Table()
    table.add(row, never)
    table.add(other, lambda on_progress: {"value": 2})
    assert table.failed == {"a-3": "RuntimeError: trained again"} and table.results == {"b": [{"value": 2}]}
    assert "Traceback" in (row.folder / "error.txt").read_text() and not row.result_path.exists()
    assert json.loads((tmp_path / "b-3.json").read_text()) == {"value": 2}

    def work(on_progress: Any) -> dict[str, Any]:
        assert not list(row.folder.iterdir()), "the folder must be as empty as a new one"
        return {"value": 1}

    table = Table()
    table.add(row, work)
    assert table.results == {"a": [{"value": 1}]} and not table.failed


@pytest.mark.parametrize("fault", [NoSpace("a checkpoint needs 9 bytes"), PermissionError(13, "Permission denied")])
def test_a_fault_of_the_machine_stops_the_table(tmp_path: Path, fault: Exception) -> None:
    """Every other row would meet it too."""

    def work(on_progress: Any) -> Any:
        raise fault

    table = Table()
    with pytest.raises(type(fault)):
        table.add(make_row(tmp_path), work)
    assert not table.failed and not (tmp_path / "a-3").exists()


def test_an_interruption_is_no_failure(tmp_path: Path) -> None:
    def interrupted(on_progress: Any) -> Any:
        raise KeyboardInterrupt

    table = Table()
    with pytest.raises(KeyboardInterrupt):
        table.add(make_row(tmp_path), interrupted)
    assert not table.failed and not (tmp_path / "a-3").exists()


def test_progress_names_the_row_and_models_are_forgotten(tmp_path: Path) -> None:
    texts: list[Any] = []

    def work(on_progress: Any) -> dict[str, Any]:
        on_progress(1, 2, "spotter (3 images/s)")
        return {"layer": keras.layers.Dense(1).name}

    results = [
        Row("a", CONFIG.replace(**{"training.seed": seed}), tmp_path / str(seed), tmp_path / f"{seed}.json").result(
            work, lambda *words: texts.append(words)
        )
        for seed in (0, 1)
    ]
    assert texts == [(1, 2, "a-0/spotter (3 images/s)"), (1, 2, "a-1/spotter (3 images/s)")]
    assert results[0] == results[1], "Keras still counts the layers of the first row"


def test_settings_are_kept_and_compared(tmp_path: Path) -> None:
    path, settings = tmp_path / "table" / "settings.json", {"budget": 1, "data": {"spec": "x", "fingerprint": "f"}}
    keep_settings(path, settings, "all rows")
    keep_settings(path, settings | {"data": {"spec": "moved", "fingerprint": "f"}}, "all rows")
    with pytest.raises(UserError, match="all rows share their settings; received another budget, data than"):
        keep_settings(path, {"budget": 2, "data": {"spec": "x", "fingerprint": "g"}}, "all rows")
    assert json.loads(path.read_text()) == settings


def test_processes_that_share_a_search_keep_its_settings_at_the_same_time(tmp_path: Path) -> None:
    """Each has its own open file, so threads exclude one another as processes do."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number in range(25):
            path, barrier = tmp_path / str(number) / "settings.json", threading.Barrier(4)

            def keep(path: Path = path, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                keep_settings(path, {"budget": 1}, "all rows")

            for done in [pool.submit(keep) for _ in range(4)]:
                done.result()
            assert json.loads(path.read_text()) == {"budget": 1}
            assert [file.name for file in path.parent.iterdir()] == ["settings.json"]


def test_an_autoencoder_is_shared_by_rows_that_would_train_the_same(tmp_path: Path) -> None:
    def row(name: str, **changes: Any) -> Row:
        config = CONFIG.replace(**changes)
        return Row(name, config, tmp_path / name, tmp_path / name / "result.json")

    first = row("first", **{"game.drop_rate": 0.3})
    run = Run.create(first.folder, first.config, {})
    assert finished_autoencoder(row("other")) is None, "its training is not finished"
    run.model_path("autoencoder").touch()
    assert finished_autoencoder(row("other")) == first.folder
    assert finished_autoencoder(first) is None, "its own is continued, not adopted"
    assert finished_autoencoder(row("wider", **{"network.width": 0.5})) is None
    assert finished_autoencoder(row("seeded", **{"training.seed": 4})) is None


def test_the_cost_is_that_of_both_stages(tmp_path: Path) -> None:
    run = Run.create(tmp_path, CONFIG, {})
    for stage, images, seconds in (("autoencoder", 8, 1.5), ("spotter", 4, 1.0), ("spotter", 16, 2.0)):
        run.add_metrics({"stage": stage, "step": images, "images_seen": images, "seconds": seconds})
    assert training_cost(tmp_path) == {"images_seen": 24, "seconds": 3.5}


def test_names_are_checked() -> None:
    check_names("--rows", ["a", "b"], ("a", "b"), 1)
    for names, seeds, received in ((["c"], 1, "c, 1"), ([], 1, "no name, 1"), (["a"], 0, "a, 0")):
        message = f"--rows must name some of a,b, and --seeds must be at least 1; received: {received}"
        with pytest.raises(UserError, match=message):
            check_names("--rows", names, ("a", "b"), seeds)


def test_statistics_over_seeds() -> None:
    """The standard error of 1, 2 and 3 is their deviation, 1, over the root of three."""
    assert mean([1.0, 2.0, 4.0]) == 2.33 and stderr([1.0, 2.0, 3.0]) == 0.58 and stderr([1.0]) is None
    results = [{"by_layer": {"conv1": 1.0, "conv2": 5.0}}, {"by_layer": {"conv1": 2.0, "conv2": 5.0}}]
    assert by_layer(results, mean) == {"conv1": 1.5, "conv2": 5.0}
    assert by_layer(results, stderr) == {"conv1": 0.5, "conv2": 0.0}

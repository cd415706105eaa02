"""The run folder: begun once, gone on with only as it was, never half written."""

import json

import pytest

from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.runs import checkpoints
from tf_spot.runs.run import Run

CONFIG = preset("tiny").replace(**{"training.spotter_steps": 600})
DATA = {"spec": "folder:a", "name": "a", "fingerprint": "1f", "counts": {"train": 7}}


def test_a_new_run_records_what_was_run_on_what_with_what(tmp_path):
    run = Run.create(tmp_path / "deep" / "run", CONFIG.replace(**{"game.drop_rate": 0.25}), DATA)
    assert run.config.game.drop_rate == 0.25
    assert run.data == DATA
    recorded = json.loads((run.path / "versions.json").read_text())
    assert recorded["packages"]["tensorflow"] and recorded["packages"]["keras"]
    assert recorded["python"].startswith("3.") and recorded["cpus"] >= 1


def test_training_into_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="new or empty folder.*--resume"):
        Run.create(tmp_path, CONFIG, DATA)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="holds other files"):
        Run.resume(tmp_path, CONFIG, DATA)


def test_resume_refuses_another_configuration_and_names_the_fields(tmp_path):
    Run.create(tmp_path, CONFIG, DATA)
    changed = CONFIG.replace(**{"game.drop_rate": 0.9, "training.spotter_steps": 601})
    with pytest.raises(UserError, match=r"game.drop_rate: 0.5 -> 0.9; training.spotter_steps: 600 -> 601"):
        Run.resume(tmp_path, changed, DATA)


def test_resume_refuses_other_data_but_not_another_place_of_the_same(tmp_path):
    Run.create(tmp_path, CONFIG, DATA)
    Run.resume(tmp_path, CONFIG, DATA | {"spec": "folder:moved"})
    with pytest.raises(UserError, match="whose files differ"):
        Run.resume(tmp_path, CONFIG, DATA | {"fingerprint": "2e"})


def test_resume_begins_a_run_that_was_killed_before_its_config_was_written(tmp_path):
    (tmp_path / "versions.json").write_text("{}")
    (tmp_path / ".writing-data.json").write_text('{"sp')
    assert Run.resume(tmp_path, CONFIG, DATA).data == DATA
    assert Run.resume(tmp_path / "absent", CONFIG, DATA).config == CONFIG


def test_what_a_new_run_holds_besides_is_written_before_its_config(tmp_path):
    def prepare(folder):
        assert not (folder / "config.json").exists()
        (folder / "initial").mkdir(exist_ok=True)

    Run.create(tmp_path / "run", CONFIG, DATA, prepare)
    (tmp_path / "run" / "config.json").unlink()  # as a kill leaves it
    assert Run.resume(tmp_path / "run", CONFIG, DATA, prepare).config == CONFIG
    Run.resume(tmp_path / "run", CONFIG, DATA, lambda folder: pytest.fail("a run that has begun is not prepared"))


def test_an_extended_run_has_more_steps_and_is_unfinished(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    run.extend(100)
    run.extend(50)
    assert run.config == CONFIG.replace(**{"training.spotter_steps": 750})
    assert [json.loads(line) for line in (tmp_path / "extensions.jsonl").read_text().splitlines()] == [
        {"from_steps": 600, "to_steps": 700}, {"from_steps": 700, "to_steps": 750},
    ]  # fmt: skip
    assert run.command.startswith("tf-spot ")
    assert run.command.endswith("; then --resume --extend 100; then --resume --extend 50")
    run.model_path("spotter").touch()
    (run.checkpoints("spotter") / "step-00000750").mkdir(parents=True)
    run.extend(1)
    assert not run.model_path("spotter").exists() and run.config.training.spotter_steps == 751


def test_an_extension_is_not_begun_twice_nor_without_checkpoints(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    run.check_extension()  # an unfinished run may be extended
    run.extend(100)
    with pytest.raises(UserError, match="whose extension to 700 steps is not finished; finish it with --resume alone"):
        run.check_extension()
    run.model_path("spotter").touch()
    with pytest.raises(UserError, match="whose checkpoints were removed; begin a new run with --init-from"):
        run.check_extension()
    (run.checkpoints("spotter") / "step-00000700").mkdir(parents=True)
    run.check_extension()


def test_what_a_killed_beginning_left_of_first_weights_is_not_taken(tmp_path):
    def prepare(folder):
        (folder / "initial").mkdir()
        (folder / "initial" / "from.json").write_text("{}")

    Run.create(tmp_path, CONFIG, DATA, prepare)
    (tmp_path / "config.json").unlink()  # as a kill leaves it
    Run.resume(tmp_path, CONFIG, DATA)
    assert not (tmp_path / "initial").exists()


def test_opening_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="config.json"):
        Run(tmp_path)


def test_metrics_of_a_stage_are_cut_back_to_its_checkpoint(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    for stage, step in (("autoencoder", 10), ("autoencoder", 20), ("spotter", 10), ("spotter", 20)):
        run.add_metrics({"stage": stage, "step": step, "loss": float("nan") if step == 20 else 0.5})
    run.truncate_metrics("spotter", 15)
    assert [(line["stage"], line["step"], line["loss"]) for line in run.metrics()] == [
        ("autoencoder", 10, 0.5),
        ("autoencoder", 20, None),
        ("spotter", 10, 0.5),
    ]
    run.truncate_metrics("autoencoder", 0)
    assert [(line["stage"], line["step"]) for line in run.metrics()] == [("spotter", 10)], "of checkpoints that stay"


def test_a_line_of_metrics_cut_short_by_a_kill_is_left_out_and_then_dropped(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    run.add_metrics({"stage": "spotter", "step": 10})
    with run.metrics_path.open("a") as file:
        file.write('{"stage": "spotter", "st')
    assert run.metrics() == [{"stage": "spotter", "step": 10}]
    run.truncate_metrics("spotter", 10)
    run.add_metrics({"stage": "spotter", "step": 20})
    assert [line["step"] for line in run.metrics()] == [10, 20]


def test_what_a_run_has_taken_counts_the_autoencoder_of_another_run(tmp_path):
    """Lines count from the start of their stage, so the last one has the total."""
    run = Run.create(tmp_path, CONFIG, DATA)
    nothing = {"images_seen": 0, "seconds": 0.0}
    assert run.spent() == {"autoencoder": nothing, "spotter": nothing}
    (tmp_path / "autoencoder.json").write_text(json.dumps({"run": "elsewhere", "images_seen": 80, "seconds": 8.0}))
    for images in (16, 32):
        run.add_metrics({"stage": "spotter", "step": images, "images_seen": images, "seconds": images / 2})
    assert run.spent() == {
        "autoencoder": {"images_seen": 80, "seconds": 8.0},
        "spotter": {"images_seen": 32, "seconds": 16.0},
    }


def test_paths_of_a_run(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    assert run.checkpoints("spotter") == tmp_path / "checkpoints" / "spotter"
    assert run.model_path("autoencoder") == tmp_path / "autoencoder.keras"
    assert run.picture_path("spotter", 7) == tmp_path / "pictures" / "spotter-0007.png"


def test_bad_files_of_all_sessions_are_kept_sorted(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    run.add_bad_files([])
    assert (tmp_path / "bad_files.txt").read_text() == ""
    run.add_bad_files(["b.jpg: cut short", "a.jpg: empty"])
    run.add_bad_files(["c.jpg: empty", "a.jpg: empty"])
    assert (tmp_path / "bad_files.txt").read_text() == "a.jpg: empty\nb.jpg: cut short\nc.jpg: empty\n"
    (tmp_path / "bad_files.txt").write_bytes(b"\xff\n")
    run.add_bad_files(["a.jpg: empty"])
    assert (tmp_path / "bad_files.txt").read_text() == "\\xff\na.jpg: empty\n"


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("data.json", b'{"spec": "x"', lambda run: run.data),
        ("data.json", b'{"spec": "x", "name": "x", "counts": {}}', lambda run: run.data),
        ("versions.json", b'{"command": "train"}', lambda run: run.versions),
        ("config.json", b"[]", lambda run: run.config),
        ("config.json", b'{"game": {"drop_rate": "high"}}', lambda run: run.config),
        ("metrics.jsonl", b"\0\0\n", lambda run: run.metrics()),
        ("metrics.jsonl", b"[1]\n", lambda run: run.metrics()),
        ("metrics.jsonl", b'{"stage": "spotter", "step": 3}\n', lambda run: run.spent()),
        ("autoencoder.json", b'{"images_seen": 3}', lambda run: run.spent()),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, name, content, read):
    run = Run.create(tmp_path, CONFIG, DATA)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name) as caught:
        read(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("manifest.json", "an exported model"), ("settings.json", "a table or a search"), ("index.json", "packed photos"),
     ("notes.txt", "which has none")],
)  # fmt: skip
def test_another_folder_is_called_by_its_name(tmp_path, name, kind):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"holds config.json; received: .*, .*{kind}"):
        Run(tmp_path)
    with pytest.raises(UserError, match=", a file; make one"):
        Run(tmp_path / name)
    with pytest.raises(UserError, match=", which is missing; make one"):
        Run(tmp_path / "absent")


def test_another_batch_size_is_taken_for_the_steps_still_to_be_done_and_recorded(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    assert run.first_batch_size == 64
    checkpoints.write(run.checkpoints("autoencoder"), 7, {}, lambda path: open(path, "w").close(), keep=1)
    changed = CONFIG.replace(**{"training.batch_size": 16})
    assert Run.resume(tmp_path, changed, DATA).config == changed
    Run.resume(tmp_path, changed, DATA)  # nothing changes any more
    assert [json.loads(line) for line in (tmp_path / "batch_sizes.jsonl").read_text().splitlines()] == [
        {"stage": "autoencoder", "after_step": 7, "from": 64, "to": 16}
    ]
    assert run.first_batch_size == 64
    with pytest.raises(
        UserError, match="but for training.batch_size; received other values: game.drop_rate: 0.5 -> 0.9;"
    ):
        Run.resume(tmp_path, CONFIG.replace(**{"game.drop_rate": 0.9, "training.batch_size": 8}), DATA)


def test_a_finished_run_has_no_steps_for_another_batch_size_unless_some_are_added(tmp_path):
    run = Run.create(tmp_path, CONFIG, DATA)
    for stage in ("autoencoder", "spotter"):
        run.model_path(stage).touch()
    changed = CONFIG.replace(**{"training.batch_size": 16})
    with pytest.raises(UserError, match="is finished with batches of 64; leave it out, or add steps with --extend"):
        Run.resume(tmp_path, changed, DATA)
    assert run.config == CONFIG
    assert Run.resume(tmp_path, changed, DATA, extending=True).config == changed

"""`train` on a small folder, in this process."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.tracker_stand_ins import Wandb
from tf_spot.config import preset
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.models import from_config
from tf_spot.runs.load import load_autoencoder, load_spotter
from tf_spot.runs.run import Run
from tf_spot.training import train as training
from tf_spot.training.callbacks import NonFiniteLoss

CONFIG = preset("tiny").replace(
    **{
        "data.image_size": 16,
        "data.held_out_share": 0.25,
        "network.width": 0.125,
        "network.fc_units": 16,
        "game.history_batches": 2,
        "training.deterministic": False,  # it cannot be switched off again in this process
        "training.batch_size": 4,
        "training.autoencoder_steps": 5,
        "training.spotter_steps": 5,
        "training.steps_per_epoch": 3,
        "training.checkpoint_steps": 2,
        "training.picture_epochs": 1,
        "training.probe_epochs": 1,
    }
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for i in range(30):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        small = numbers.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(small).resize((24, 24)).save(folder / "ab"[i % 2] / f"{i:02d}.png")
    (folder / "a" / "broken.png").write_bytes(b"no picture")
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def trained(spec, tmp_path_factory):
    """A finished run, what `train` gave back, and what progress was told."""
    path, told = tmp_path_factory.mktemp("runs") / "run", []
    spotter = training.train(CONFIG, spec, path, on_progress=lambda *words: told.append(words))
    return Run(path), spotter, told


@pytest.mark.slow
def test_a_run_has_all_its_parts(trained, spec):
    run, _, told = trained
    parts = ["autoencoder.keras", "bad_files.txt", "checkpoints", "config.json", "data.json", "metrics.jsonl",
             "pictures", "spotter.keras", "tensorboard", "versions.json"]  # fmt: skip
    assert sorted(path.name for path in run.path.iterdir()) == parts
    assert [(done, total) for done, total, _ in told] == [(i, 5) for i in range(1, 6)] * 2
    assert run.data["spec"] == spec and set(run.data["counts"]) == {"train", "test"}
    assert (run.path / "bad_files.txt").read_text().startswith("a/broken.png: ")
    assert {path.name for path in run.path.glob("pictures/*")} == {
        f"{stage}-000{epoch}.png" for stage in ("autoencoder", "spotter") for epoch in (1, 2)
    }


@pytest.mark.slow
def test_metrics_have_losses_and_health_of_each_epoch(trained):
    lines = trained[0].metrics()
    assert [(line["stage"], line["epoch"], line["step"]) for line in lines] == [
        ("autoencoder", 1, 3), ("autoencoder", 2, 5), ("spotter", 1, 3), ("spotter", 2, 5),
    ]  # fmt: skip
    copies = {"held_out_psnr", "held_out_laplacian_share"}
    assert {"reconstruction_loss", "held_out_reconstruction_loss", "learning_rate"} | copies < set(lines[0])
    health = {"held_out_decoded_accuracy", "held_out_repaired_accuracy", "held_out_mask_auc", "feature_std",
              "effective_rank", "knn_accuracy", "linear_accuracy"}  # fmt: skip
    repair = {"held_out_unrepaired_distance", "held_out_repaired_distance", "held_out_brightness_shift"}
    assert health | repair | copies | {"discriminator_loss", "repair_loss", "mask_loss"} < set(lines[-1])
    assert all(0 <= lines[-1][name] <= 1 for name in health - {"feature_std", "effective_rank"})


@pytest.mark.slow
def test_the_finished_run_loads_from_its_files_and_from_its_checkpoints(trained, tmp_path):
    run, spotter, _ = trained
    images = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    conv5 = spotter.backbone(images)["conv5"]
    (run.path / "spotter.keras").rename(tmp_path / "aside")
    try:
        from_checkpoint = load_spotter(run.path)
    finally:
        (tmp_path / "aside").rename(run.path / "spotter.keras")
    np.testing.assert_array_equal(from_checkpoint.backbone(images)["conv5"], conv5)
    np.testing.assert_array_equal(load_spotter(run).backbone(images)["conv5"], conv5)
    decoded = load_autoencoder(run)(images)
    np.testing.assert_allclose(spotter.autoencoder(images), decoded, atol=1e-6)


@pytest.mark.slow
def test_resuming_a_finished_run_trains_nothing(trained, spec):
    run = trained[0]
    before = run.metrics_path.read_bytes()
    told, plan = [], {}
    training.train(
        CONFIG, spec, run.path, resume=True, on_progress=lambda *words: told.append(words), on_plan=plan.update
    )
    assert told == [] and run.metrics_path.read_bytes() == before
    assert plan["discriminator_parameters"] > plan["autoencoder_parameters"] > 0, "counted on what is loaded"


@pytest.mark.slow
def test_a_loss_that_stops_being_finite_stops_the_run_and_names_the_step(spec, tmp_path):
    """A rate so large that the first update throws the weights out of range."""
    config = CONFIG.replace(**{"training.autoencoder_learning_rate": 1e38})
    with pytest.raises(NonFiniteLoss, match=r"at one of steps 1 to 2 of stage autoencoder|at step 2 of"):
        training.train(config, spec, tmp_path / "run")
    assert not (tmp_path / "run" / "autoencoder.keras").exists()


@pytest.mark.slow
def test_photos_are_opened_once_and_parameters_counted_on_the_networks_that_are_trained(spec, tmp_path, monkeypatch):
    """The plan comes before the first step, and each count when its network is made."""
    events, opened, built = [], [], []

    def counted(function, calls):
        return lambda *words, **named: calls.append(words) or function(*words, **named)

    monkeypatch.setattr(training, "open_source", counted(training.open_source, opened))
    monkeypatch.setattr(from_config, "build_discriminator", counted(from_config.build_discriminator, built))
    monkeypatch.setattr(training, "build_autoencoder", counted(training.build_autoencoder, built))
    spotter = training.train(
        CONFIG,
        spec,
        tmp_path / "run",
        on_plan=events.append,
        on_progress=lambda done, total, text: events.append(f"{text.split()[0]} {done}"),
    )
    autoencoder, discriminator = spotter.autoencoder.count_params(), spotter.discriminator.count_params()
    steps = {stage: [f"{stage} {step}" for step in range(1, 6)] for stage in ("autoencoder", "spotter")}
    assert len(opened) == 1 and len(built) == 2
    assert events[0]["photos"] > 0 and events[0]["spotter_steps"] == 5
    assert events[1]["cache"] == "none: 40 images are made of 21 photos" and events[2:] == [
        {"autoencoder_parameters": autoencoder},
        *steps["autoencoder"],
        {"discriminator_parameters": discriminator},
        *steps["spotter"],
    ]


def test_training_without_resume_into_a_run_is_refused(spec, tmp_path):
    Run.create(tmp_path, CONFIG, {})
    with pytest.raises(UserError, match="--resume"):
        training.train(CONFIG, spec, tmp_path)


def test_strict_refuses_a_photo_that_cannot_be_read(spec, tmp_path):
    with pytest.raises(UserError, match="broken.png"):
        training.train(CONFIG, spec, tmp_path / "run", strict=True)


@pytest.mark.slow
def test_the_autoencoder_of_another_run_is_taken_and_its_origin_kept(trained, spec, tmp_path):
    run, _, _ = trained
    told = []
    config = CONFIG.replace(**{"game.drop_rate": 0.3})
    training.train(config, spec, tmp_path / "b", autoencoder=run.path, on_progress=lambda *words: told.append(words))
    second = Run(tmp_path / "b")
    assert {text.split()[0] for _, _, text in told} == {"spotter"}, "stage 1 was run again"
    assert second.model_path("autoencoder").read_bytes() == run.model_path("autoencoder").read_bytes()
    origin = json.loads((second.path / "autoencoder.json").read_text())
    assert origin["run"] == str(run.path) and origin["config"] == run.config.to_dict()
    training.train(config, spec, second.path, resume=True, autoencoder=run.path)  # the command repeated
    training.train(CONFIG.replace(**{"training.seed": 3}), spec, tmp_path / "c")
    with pytest.raises(UserError, match="--autoencoder skips stage 1; .*has another autoencoder already; leave it out"):
        training.train(config, spec, second.path, resume=True, autoencoder=tmp_path / "c")


@pytest.mark.slow
def test_a_run_stopped_in_stage_1_costs_what_the_autoencoder_that_it_takes_did(trained, spec, tmp_path):
    def kill(done, *_):
        if done == 4:
            raise KeyError("killed")

    with pytest.raises(KeyError):
        training.train(CONFIG, spec, tmp_path / "b", on_progress=kill)
    begun = Run(tmp_path / "b")
    assert begun.spent()["autoencoder"]["images_seen"] == 12, "of its first epoch"
    other = trained[0]
    training.train(CONFIG, spec, begun.path, resume=True, autoencoder=other.path)
    assert begun.spent()["autoencoder"] == other.spent()["autoencoder"]
    assert not list(begun.checkpoints("autoencoder").glob("step-*"))


def test_a_refused_command_changes_nothing(spec, tmp_path):
    """Another batch size is recorded only once all else is found right."""
    changed = CONFIG.replace(**{"training.batch_size": 2})
    run = Run.create(tmp_path / "run", CONFIG, open_source(spec, CONFIG).record())
    for stage in ("autoencoder", "spotter"):
        run.model_path(stage).touch()
    for options, says in (
        ({"extend": 2}, "whose checkpoints were removed"),
        ({"init_from": "other"}, "random weights"),
    ):
        with pytest.raises(UserError, match=says):
            training.train(changed, spec, run.path, resume=True, **options)
    assert run.config == CONFIG and not (run.path / "batch_sizes.jsonl").exists()


@pytest.mark.slow
def test_an_autoencoder_that_does_not_fit_is_refused_before_anything_is_written(trained, spec, tmp_path):
    run, _, _ = trained
    config = CONFIG.replace(**{"network.encoder_kernel": 3, "data.image_size": 24})
    with pytest.raises(UserError, match="image_size 16, not 24; encoder_kernel 2, not 3"):
        training.train(config, spec, tmp_path / "b", autoencoder=run.path)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.json").write_text(CONFIG.to_json())
    with pytest.raises(UserError, match=r"a run with autoencoder\.keras; received: .*unfinished"):
        training.train(CONFIG, spec, tmp_path / "b", autoencoder=tmp_path / "unfinished")
    assert not (tmp_path / "b").exists()


def weights_of(run):
    return load_spotter(run).get_weights()


@pytest.mark.slow
def test_a_finished_run_is_extended_with_its_rates_laid_out_anew(spec, tmp_path):
    run = tmp_path / "run"
    training.train(CONFIG, spec, run)
    before, told = weights_of(run), []
    training.train(CONFIG, spec, run, resume=True, extend=4, on_progress=lambda *words: told.append(words[:2]))
    assert told == [(step, 9) for step in range(6, 10)], "it goes on from its last checkpoint"
    last, first = Run(run).metrics()[-1], Run(run).metrics()[-3]
    assert (last["step"], first["step"]) == (9, 5) and len(Run(run).metrics()) == 6
    # Linear to 1 % over 90 % of 9 steps, 8 of them: at its lowest; over 90 % of 5, 4 of them, it was so at step 5.
    lowest = 0.01 * CONFIG.training.discriminator_learning_rate
    assert last["learning_rate"] == pytest.approx(lowest) and first["learning_rate"] == pytest.approx(lowest)
    second_last = Run(run).metrics()[-2]  # step 6 of the new schedule
    assert second_last["step"] == 6 and second_last["learning_rate"] > 10 * lowest
    assert not all(map(np.array_equal, before, weights_of(run)))
    longer = Run(run).config
    training.train(longer, spec, run, resume=True)  # finished again: nothing is left to do
    assert longer.training.spotter_steps == 9 and len(Run(run).metrics()) == 6


@pytest.mark.slow
def test_a_run_begins_with_the_weights_of_another(trained, spec, tmp_path):
    """At a rate so low that no weight moves, and after a kill before the first checkpoint."""
    still = {f"training.{name}_learning_rate": 1e-30 for name in ("autoencoder", "discriminator", "repair")}
    config = CONFIG.replace(**still | {"training.seed": 5, "network.fc_units": 8})
    run, plan = tmp_path / "run", {}

    def kill(*_):
        raise KeyError("killed")

    with pytest.raises(KeyError):
        training.train(config, spec, run, init_from=trained[0].path, on_plan=plan.update, on_progress=kill)
    assert "at random: fc1 (" in plan["discriminator_begins_with"] and "random" not in plan["encoder_begins_with"]
    training.train(config, spec, run, resume=True)
    ours, theirs = load_spotter(run), load_spotter(trained[0])
    for first, second in ((ours.backbone, theirs.backbone), (ours.autoencoder.encoder, theirs.autoencoder.encoder)):
        for a, b in zip(first.trainable_variables, second.trainable_variables, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="--init-from is for the beginning of a run; .*other, but .* began with"):
        training.train(config, spec, run, resume=True, init_from=tmp_path / "other")
    with pytest.raises(UserError, match="began with random weights; leave it out"):
        training.train(CONFIG, spec, trained[0].path, resume=True, init_from="other")


@pytest.mark.slow
def test_a_tracker_has_a_run_of_each_stage_and_goes_on_in_it(spec, tmp_path, monkeypatch):
    """By a stand-in for wandb; killed in stage 2, whose run then goes on where it was."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb, run, told = Wandb(monkeypatch), tmp_path / "run", []

    def kill(done, total, text):
        if text.startswith("spotter") and done == 5:
            raise KeyError("killed")

    with pytest.raises(KeyError):
        training.train(CONFIG, spec, run, tracker="wandb", on_epoch=told.append, on_progress=kill)
    training.train(CONFIG, spec, run, tracker="wandb", resume=True, on_epoch=told.append)
    first, second = wandb.runs.values()
    assert (first["settings"]["name"], second["settings"]["name"]) == ("run-autoencoder", "run-spotter")
    assert first["exit_codes"] == [0] and second["exit_codes"] == [1, 0]
    assert second["config"]["game"] == CONFIG.to_dict()["game"] and second["config"]["photos"] == spec
    lines = Run(run).metrics()
    assert [(line["stage"], line["epoch"]) for line in told] == [(line["stage"], line["epoch"]) for line in lines]
    for logged, line in zip(first["logged"] + second["logged"], lines, strict=True):
        assert {f"epoch/{name}": line[name] for name in ("learning_rate", "held_out_psnr")}.items() <= logged.items()


@pytest.mark.slow
def test_tensorboard_has_groups_of_scalars_and_pictures(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags = {}
    for stage in ("autoencoder", "spotter"):
        events = EventAccumulator(str(trained[0].path / "tensorboard" / stage))
        events.Reload()
        tags[stage] = set(events.Tags()["tensors"])
    assert {tag.partition("/")[0] for tag in tags["autoencoder"]} == {"loss", "health", "rate", "pictures"}
    assert {tag.partition("/")[0] for tag in tags["spotter"]} == {"loss", "accuracy", "health", "rate", "pictures"}
    assert {"loss/mask_loss", "accuracy/linear_accuracy", "health/held_out_repaired_distance"} < tags["spotter"]
    assert "pictures/decoded" in tags["autoencoder"] and "pictures/repaired" in tags["spotter"]


class Watcher(keras.callbacks.Callback):
    """A user's callback: what it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((type(self.model).__name__, epoch, set(logs)))


@pytest.mark.slow
def test_users_callbacks_see_each_epoch_with_its_health_signals(spec, tmp_path):
    """Those of a stage are asked for when it is trained, and not for one that is finished."""
    both, asked = Watcher(), []

    def of_stage(stage):
        asked.append(stage)
        return [both]

    training.train(CONFIG, spec, tmp_path / "run", callbacks=of_stage)
    assert asked == ["autoencoder", "spotter"]
    assert [place[:2] for place in both.seen] == [
        ("Autoencoder", 0), ("Autoencoder", 1), ("ArtifactSpotter", 0), ("ArtifactSpotter", 1),
    ]  # fmt: skip
    assert {"reconstruction_loss", "held_out_reconstruction_loss"} <= both.seen[0][2]
    assert {"mask_loss", "held_out_mask_auc", "knn_accuracy"} <= both.seen[-1][2]
    listed = Watcher()
    training.train(CONFIG, spec, tmp_path / "other", autoencoder=tmp_path / "run", callbacks=[listed])
    assert [place[:2] for place in listed.seen] == [("ArtifactSpotter", 0), ("ArtifactSpotter", 1)]
    projected = tmp_path / "run" / "tensorboard" / "spotter" / "projector"
    assert {path.name for path in projected.iterdir()} == {"features.tsv", "labels.tsv", "photos.png"}


@pytest.mark.slow
def test_batches_of_another_size_from_the_middle_of_stage_2_on(trained, spec, tmp_path, caplog):
    """The checkpoint of step 4 goes on with batches of six: 4 * 4 + 6 images, an empty history, other weights."""
    import shutil

    runs = [tmp_path / "first", tmp_path / "second"]
    for path in runs:
        shutil.copytree(trained[0].path, path)
        (path / "spotter.keras").unlink()
        shutil.rmtree(path / "checkpoints" / "spotter" / "step-00000005")
    changed = CONFIG.replace(**{"training.batch_size": 6})
    spotters = [training.train(changed, spec, path, resume=True) for path in runs]
    assert "batches have 6 images from here on, 4 so far" in caplog.text
    assert "go on after 16 images; the history of corrupt images begins empty" in caplog.text
    run = Run(runs[0])
    assert run.config == changed and run.spent()["spotter"]["images_seen"] == 22
    assert json.loads((run.path / "batch_sizes.jsonl").read_text()) == {
        "stage": "spotter", "after_step": 4, "from": 4, "to": 6,
    }  # fmt: skip
    first, second, whole = (spotter.backbone.get_weights() for spotter in (*spotters, trained[1]))
    assert all(map(np.array_equal, first, second)), "told apart by nothing but the change"
    assert not all(map(np.array_equal, first, whole))
    (run.path / "spotter.keras").rename(tmp_path / "aside")
    assert all(map(np.array_equal, load_spotter(run).backbone.get_weights(), first))
    shutil.rmtree(run.path / "checkpoints" / "spotter" / "step-00000005")
    load_spotter(run)  # of before the change
    training.train(CONFIG, spec, runs[1], resume=True, extend=2)
    assert Run(runs[1]).spent()["spotter"]["images_seen"] == 22 + 2 * 4, "and back, for two steps more"

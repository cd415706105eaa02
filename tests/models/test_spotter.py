"""Stage 2: the order of the updates, every option, saving, and that it learns."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.models import losses
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.models.stations import LOGS, Judged

# Keras itself converts its variables in numpy 1's way when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

SIZE, BATCH, RATE = 16, 8, 0.05


def pictures(count: int = BATCH, seed: int = 0) -> np.ndarray:
    """Smooth blobs of colour: (count, SIZE, SIZE, 3) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, 4, 4, 3)).astype("float32")
    return tf.image.resize(coarse, (SIZE, SIZE)).numpy()


def make(**settings: Any) -> ArtifactSpotter:
    """The same random weights every time."""
    keras.utils.set_random_seed(1)
    network = {"width": 0.1, "stem_kernel": 3, "stem_stride": 1, "trunk_norm": "batch", "fc_units": 16}
    network |= {"dropout_rate": 0.5}
    network |= {name: settings.pop(name) for name in list(settings) if name in network or name == "predict_mask"}
    discriminator = Discriminator(image_size=SIZE, norm_momentum=0.9, norm_epsilon=1e-3, **network)
    autoencoder = Autoencoder(image_size=SIZE, width=0.25, levels=2, norm_momentum=0.9)
    return ArtifactSpotter(autoencoder, discriminator, **({"history_batches": 0} | settings))


def with_sgd(**settings: Any) -> ArtifactSpotter:
    """Plain gradient descent, so that a step can be computed by hand."""
    spotter = make(**settings)
    spotter.compile(keras.optimizers.SGD(RATE), keras.optimizers.SGD(RATE))
    return spotter


def values(variables: Any) -> list[np.ndarray]:
    return [v.numpy() for v in variables]


def equal(first: list[Any], second: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def descend(variables: list[Any], gradients: list[Any], decay: float) -> list[np.ndarray]:
    steps = (g + decay * v if len(v.shape) > 1 else g for g, v in zip(gradients, variables, strict=True))
    return [(v - RATE * step).numpy() for v, step in zip(variables, steps, strict=True)]


# --- one step by hand ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_order_of_the_updates(update: str) -> None:
    """`stepped` takes the step; `hand` computes it. Seed 1, step 0, dropout and damage on."""
    settings = {"update": update, "kept_weight": 3.0, "mask_weight": 0.5, "weight_decay": 0.1}
    stepped, hand, images = with_sgd(**settings), make(**settings), pictures()
    step = tf.constant(0, tf.int64)
    with tf.GradientTape(persistent=True) as tape:
        corrupted = hand.corrupt(images, step, training=True)
        judged = hand.judge(corrupted.decoded, corrupted.repaired, step)
        found = hand.discriminator_losses(judged, corrupted.keep_mask)
        loss, logs = found.total, found.logs()
        early, early_adversarial = hand.repair_losses(images, corrupted.repaired, corrupted.keep_mask, judged)
    ours = hand.discriminator.trainable_variables
    discriminator = descend(ours, tape.gradient(loss, ours), 0.1)
    statistics = values(hand.discriminator.non_trainable_variables)
    repairs = hand.repair.trainable_variables
    repaired_early = descend(repairs, tape.gradient(early, repairs), 0.1)
    for variable, value in zip(ours, discriminator, strict=True):
        variable.assign(value)
    with tf.GradientTape() as tape:
        corrupted = hand.repair(corrupted.damaged, corrupted.keep_mask, decoder=hand.autoencoder.decoder, training=True)
        corrupted = hand.corrupt(images, step)._replace(repaired=corrupted)
        judged = hand.judge(corrupted.decoded, corrupted.repaired, step, update_statistics=False)
        late, late_adversarial = hand.repair_losses(images, corrupted.repaired, corrupted.keep_mask, judged)
    repaired_late = descend(repairs, tape.gradient(late, repairs), 0.1)

    told = stepped.train_step(images)
    for new, expected in zip(stepped.discriminator.trainable_variables, discriminator, strict=True):
        np.testing.assert_allclose(new, expected, atol=1e-6, err_msg=new.path)
    # Once and only once: the pass for the repair network leaves them.
    assert equal(stepped.discriminator.non_trainable_variables, statistics)
    right, wrong = (repaired_late, repaired_early) if update == "alternating" else (repaired_early, repaired_late)
    for new, expected in zip(stepped.repair.trainable_variables, right, strict=True):
        np.testing.assert_allclose(new, expected, atol=2e-6, err_msg=new.path)
    assert max(np.abs(a - b).max() for a, b in zip(right, wrong, strict=True)) > 1e-4
    adversarial = late_adversarial if update == "alternating" else early_adversarial
    assert float(told["adversarial_loss"]) == pytest.approx(float(adversarial), rel=1e-5)
    assert set(told) == set(LOGS) and float(told["discriminator_loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert float(loss) == pytest.approx(float(logs["realness_loss"] + 0.5 * logs["mask_loss"]), rel=1e-6)
    assert int(stepped.step) == 1 and int(stepped.optimizer_of_repair.iterations) == 1


def test_steps_are_repeatable_and_differ_by_seed() -> None:
    runs = []
    for seed in (0, 0, 5):
        spotter = with_sgd(seed=seed, history_batches=2, batch_size=BATCH)
        for _ in range(2):
            spotter.train_step(pictures())
        runs.append(values(spotter.variables))
    assert equal(runs[0], runs[1]) and not equal(runs[0], runs[2])


def test_every_step_drops_other_cells() -> None:
    spotter, images = make(), pictures()
    masks = [spotter.corrupt(images, step=step).keep_mask.numpy() for step in (0, 0, 1)]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


def test_both_halves_are_judged_in_one_batch() -> None:
    """Batch norm must see real and corrupt together, or it would tell them apart by itself."""
    spotter = make(dropout_rate=0.0)
    real, corrupt = pictures(seed=1), pictures(seed=2) * 0.1
    together = spotter.discriminator(np.concatenate([real, corrupt]), training=True, update_statistics=False)
    judged = spotter.judge(real, corrupt, step=0)
    both = tf.concat([judged.real_logits, judged.corrupt_logits], 0)
    np.testing.assert_allclose(both, together["realness_logits"], atol=1e-5)
    alone = spotter.discriminator(corrupt, training=True)["realness_logits"]
    assert np.abs(alone - judged.corrupt_logits).max() > 1e-2


WORK = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "count_flops.py"))


def test_apart_the_answers_and_the_gradient_by_the_corrupt_are_the_same_for_less_work() -> None:
    spotter = make()
    real, corrupt = (tf.constant(pictures(seed=seed)) for seed in (1, 2))

    def gradient(apart: bool) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(corrupt)
            judged = spotter.judge(real, corrupt, step=0, update_statistics=False, apart=apart)
            loss = tf.reduce_sum(tf.sin(judged.real_logits))  # of the real: through batch norm alone
        return judged.real_mask_logits, judged.corrupt_mask_logits, tape.gradient(loss, corrupt)

    together, apart = (tf.function(gradient).get_concrete_function(choice) for choice in (False, True))
    for a, b in zip(tf.nest.flatten(together()), tf.nest.flatten(apart()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert float(tf.norm(apart()[2])) > 0
    work = [WORK["flop"](function) for function in (together, apart)]
    assert work[1] < work[0]


# --- options ---------------------------------------------------------------------------------------------------------


def test_drop_rate_and_fill() -> None:
    images = pictures(32)
    kept = [float(tf.reduce_mean(make(drop_rate=rate).corrupt(images, step=0).keep_mask)) for rate in (0.0, 0.2, 0.8)]
    assert kept == pytest.approx([1, 0.8, 0.2], abs=0.08)
    untouched = make(drop_rate=0.0).corrupt(images, step=0)
    np.testing.assert_array_equal(untouched.damaged, untouched.encoding)
    np.testing.assert_array_equal(untouched.repaired, untouched.decoded)  # nothing to repair: the classes coincide
    black = make(fill="zero").corrupt(images, step=0)
    np.testing.assert_array_equal(black.damaged, black.encoding * black.keep_mask)


def test_gate_keeps_the_repair_out_of_kept_cells() -> None:
    images = pictures()
    gated, free = (make(drop_rate=0.0, gated=gated).corrupt(images, step=0) for gated in (True, False))
    np.testing.assert_array_equal(gated.repaired, gated.decoded)
    assert np.abs(free.repaired - free.decoded).max() > 1e-3


def test_real_images() -> None:
    images = pictures()
    for name, spotter in (("decoded", make()), ("original", make(real_images="original"))):
        corrupted = spotter.corrupt(images, step=0)
        expected = images if name == "original" else corrupted.decoded
        np.testing.assert_array_equal(spotter.real(images, corrupted), expected)


def test_losses_follow_their_settings() -> None:
    images = pictures()
    plain = make()
    corrupted = plain.corrupt(images, step=0)
    judged = plain.judge(corrupted.decoded, corrupted.repaired, step=0, update_statistics=False)

    def of_discriminator(**settings: Any) -> dict[str, float]:
        found = make(**settings).discriminator_losses(judged, corrupted.keep_mask)
        return {name: float(value) for name, value in found.logs().items()} | {"loss": float(found.total)}

    def of_repair(**settings: Any) -> float:
        spotter = make(**settings)
        return float(spotter.repair_losses(images, corrupted.repaired, corrupted.keep_mask, judged).total)

    base, heavy, both = of_discriminator(), of_discriminator(mask_weight=2.0), of_discriminator(mask_targets="both")
    assert heavy["loss"] - base["loss"] == pytest.approx((2.0 - 0.1) * base["mask_loss"], rel=1e-4)
    assert abs(both["mask_loss"] - base["mask_loss"]) > 1e-3
    flipped = of_repair()
    assert flipped == pytest.approx(float(losses.adversarial_loss("nonsaturating", judged.corrupt_logits)), rel=1e-5)
    both = of_repair(adversarial_halves="both"), of_repair(adversarial_loss="minimax", adversarial_halves="both")
    assert both[1] == pytest.approx(-base["realness_loss"], rel=1e-5)
    confusion = of_repair(adversarial_loss="confusion", adversarial_halves="both")
    assert confusion == pytest.approx(both[0] + base["realness_loss"], rel=1e-5)
    assert of_repair(repair_mask_loss=True) == pytest.approx(flipped + 0.1 * base["mask_loss"], rel=1e-4)
    pixels = np.repeat(np.repeat(corrupted.keep_mask, 4, 1), 4, 2) * np.ones(3)
    kept = np.sum(pixels * (images - corrupted.repaired) ** 2) / pixels.sum()
    assert of_repair(kept_weight=30.0) == pytest.approx(flipped + 30 * kept, rel=1e-4)


def test_accuracies_count_right_answers() -> None:
    real = tf.constant([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])  # 3 of 4 called real
    corrupt = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])  # 1 of 4 called corrupt
    found = make().discriminator_losses(Judged(real, corrupt), None)
    assert (float(found.decoded_accuracy), float(found.repaired_accuracy)) == (0.75, 0.25)


def test_without_mask_head() -> None:
    spotter = with_sgd(predict_mask=False, repair_mask_loss=True)
    logs = spotter.train_step(pictures())
    assert "mask_loss" not in logs and float(logs["discriminator_loss"]) == float(logs["realness_loss"])


def test_history_shows_the_discriminator_past_images() -> None:
    spotter, seen = with_sgd(history_batches=2, batch_size=BATCH), []
    judge = spotter.judge
    spotter.judge = lambda real, corrupt, *args, **kwargs: seen.append(corrupt) or judge(real, corrupt, *args, **kwargs)
    for seed in range(2):
        spotter.train_step(pictures(seed=seed))
    first, _, with_past, fresh = (np.asarray(batch) for batch in seen)
    same = [np.array_equal(a, b) for a, b in zip(with_past, fresh, strict=True)]
    assert sum(same) == BATCH // 2
    for place in np.flatnonzero(~np.array(same)):
        np.testing.assert_array_equal(with_past[place], first[place])


def test_mistakes_are_named() -> None:
    for name in ("real_images", "update", "adversarial_loss", "adversarial_halves", "mask_targets"):
        with pytest.raises(ValueError, match=f"game.{name} must be one of .*; received: 'odd'"):
            make(**{name: "odd"})
    with pytest.raises(ValueError, match="set history_batches=0"):
        make(update="simultaneous", history_batches=2)
    for name, value in {
        "drop_rate": 1.0,
        "history_steps": 1,
        "kept_weight": -1.0,
        "gated": "yes",
        "fill": "black",
    }.items():
        with pytest.raises(ValueError, match=f"game.{name} must be "):
            make(**{name: value})
    for stem_stride in (2, 4):
        with pytest.raises(ValueError, match=r"encoding 4x4 at 16 pixels, conv5 .*stem_stride"):
            make(stem_stride=stem_stride)


def test_history_wants_one_batch_size() -> None:
    spotter = with_sgd(history_batches=2)
    odd = tf.data.Dataset.from_tensor_slices(pictures(12)).batch(BATCH)
    with pytest.raises(ValueError, match="drop_remainder=True"):
        spotter.fit(odd, shuffle=False)
    spotter.prepare_history(BATCH)
    with pytest.raises(ValueError, match=f"holds batches of {BATCH} images. Received: batches of 4"):
        spotter.prepare_history(4)


# --- Keras -----------------------------------------------------------------------------------------------------------


def test_defaults_are_the_papers() -> None:
    autoencoder = Autoencoder(image_size=32, width=0.1)
    spotter = ArtifactSpotter(autoencoder)
    game = PAPER.game
    names = ("real_images", "update", "adversarial_loss", "adversarial_halves", "mask_targets", "mask_weight",
             "kept_weight", "weight_decay")  # fmt: skip
    for name in names:
        assert getattr(spotter, name) == getattr(game, name)
    assert (spotter.damage.drop_rate, spotter.damage.fill) == (game.drop_rate, game.fill)
    assert spotter.past is not None and spotter.past.batches == game.history_batches
    assert spotter.backbone.response_norm is not None and spotter.discriminator.fc_units == 4096
    spotter.compile()
    for optimizer in (spotter.optimizer, spotter.optimizer_of_repair):
        assert float(optimizer.learning_rate) == pytest.approx(3e-4)
        assert (optimizer.beta_1, optimizer.epsilon) == (0.5, 1e-5)


def test_call_gives_the_answers_and_the_backbone_is_the_discriminators() -> None:
    spotter, images = make(), pictures(3)
    answers = spotter(images)
    assert answers["mask_logits"].shape == (3, 4, 4, 1) and answers["realness_logits"].shape == (3, 2)
    np.testing.assert_array_equal(spotter.backbone(images)["conv5"], answers["conv5"])
    assert spotter.backbone is spotter.discriminator.backbone


@pytest.fixture(scope="module")
def trained() -> Iterator[tuple[ArtifactSpotter, list[np.ndarray], dict[str, list[float]]]]:
    """A spotter after `fit` with a history and labelled data, its autoencoder's weights from before, and the logs."""
    spotter = make(history_batches=2, mask_weight=1.0, width=0.25)
    labelled = tf.data.Dataset.from_tensor_slices((pictures(128), np.arange(128)))
    pictures_ds = labelled.batch(BATCH, drop_remainder=True).repeat(8)
    spotter.autoencoder.trainable = True
    spotter.autoencoder.compile(keras.optimizers.Adam(5e-3))
    spotter.autoencoder.fit(pictures_ds, shuffle=False, verbose=0)
    spotter.autoencoder.trainable = False
    before = values(spotter.autoencoder.variables)
    spotter.compile(keras.optimizers.Adam(2e-3), keras.optimizers.Adam(1e-4))
    history = spotter.fit(pictures_ds, shuffle=False, verbose=0)
    yield spotter, before, history.history


Trained = tuple[ArtifactSpotter, list[np.ndarray], dict[str, list[float]]]


def test_the_autoencoder_stays_frozen(trained: Trained) -> None:
    """Weights and moving statistics, to the bit."""
    spotter, before, _ = trained
    assert equal(values(spotter.autoencoder.variables), before)
    ours = spotter.discriminator.trainable_variables + spotter.repair.trainable_variables
    assert {id(v) for v in spotter.trainable_variables} == {id(v) for v in ours}


def test_it_learns_to_spot(trained: Trained) -> None:
    """Half the cells are dropped: a mask head that sees nothing has the loss ln 2 = 0.693."""
    spotter, _, logs = trained
    assert set(logs) == set(LOGS)
    result = spotter.evaluate(pictures(64, seed=9), batch_size=BATCH, verbose=0, return_dict=True)
    assert result["mask_loss"] < 0.6 and set(result) <= set(LOGS)


def assert_same(spotter: ArtifactSpotter, other: ArtifactSpotter) -> None:
    """Networks, history, both optimizers' moments and counts; and the next step."""
    pairs = [(spotter.variables, other.variables), (spotter.optimizer.variables, other.optimizer.variables)]
    pairs += [(spotter.optimizer_of_repair.variables, other.optimizer_of_repair.variables)]
    for ours, theirs in pairs:
        assert len(ours) == len(theirs) > 10
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert np.abs(other.past.images).max() > 0 and int(other.step) == int(other.optimizer_of_repair.iterations) == 128
    corrupted = [s.corrupt(pictures(), step=s.step).repaired.numpy() for s in (spotter, other)]
    np.testing.assert_array_equal(*corrupted)


def test_saving_the_model_keeps_everything(trained: Trained, tmp_path: Path) -> None:
    spotter, _, _ = trained
    spotter.save(tmp_path / "spotter.keras")
    loaded = keras.models.load_model(tmp_path / "spotter.keras")
    assert_same(spotter, loaded)
    assert loaded.batch_size == BATCH and not loaded.autoencoder.trainable
    assert loaded.get_config() == spotter.get_config()
    loaded.train_step(pictures())  # and goes on
    assert int(loaded.step) == 129


def test_saving_weights_keeps_everything(trained: Trained, tmp_path: Path) -> None:
    spotter, _, _ = trained
    spotter.save_weights(tmp_path / "spotter.weights.h5")
    fresh = make(history_batches=2, mask_weight=1.0, width=0.25, batch_size=BATCH)
    fresh.compile(keras.optimizers.Adam(2e-3), keras.optimizers.Adam(1e-4))
    fresh.load_weights(tmp_path / "spotter.weights.h5")
    assert_same(spotter, fresh)


def test_every_setting_survives_the_config() -> None:
    settings = {
        "drop_rate": 0.3, "fill": "noise", "gated": False, "zero_residual": True, "real_images": "original",
        "history_batches": 3, "history_steps": 5, "batch_size": BATCH, "adversarial_loss": "minimax",
        "adversarial_halves": "both", "mask_targets": "both", "mask_weight": 0.7, "kept_weight": 2.0,
        "repair_mask_loss": True, "weight_decay": 0.2, "seed": 7,
    }  # fmt: skip
    spotter = make(**settings)
    again = ArtifactSpotter.from_config(spotter.get_config())
    assert again.get_config() == spotter.get_config()
    for name in set(settings) & set(vars(again)):
        assert getattr(again, name) == settings[name]
    assert (again.damage.drop_rate, again.damage.fill, again.damage.seed, again.past.seed) == (0.3, "noise", 7, 7)
    assert not again.repair.blocks[0].gated and again.repair.blocks[0].zero_residual
    assert (again.past.batches, again.past.steps) == (3, 5)

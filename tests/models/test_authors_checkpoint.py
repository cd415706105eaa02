"""The model against the authors' graph: same weights in, same numbers out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import tf_spot.config
from tests.golden.reference import NARROW, Graph, main
from tf_spot.errors import UserError
from tf_spot.models.authors_checkpoint import from_authors_variables, load_authors_checkpoint, variable_table
from tf_spot.models.spotter import ArtifactSpotter

FULL = Path(__file__).resolve().parents[3] / "shared" / "golden"
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no full-width reference beside the repository")

ACTIVATIONS = ("encoded", "corrupted", "decoded", "repaired", "disc_conv_1", "disc_conv_2", "disc_conv_3",
               "disc_conv_4", "disc_conv_5", "class_logits", "mask_logits")  # fmt: skip
LOSSES = ("class_loss_discriminator", "class_loss_repair", "mask_loss", "repair_mse_loss")
# Float32 convolutions differ in their last bits from one machine to the next, and random weights amplify it.
ACTIVATION_TOLERANCE = 1e-4  # of the tensor's largest value
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 2e-3


def narrow_weights() -> dict[str, np.ndarray]:
    with np.load(NARROW) as golden:
        return {name.removeprefix("weights:"): golden[name] for name in golden if name.startswith("weights:")}


def full_weights() -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(FULL / "authors_32px.ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def answers_of(spotter: ArtifactSpotter, golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the model computes for the golden's images and drawn mask, under the golden's names."""
    images, keep_mask = golden["images"].astype("float32"), golden["mask"]
    with tf.GradientTape(persistent=True) as tape:
        encoding = spotter.autoencoder.encoder(images)
        damaged = spotter.damage.apply_mask(encoding, keep_mask, step=0)
        decoded = spotter.autoencoder.decoder(encoding)
        repaired = spotter.repair(damaged, keep_mask, decoder=spotter.autoencoder.decoder, training=True)
        judged = spotter.judge(decoded, repaired, step=0)
        found = spotter.discriminator_losses(judged, keep_mask)
        discriminator_loss, logs = found.total, found.logs()
        repair_loss, adversarial = spotter.repair_losses(images, repaired, keep_mask, judged)
    maps = spotter.backbone(tf.concat([decoded, repaired], 0), training=True)
    out = {"encoded": encoding, "corrupted": damaged, "decoded": decoded, "repaired": repaired}
    out |= {f"disc_conv_{i}": maps[f"conv{i}"] for i in range(1, 6)}
    out["class_logits"] = tf.concat([judged.real_logits, judged.corrupt_logits], 0)
    mask_logits = tf.concat([judged.real_mask_logits, judged.corrupt_mask_logits], 0)
    out["mask_logits"] = tf.reshape(mask_logits, golden["mask_logits"].shape)
    out |= {"class_loss_discriminator": logs["realness_loss"], "class_loss_repair": adversarial}
    out |= {"mask_loss": logs["mask_loss"], "repair_mse_loss": repair_loss - adversarial}
    norms: dict[str, float] = {}
    for scope, loss in (("generator", repair_loss), ("discriminator", discriminator_loss)):
        rows = {k: v for k, v in variable_table(spotter).items() if k[0].startswith(scope) and v.trainable}
        for names, gradient in zip(rows, tape.gradient(loss, list(rows.values())), strict=True):
            parts = tf.split(gradient, len(names), axis=-1)  # the authors' groups are variables of their own
            norms |= {name: tf.norm(part).numpy() for name, part in zip(names, parts, strict=True)}
    return {name: np.asarray(value) for name, value in out.items()} | {"norms": norms}


@pytest.fixture(scope="module", params=["narrow", pytest.param("full", marks=needs_full)])
def compared(request: pytest.FixtureRequest) -> SimpleNamespace:
    """`.golden` and, from the same weights, `.ours`; and `.exact`, the authors' graph in float64, up to the images."""
    if request.param == "full":
        golden, weights = dict(np.load(FULL / "authors_32px.npz")), full_weights()
        spotter = load_authors_checkpoint(str(FULL / "authors_32px.ckpt"))
    else:
        golden, weights = dict(np.load(NARROW)), narrow_weights()
        spotter = from_authors_variables(weights)
    # The golden was made without dropout, and with the flipped loss alone for the repair network.
    spotter.discriminator.dropout.rate = 0.0
    spotter.adversarial_loss, spotter.repair_mask_loss = "nonsaturating", False
    exact = Graph(weights, "float64").repair(*(tf.cast(golden[name], tf.float64) for name in ("images", "mask")))
    return SimpleNamespace(spotter=spotter, golden=golden, ours=answers_of(spotter, golden), exact=exact)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_equals_the_authors(compared: SimpleNamespace, name: str) -> None:
    ours, theirs = compared.ours[name], compared.golden[name]
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    limit = ACTIVATION_TOLERANCE * np.abs(theirs).max()
    rounding = np.abs(theirs - np.asarray(compared.exact.get(name, theirs)))  # theirs, not ours
    assert rounding.max() <= limit
    assert np.all(np.abs(ours - theirs) <= limit + rounding)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_the_authors(compared: SimpleNamespace, name: str) -> None:
    assert compared.ours[name] == pytest.approx(float(compared.golden[name]), rel=LOSS_TOLERANCE)


def test_every_gradient_norm_equals_the_authors(compared: SimpleNamespace) -> None:
    theirs = dict(zip(compared.golden["grad_names"].tolist(), compared.golden["grad_norms"].tolist(), strict=True))
    assert set(theirs) == set(compared.ours["norms"])
    wrong = {
        name: (value, compared.ours["norms"][name])
        for name, value in theirs.items()
        if compared.ours["norms"][name] != pytest.approx(value, rel=GRADIENT_TOLERANCE)
    }
    assert not wrong


def test_authors_settings_share_every_loss_with_the_repair_network(compared: SimpleNamespace) -> None:
    """Their code sums flipped, unflipped, mask and kept-pixel loss for the repair network."""
    spotter, golden = compared.spotter, compared.golden
    images = golden["images"].astype("float32")
    judged = spotter.judge(golden["decoded"], golden["repaired"], step=0)
    try:
        spotter.adversarial_loss, spotter.repair_mask_loss = "confusion", True
        loss, _ = spotter.repair_losses(images, golden["repaired"], golden["mask"], judged)
    finally:
        spotter.adversarial_loss, spotter.repair_mask_loss = "nonsaturating", False
    total = sum(float(golden[name]) for name in LOSSES) - 0.9 * float(golden["mask_loss"])
    assert float(loss) == pytest.approx(total, rel=1e-4)


@needs_full
def test_reference_itself_equals_the_authors() -> None:
    """The rewrite that made the narrow golden is the authors' graph."""
    graph = Graph(full_weights())
    golden = dict(np.load(FULL / "authors_32px.npz"))
    out = graph.run(golden["images"], golden["mask"])
    for name in ACTIVATIONS:
        assert np.abs(out[name] - golden[name]).max() <= ACTIVATION_TOLERANCE * np.abs(golden[name]).max(), name
    for name in LOSSES:
        assert float(out[name]) == pytest.approx(float(golden[name]), rel=LOSS_TOLERANCE), name
    theirs = dict(zip(golden["grad_names"].tolist(), golden["grad_norms"].tolist(), strict=True))
    ours = dict(zip(out["grad_names"].tolist(), out["grad_norms"].tolist(), strict=True))
    assert ours == pytest.approx(theirs, rel=GRADIENT_TOLERANCE)


def test_narrow_golden_is_what_its_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.golden.reference.NARROW", tmp_path / "narrow.npz")
    main()
    with np.load(NARROW) as kept, np.load(tmp_path / "narrow.npz") as made:
        assert set(kept) == set(made)
        for name in kept:
            if kept[name].dtype.kind == "f":
                np.testing.assert_allclose(made[name], kept[name], rtol=2e-3, atol=1e-4 * np.abs(kept[name]).max())


def test_loaded_model_has_the_authors_settings_and_sizes() -> None:
    spotter = from_authors_variables(narrow_weights())
    game = tf_spot.config.preset("authors2019").game
    for name in ("update", "adversarial_loss", "mask_targets", "mask_weight", "kept_weight", "repair_mask_loss"):
        assert getattr(spotter, name) == getattr(game, name)
    assert spotter.damage.drop_rate == game.drop_rate == 0.7 and spotter.past is None
    assert (spotter.autoencoder.image_size, spotter.autoencoder.grid_size) == (32, 2)
    assert spotter.discriminator.fc_units == 64
    assert len(variable_table(spotter)) == len(spotter.variables)  # none is left at its random start


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The narrow weights as a TF1 checkpoint, with what TF1 training adds."""
    prefix = str(tmp_path_factory.mktemp("authors") / "model.ckpt-7")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weights = {name: value.astype("float32") for name, value in narrow_weights().items()}
        weights |= {"global_step": np.int64(7), "beta1_power": np.float32(0.5)}
        for more in ("Adam_1", "ExponentialMovingAverage", "Momentum"):
            weights[f"generator/repair_0/conv1/weights/{more}"] = np.zeros((3, 3, 65, 64), "float32")
        variables = {name: tf.compat.v1.Variable(value) for name, value in weights.items()}
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables).save(session, prefix, write_meta_graph=False)
    return prefix


def test_load_authors_checkpoint_reads_prefix_or_folder(checkpoint: str) -> None:
    weights = narrow_weights()
    for path in (checkpoint, str(Path(checkpoint).parent)):
        spotter = tf_spot.load_authors_checkpoint(path)
        kernel = spotter.autoencoder.encoder.stages[2].conv.kernel
        np.testing.assert_array_equal(kernel, weights["encoder/conv_2/weights"])
        both = [weights[f"discriminator/conv_4/conv_{group}/weights"] for group in (0, 1)]
        np.testing.assert_array_equal(spotter.backbone.convs[3].kernel, np.concatenate(both, -1))
        kernel = weights["discriminator/fc_1/weights"]
        np.testing.assert_array_equal(spotter.discriminator.fc1.kernel[32 + 5], kernel[0, 1, 5])  # row-major cells


def test_checkpoint_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read a TensorFlow 1 checkpoint.*nothing.ckpt"):
        load_authors_checkpoint(str(tmp_path / "nothing.ckpt"))
    (tmp_path / "bad.ckpt.index").write_bytes(b"not a table")
    with pytest.raises(UserError, match="cannot read a TensorFlow 1 checkpoint"):
        load_authors_checkpoint(str(tmp_path / "bad.ckpt"))


def test_missing_unknown_and_misshapen_variables_are_named() -> None:
    weights = narrow_weights()
    name = "decoder/deconv_4/BatchNorm/gamma"
    with pytest.raises(UserError, match=f"lacks .*{name}"):
        from_authors_variables({k: v for k, v in weights.items() if k != name})
    with pytest.raises(UserError, match="lacks .*discriminator/fc_1/weights"):
        from_authors_variables({k: v for k, v in weights.items() if k != "discriminator/fc_1/weights"})
    with pytest.raises(UserError, match="does not have: decoder/deconv_3/weights"):
        from_authors_variables(weights | {"decoder/deconv_3/weights": np.zeros((3, 3, 8, 8))})
    misshapen = {"discriminator/conv_2/conv_1/biases": (17,), "generator/repair_1/conv2/weights": (3, 3, 32, 16)}
    for name, shape in misshapen.items():
        with pytest.raises(UserError, match=f"{name} does not fit"):
            from_authors_variables(weights | {name: np.zeros(shape)})

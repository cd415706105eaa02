"""The training of a run: both stages, recorded and resumable.

The only place that opens a configuration and spends its fields on the models.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tf_spot import checkpoints
from tf_spot.adam import FusedAdam
from tf_spot.autoencoder import Autoencoder
from tf_spot.callbacks import Signals
from tf_spot.config import Config
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.gan import GAN
from tf_spot.networks import Discriminator
from tf_spot.runs import STAGES, Run, sole_writer, write_file, write_json, write_text
from tf_spot.spotter import ArtifactSpotter
from tf_spot.stages import Callbacks, restore, train_stage
from tf_spot.strategies import agree, check_batch, is_chief, leave, lost_workers, make_strategy


def train(
    config: Config,
    spec: str,
    out: str | Path,
    *,
    resume: bool = False,
    strict: bool = False,
    autoencoder: str | Path | None = None,
    strategy: Any = "auto",
    callbacks: Callbacks = (),
    on_progress: Callable[[int, int, str], None] | None = None,
) -> ArtifactSpotter:
    """Trains an autoencoder, then a spotter around it, into a run folder.

    Args:
        config: the whole recipe.
        spec: the photos, see `tf_spot.data.open_source`.
        out: the run folder; new or empty, or with `resume` that of an unfinished run.
        resume: go on from the newest good checkpoint. In deterministic mode on one device the weights end up the same,
            bit for bit, as those of a run that was never stopped.
        strict: a photo that cannot be read is an error.
        autoencoder: another run, whose trained autoencoder is taken instead of training one.
        strategy: the devices that share the training: a name, see `strategies.make_strategy`, or a
            `tf.distribute.Strategy`. Of several workers, which must all see the one run folder, the first writes it.
        callbacks: Keras callbacks of both stages, or a function that gives those of a stage by its name. They see the
            logs of each epoch with the health signals. They may watch, not stop: `model.stop_training` is not heeded.
        on_progress: told (steps done, steps, text) after every step.

    Returns:
        the trained spotter, on one device; also in RUN/spotter.keras.

    Raises:
        UserError: a mistake in what was given; `NonFiniteLoss` when training went astray.
        Interrupted: after Ctrl-C or SIGTERM, the work saved.
    """
    strategy = make_strategy(strategy) if isinstance(strategy, str) else strategy
    check_batch(strategy, config.training.batch_size)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    other = _run_with_autoencoder(autoencoder, config) if autoencoder else None
    with Signals() as signals, lost_workers(strategy):
        source = open_source(
            spec, image_size=config.data.image_size, strict=strict, config=config.data, seed=config.training.seed
        )
        with _opened_run(strategy, out, config, _data_record(source), resume) as run:
            try:
                _train_stages(strategy, run, source, other, signals, on_progress, callbacks)
            finally:
                if is_chief(strategy):
                    write_text(run.path / "bad_files.txt", "".join(f"{line}\n" for line in source.bad_files))
        spotter = load_spotter(run)
        leave(strategy)
    return spotter


@contextlib.contextmanager
def _opened_run(strategy: Any, out: str | Path, config: Config, data: dict[str, Any], resume: bool) -> Iterator[Run]:
    """The run folder, begun and locked by the chief; the other workers open it when it is there."""
    if is_chief(strategy):
        with sole_writer(out):
            run = (Run.resume if resume else Run.create)(out, config, data)
            agree(strategy, 1, "run folder")
            yield run
        return
    agree(strategy, 1, "run folder")
    Run(out)  # is it there?
    yield Run.resume(out, config, data)


def _train_stages(
    strategy: Any,
    run: Run,
    source: Any,
    other: Run | None,
    signals: Signals,
    on_progress: Callable[[int, int, str], None] | None,
    callbacks: Callbacks,
) -> None:
    """Both stages, as far as they are not finished. Models are made inside the strategy's scope."""
    config = run.config
    if other and is_chief(strategy) and not run.model_path("autoencoder").exists():
        _adopt_autoencoder(run, other)
    agree(strategy, 1, "autoencoder")  # the others wait for it
    finished = [stage for stage in STAGES if run.model_path(stage).exists()]
    agree(strategy, len(finished), "number of finished stages")
    if "autoencoder" not in finished:
        with strategy.scope():
            autoencoder = build_autoencoder(config)
        train_stage(run, "autoencoder", autoencoder, source, signals, on_progress, callbacks)
    if "spotter" not in finished:
        with strategy.scope():
            spotter = build_spotter(config, load_autoencoder(run, config.training.precision))
        train_stage(run, "spotter", spotter, source, signals, on_progress, callbacks)


def _data_record(source: Any) -> dict[str, Any]:
    splits = ("train", "test") if source.has_test else ("train",)
    counts = {split: source.count(split) for split in splits}
    return {"spec": source.spec, "name": source.name, "fingerprint": source.fingerprint, "counts": counts}


# --- the models ------------------------------------------------------------------------------------------------------


def build_autoencoder(config: Config) -> Autoencoder:
    """An untrained autoencoder, its optimizer set; the same weights for the same seed."""
    network, training = config.network, config.training
    keras.utils.set_random_seed(training.seed)
    autoencoder = Autoencoder(
        image_size=config.data.image_size,
        width=network.width,
        levels=network.levels,
        encoder_kernel=network.encoder_kernel,
        negative_slope=network.negative_slope,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        reconstruction_weight=training.reconstruction_weight,
        weight_decay=config.game.weight_decay,
        dtype=training.precision,
    )
    optimizer = adam(config, training.autoencoder_learning_rate, training.autoencoder_steps)
    autoencoder.compile(optimizer, micro_batches=training.micro_batches, recompute=training.recompute)
    return autoencoder


def build_spotter(config: Config, autoencoder: Autoencoder) -> ArtifactSpotter:
    """An untrained spotter around `autoencoder`, its optimizers set; the same weights for the same seed."""
    game, training = config.game, config.training
    keras.utils.set_random_seed(training.seed)
    kind: dict[str, Any] = {} if game.repair == "gan" else {"repair": game.repair}
    spotter = (GAN if game.repair == "gan" else ArtifactSpotter)(
        autoencoder,
        build_discriminator(config),
        **kind,
        drop_rate=game.drop_rate,
        fill=game.fill,
        gated=game.gated,
        real_images=game.real_images,
        history_batches=game.history_batches,
        batch_size=training.batch_size,
        update=game.update,
        adversarial_loss=game.adversarial_loss,
        mask_targets=game.mask_targets,
        mask_weight=game.mask_weight,
        kept_weight=game.kept_weight,
        repair_mask_loss=game.repair_mask_loss,
        weight_decay=game.weight_decay,
        seed=training.seed,
        dtype=training.precision,
    )
    spotter.compile(
        adam(config, training.discriminator_learning_rate, training.spotter_steps),
        adam(config, training.repair_learning_rate, training.spotter_steps),
        micro_batches=training.micro_batches,
        recompute=training.recompute,
    )
    return spotter


def build_discriminator(config: Config) -> Discriminator:
    """An untrained discriminator."""
    network = config.network
    return Discriminator(
        image_size=config.data.image_size,
        backbone=network.backbone,
        width=network.width,
        stem_kernel=network.stem_kernel,
        stem_stride=network.stem_stride,
        trunk_norm=network.trunk_norm,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        fc_units=network.fc_units,
        dropout_rate=network.dropout_rate,
        predict_mask=config.game.predict_mask,
        seed=config.training.seed,
        dtype=config.training.precision,
    )


def adam(config: Config, learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Adam whose rate falls in a line and then stays. The schedule counts the optimizer's own saved updates."""
    training = config.training
    schedule = keras.optimizers.schedules.PolynomialDecay(
        learning_rate,
        decay_steps=max(1, round(training.decay_share * steps)),
        end_learning_rate=training.final_learning_rate_share * learning_rate,
    )
    return FusedAdam(schedule, beta_1=training.adam_beta_1, epsilon=training.adam_epsilon)


# --- what a run has trained ------------------------------------------------------------------------------------------


def load_autoencoder(run: Run | str | Path, precision: str = "float32") -> Autoencoder:
    """The autoencoder of a run: RUN/autoencoder.keras, else its newest good checkpoint.

    Args:
        run: the run, or its folder.
        precision: of its computations, whatever it was trained in; weights are always float32.

    Raises:
        UserError: the run has neither.
    """
    run = _opened(run)
    if run.model_path("autoencoder").exists():
        finished: Autoencoder = _load(run.model_path("autoencoder"), precision)
        return finished
    autoencoder = build_autoencoder(_with_precision(run.config, precision))
    restore(autoencoder, _newest(run, "autoencoder"))
    return autoencoder


def load_spotter(run: Run | str | Path) -> ArtifactSpotter:
    """The spotter of a run: RUN/spotter.keras, else its newest good checkpoint.

    It computes in float32, whatever it was trained in, so that its features are the same everywhere.

    Raises:
        UserError: the run has neither.
    """
    run = _opened(run)
    if run.model_path("spotter").exists():
        finished: ArtifactSpotter = _load(run.model_path("spotter"), "float32")
        return finished
    checkpoint = _newest(run, "spotter")
    spotter = build_spotter(_with_precision(run.config, "float32"), load_autoencoder(run))
    restore(spotter, checkpoint)
    return spotter


def _run_with_autoencoder(path: str | Path, config: Config) -> Run:
    """The run in `path`, if its finished autoencoder has the architecture that `config` asks for."""
    run = Run(path)
    if not run.model_path("autoencoder").exists():
        raise UserError(f"--autoencoder wants a run with autoencoder.keras; received: {run.path}; finish its training")
    wanted, found = (model.get_config() for model in (build_autoencoder(config), load_autoencoder(run)))
    shape = ("image_size", "width", "levels", "encoder_kernel", "negative_slope", "norm_momentum", "norm_epsilon")
    differences = [f"{name} {found[name]}, not {wanted[name]}" for name in shape if found[name] != wanted[name]]
    if differences:
        raise UserError(
            f"--autoencoder wants the architecture of this configuration; received: {run.path} with "
            f"{'; '.join(differences)}; take another run, or the preset and settings that it was trained with"
        )
    return run


def _adopt_autoencoder(run: Run, other: Run) -> None:
    """Copies the autoencoder of `other` into `run`, and where it comes from into RUN/autoencoder.json."""
    path = other.model_path("autoencoder")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    origin = {"run": str(other.path), "sha256": digest, "data": other.data, "config": other.config.to_dict()}
    write_json(run.path / "autoencoder.json", origin | other.spent()["autoencoder"])
    write_file(run.model_path("autoencoder"), lambda aside: shutil.copyfile(path, aside))


def _opened(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run(run)


def _newest(run: Run, stage: str) -> checkpoints.Checkpoint:
    checkpoint, _ = checkpoints.newest_good(run.checkpoints(stage))
    if checkpoint is None:
        raise UserError(f"{run.path} has neither {stage}.keras nor a checkpoint of it; run: tf-spot train --resume")
    return checkpoint


def _with_precision(config: Config, precision: str) -> Config:
    return config.replace(**{"training.precision": precision})


def _load(path: Path, precision: str) -> Any:
    """Without optimizers: it is used, not trained further. Keras' warnings of left-out weights become errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = keras.saving.load_model(path, compile=False)
    if model.dtype_policy.name == precision:
        return model
    other = type(model).from_config(_computing_in(precision, model.get_config()))
    other.set_weights(model.get_weights())
    return other


def _computing_in(precision: str, config: Any) -> Any:
    """A model's configuration with another precision, also that of the models inside."""
    if not isinstance(config, dict):
        return config
    return {k: precision if k == "dtype" else _computing_in(precision, value) for k, value in config.items()}

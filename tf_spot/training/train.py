"""The training of a run: both stages, recorded and resumable.

The only place that opens a configuration and spends its fields on the models.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_spot.config import Config
from tf_spot.data import Source, open_source
from tf_spot.distributed.strategies import agree, check_batch, is_chief, leave, lost_workers, make_strategy
from tf_spot.errors import UserError
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.progress import Progress
from tf_spot.runs.load import load_autoencoder, load_spotter
from tf_spot.runs.run import STAGES, Run, sole_writer
from tf_spot.storage.files import file_digest, write_file, write_json, write_text
from tf_spot.training.interrupts import Signals
from tf_spot.training.stage import Callbacks, train_stage


def train(
    config: Config,
    spec: str | Source,
    out: str | Path,
    *,
    resume: bool = False,
    strict: bool = False,
    autoencoder: str | Path | None = None,
    strategy: Any = "auto",
    callbacks: Callbacks = (),
    on_progress: Progress | None = None,
) -> ArtifactSpotter:
    """Trains an autoencoder, then a spotter around it, into a run folder.

    Args:
        config: the whole recipe.
        spec: the photos, see `tf_spot.data.open_source`; or a source that this opened.
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
        source = open_source(spec, config, strict=strict)
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
    on_progress: Progress | None,
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


# --- what a run has trained ------------------------------------------------------------------------------------------


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
    origin = {"run": str(other.path), "sha256": file_digest(path), "data": other.data, "config": other.config.to_dict()}
    write_json(run.path / "autoencoder.json", origin | other.spent()["autoencoder"])
    write_file(run.model_path("autoencoder"), lambda aside: shutil.copyfile(path, aside))

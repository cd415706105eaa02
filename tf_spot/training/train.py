"""The training of a run: both stages, recorded and resumable."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_spot.config import Config
from tf_spot.data import Source, open_source
from tf_spot.data.cache_choice import keep_photos
from tf_spot.data.source import DataRecord
from tf_spot.data.unreadable import unreadable
from tf_spot.distributed.strategies import agree, check_batch, is_chief, leave, lost_workers, make_strategy
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.ops.hardware import on_cpu
from tf_spot.progress import Progress
from tf_spot.runs.checkpoints import drop_after
from tf_spot.runs.load import load_autoencoder, load_first_backbone, load_spotter
from tf_spot.runs.run import FIRST_BACKBONE, STAGES, Run, longer
from tf_spot.storage.files import file_digest, write_file, write_json
from tf_spot.storage.lock import sole_writer
from tf_spot.training.callbacks import OnEpoch
from tf_spot.training.first_backbone import begin_backbone
from tf_spot.training.interrupts import Signals
from tf_spot.training.plan import OnPlan, Plan, plan_of
from tf_spot.training.stage import Callbacks, Session, of_stage, train_stage
from tf_spot.training.trackers.choice import check_tracker, open_tracker
from tf_spot.training.trackers.tracker import OfStage, tracked
from tf_spot.training.warm_start import begun_with, load_first_weights, warm_start

log = logging.getLogger("tf_spot")

# What fixes the meaning of an autoencoder's weights, besides `image_size`: fields of the network.
_ARCHITECTURE = ("width", "levels", "encoder_kernel", "encoding_channels", "negative_slope", "norm_momentum",
                 "norm_epsilon")  # fmt: skip


def train(
    config: Config,
    spec: str | Source,
    out: str | Path,
    *,
    resume: bool = False,
    extend: int = 0,
    strict: bool = False,
    autoencoder: str | Path | None = None,
    init_from: str | Path | None = None,
    backbone: keras.Model | None = None,
    strategy: str | tf.distribute.Strategy = "auto",
    cache: str = "auto",
    tracker: str | None = None,
    callbacks: Callbacks = (),
    on_progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    on_plan: OnPlan | None = None,
) -> ArtifactSpotter:
    """Train an autoencoder, then a spotter around it, into a run folder.

    Args:
        config: the whole recipe. With `resume` it may have another `training.batch_size`, for the steps still to be
            done; the photos go on in their order.
        spec: the photos, see `tf_spot.data.open_source`; or a source that this opened.
        out: the run folder; new or empty, or with `resume` that of an unfinished run.
        resume: continue from the newest good checkpoint. In deterministic mode on one device the weights end up the
            same, bit for bit, as those of a run that was never stopped.
        extend: with `resume`, steps that are added to stage 2 of a finished or unfinished run; the learning rates are
            laid out anew over all its steps. `config` is that of the run as it stands.
        strict: a photo that cannot be read is an error.
        autoencoder: another run, whose trained autoencoder is taken instead of training one.
        init_from: another run, or a name of `load_pretrained`: the networks begin with its weights, as far as they fit.
        backbone: one's own, a `KerasBackbone` or a Keras model whose maps are then chosen by stride, in place of
            `network.backbone`. The training begins with its weights; RUN/initial/backbone.keras keeps them.
        strategy: the devices that share the training: a name, see `strategies.make_strategy`, or a
            `tf.distribute.Strategy`. Of several workers, which must all see the one run folder, the first writes it.
        cache: where the photos are kept decoded, `auto`, `device`, `host` or `none`, see `data.cache_choice`. The
            images are the same everywhere.
        tracker: `wandb` or `mlflow`, which records configuration and metrics too, see `trackers`.
        callbacks: Keras callbacks of both stages, or a function that returns those of a stage by its name. They see the
            logs of each epoch with the health signals. They may watch, not stop: `model.stop_training` is ignored.
        on_progress: called with (steps done, steps, text) after every step, and with (photos done, photos, text) every
            five seconds while photos are decoded into the cache.
        on_epoch: called with each line of metrics.jsonl, such as `epoch_table.EpochTable(print, config)`.
        on_plan: called with what the training is going to do, in numbers by name: before it starts, and again when
            the parameters of a network are known.

    Returns:
        the trained spotter, on one device; also in RUN/spotter.keras.

    Raises:
        UserError: a mistake in the arguments; `NonFiniteLoss` when a loss or weight is not finite.
        Interrupted: after Ctrl-C or SIGTERM, the work saved.
    """
    _refuse_extension(extend, resume, out)
    check_tracker(tracker)
    config, first = begin_backbone(config, backbone, out, resume)
    strategy = make_strategy(strategy) if isinstance(strategy, str) else strategy
    opened = open_tracker(tracker) if is_chief(strategy) else None
    check_batch(strategy, config.training.batch_size)
    if config.training.deterministic:  # for the whole process: TensorFlow cannot switch it off again
        tf.config.experimental.enable_op_determinism()
    other = _run_with_fitting_autoencoder(autoencoder, config) if autoencoder else None
    plan = Plan(on_plan)
    with Signals() as signals, lost_workers(strategy):
        source = open_source(spec, config, strict=strict)
        source.check_batch(config.training.batch_size)  # before anything is written
        plan.add(plan_of(longer(config, extend), source))
        begin = _Beginning(out, config, source.record(), resume, extend, init_from, other, first, plan)
        with _opened_run(strategy, begin) as run:
            try:
                with tracked(opened, run) as of_tracker:
                    watching = _both(of_tracker, callbacks)
                    session = Session(run, source, strategy, signals, watching, on_progress, on_epoch)
                    _train_stages(session, other, plan, cache)
            finally:
                if is_chief(strategy):  # also after an error or a signal: photos are read as training goes
                    run.add_bad_files(source.bad_files)
                    if source.bad_files:
                        log.warning(
                            "%s; all are listed in %s", unreadable(source.bad_files), run.path / "bad_files.txt"
                        )
        spotter = load_spotter(run)  # a run that was finished before has made no network yet
        plan.count("autoencoder", spotter.autoencoder)
        plan.count("discriminator", spotter.discriminator)
        leave(strategy)
    return spotter


class _Beginning(NamedTuple):
    """How a run is begun, resumed or extended; see `train`."""

    out: str | Path
    config: Config
    data: DataRecord
    resume: bool
    extend: int
    init_from: str | Path | None
    autoencoder: Run | None  # whose autoencoder is taken
    backbone: Backbone | None  # to begin with, if not a random one
    plan: Plan

    def open(self) -> Run:
        """Begin or resume the run as the process that writes it."""
        if not self.resume:
            return Run.create(self.out, self.config, self.data, self._prepare)
        if (Path(self.out) / "config.json").is_file():
            self._check(Run(self.out))
        run = Run.resume(self.out, self.config, self.data, self._prepare, extending=bool(self.extend))
        if self.extend:
            run.extend(self.extend)
        return run

    def _check(self, run: Run) -> None:
        """Refuse what a run that was begun cannot take, before anything of it is changed."""
        if self.init_from and begun_with(run) != str(self.init_from):
            raise UserError(
                "--init-from is for the beginning of a run; received: --init-from "
                f"{self.init_from}, but {run.path} began with {begun_with(run) or 'random weights'}; leave it out"
            )
        own = run.model_path("autoencoder")
        other = self.autoencoder
        if other and own.exists() and file_digest(own) != file_digest(other.model_path("autoencoder")):
            raise UserError(
                f"--autoencoder skips stage 1; received: {other.path}, but {run.path} has another autoencoder already; "
                "leave it out, or begin another run"
            )
        if self.extend:
            run.check_extension()

    def _prepare(self, folder: Path) -> None:
        if self.backbone is not None:
            write_file(folder / FIRST_BACKBONE, self.backbone.save)
        if self.init_from:
            start = warm_start(self.init_from, self.config, self.backbone)
            start.write(folder)
            self.plan.add(start.words())


@contextlib.contextmanager
def _opened_run(strategy: tf.distribute.Strategy, begin: _Beginning) -> Iterator[Run]:
    """Begin and lock the run folder as the chief; as another worker open it once it is there."""
    if is_chief(strategy):
        with sole_writer(begin.out, "training"):
            run = begin.open()
            agree(strategy, 1, "run folder")
            yield run
        return
    agree(strategy, 1, "run folder")
    Run(begin.out)  # raises if this worker does not see the folder; `resume` would begin a run
    yield Run.resume(begin.out, longer(begin.config, begin.extend), begin.data)


def _refuse_extension(extend: int, resume: bool, out: str | Path) -> None:
    if extend < 0:
        raise UserError(f"--extend must be 1 step or more; received: {extend}")
    if extend and not (resume and (Path(out) / "config.json").is_file()):
        raise UserError(f"--extend goes on with a run and needs --resume; received: {out}; train it first")


def _both(of_tracker: OfStage, callbacks: Callbacks) -> Callbacks:
    """Return a tracker's callbacks and the user's."""
    return lambda stage: [*of_tracker(stage), *of_stage(callbacks, stage)]


def _train_stages(session: Session, other: Run | None, plan: Plan, cache: str) -> None:
    """Train what is not finished of both stages. Models are made inside the strategy's scope."""
    run, strategy, config = session.run, session.strategy, session.run.config
    if other and session.is_chief and not run.model_path("autoencoder").exists():
        _adopt_autoencoder(run, other)
    agree(strategy, 1, "autoencoder")  # the others wait for it
    finished = [stage for stage in STAGES if run.model_path(stage).exists()]
    agree(strategy, len(finished), "number of finished stages")
    if len(finished) < len(STAGES):
        plan.add({"cache": _keep_photos(session, cache, [stage for stage in STAGES if stage not in finished])})
    if "autoencoder" not in finished:
        with strategy.scope():
            autoencoder = build_autoencoder(config)
        load_first_weights(run, "autoencoder", autoencoder)
        plan.count("autoencoder", autoencoder)
        train_stage(session, "autoencoder", autoencoder)
    if "spotter" not in finished:
        with strategy.scope():
            precision = config.training.precision
            spotter = build_spotter(config, load_autoencoder(run, precision), load_first_backbone(run, precision))
        load_first_weights(run, "spotter", spotter)
        plan.count("autoencoder", spotter.autoencoder)
        plan.count("discriminator", spotter.discriminator)
        train_stage(session, "spotter", spotter)


def _keep_photos(session: Session, cache: str, stages: list[str]) -> str:
    """Decode the photos of a training, if that is wanted; return where they are kept, for the plan."""
    training = session.run.config.training
    return keep_photos(
        session.source.views,
        cache,
        num_images=training.batch_size * sum(getattr(training, f"{stage}_steps") for stage in stages),
        replicas=session.strategy.num_replicas_in_sync,
        has_gpu=not on_cpu(),
        on_progress=session.on_progress,
    )


# --- the autoencoder of another run -----------------------------------------------------------------------------------


def same_autoencoder(one: Config, other: Config) -> bool:
    """True if the autoencoders of two recipes have one architecture, so that a run can take that of another."""
    return _architecture(one) == _architecture(other)


def _architecture(config: Config) -> dict[str, Any]:
    return {"image_size": config.data.image_size} | {name: getattr(config.network, name) for name in _ARCHITECTURE}


def run_with_autoencoder(path: str | Path) -> Run:
    """Return the run in `path`, whose autoencoder another one is to take.

    Raises:
        UserError: there is no run, or stage 1 is not finished.
    """
    run = Run(path)
    if not run.model_path("autoencoder").exists():
        raise UserError(
            f"--autoencoder needs a run with autoencoder.keras; received: {run.path}; finish its training first"
        )
    return run


def _run_with_fitting_autoencoder(path: str | Path, config: Config) -> Run:
    """Return the run in `path`, if its finished autoencoder has the architecture of `config`."""
    run = run_with_autoencoder(path)
    found = load_autoencoder(run).get_config()
    differences = [
        f"{name} {found[name]}, not {value}" for name, value in _architecture(config).items() if found[name] != value
    ]
    if differences:
        raise UserError(
            f"--autoencoder needs the architecture of this configuration; received: {run.path} with "
            f"{'; '.join(differences)}; take another run, or the preset and settings that it was trained with"
        )
    return run


def _adopt_autoencoder(run: Run, other: Run) -> None:
    """Copy the autoencoder of `other` into `run`, and record its origin in RUN/autoencoder.json."""
    path = other.model_path("autoencoder")
    origin = {"run": str(other.path), "sha256": file_digest(path), "data": other.data, "config": other.config.to_dict()}
    write_json(run.path / "autoencoder.json", origin | other.spent()["autoencoder"])
    # What was trained of the run's own one before is not part of it any more.
    run.truncate_metrics("autoencoder", 0)
    drop_after(run.checkpoints("autoencoder"), 0)
    write_file(run.model_path("autoencoder"), lambda aside: shutil.copyfile(path, aside))

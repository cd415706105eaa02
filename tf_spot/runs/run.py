"""A run folder: what it holds and how it is written so that a kill at any moment leaves it readable.

RUN/config.json, versions.json, data.json      the recipe, the versions and the photos of the training
RUN/metrics.jsonl                              one line per epoch
RUN/pictures/STAGE-EPOCH.png, RUN/tensorboard/ to look at
RUN/checkpoints/STAGE/step-NNNNNNNN/           to resume from, see `checkpoints`
RUN/autoencoder.keras, RUN/spotter.keras       the finished stages
RUN/autoencoder.json                           the run that the autoencoder was taken from, if from another
RUN/initial/                                   the first weights, if not random, see `training.warm_start` and
                                               `training.first_backbone`
RUN/extensions.jsonl                           the steps that were added to the recipe's, if any
RUN/batch_sizes.jsonl                          the changes of the batch size, if any
RUN/tracking.json                              identities of its runs in an experiment tracker, if it has one
RUN/results/TASK-*.json, RUN/bad_files.txt
RUN/.lock                                      held by the training that writes the folder
"""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.fields import differences
from tf_spot.runs import checkpoints
from tf_spot.runs.cards import is_pretrained, known_names, pretrained_card
from tf_spot.storage.files import append_line, read_lines, write_json, write_text
from tf_spot.storage.json_files import NUMBER, Form, interpreting, read_json
from tf_spot.storage.lock import LOCK
from tf_spot.storage.provenance import versions

if TYPE_CHECKING:
    from tf_spot.data.source import DataRecord

STAGES = ("autoencoder", "spotter")  # in the order of their training
RECORDS = ("config", "versions", "data", "autoencoder", "tracking")  # names of the JSON files of a run
BATCH_SIZE = "training.batch_size"  # the one field that may change when a run goes on
INITIAL = "initial"  # folder of the first weights
FIRST_BACKBONE = f"{INITIAL}/backbone.keras"
Prepare = Callable[[Path], object]  # writes what a new run folder holds besides

# What the files of a run hold at least, see `json_files`.
DATA: Form = {"spec": str, "name": str, "fingerprint": str, "counts": dict}
SPENT: Form = {"images_seen": int, "seconds": NUMBER}
METRICS: Form = {"stage": str, "step": int}
EXTENSION: Form = {"from_steps": int, "to_steps": int}
RIVAL: Form = {"method": str, "images_seen": int, "seconds": NUMBER}


class Rival(NamedTuple):
    """A method that trains no spotter, and what its training took."""

    method: str
    images_seen: int
    seconds: float


class Run:
    """Paths and records of one run folder; it knows files, not models.

    Args:
        path: the folder, which must hold a run: see `Run.create` and `Run.resume` to begin or resume one.

    Raises:
        UserError: there is no run in `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.config_path.is_file():
            raise UserError(
                f"a run folder holds config.json; received: {self.path}, {_kind_of(self.path)}; make one with: tf-spot "
                "train"
            )

    # --- begin and resume -------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | Path, config: Config, data: Mapping[str, Any], prepare: Prepare | None = None) -> Run:
        """Begin a run in a new or empty folder, after `prepare` has written its part.

        Raises:
            UserError: the folder holds something.
        """
        cls.check_new(path)
        return cls._begin(Path(path), config, data, prepare)

    @staticmethod
    def check_new(path: str | Path) -> None:
        """Raise a `UserError` unless a run can be begun in `path`: a new or empty folder."""
        folder = Path(path)
        if folder.is_file() or (folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir())):
            raise UserError(f"--out must be a new or empty folder; received: {folder}; to resume its run add --resume")

    @classmethod
    def resume(
        cls,
        path: str | Path,
        config: Config,
        data: Mapping[str, Any],
        prepare: Prepare | None = None,
        extending: bool = False,
    ) -> Run:
        """Open the run in `path` to train it further; begin it if there is none or a kill prevented its beginning.

        The configuration may have another `training.batch_size`, for the steps that are still to be done: the run then
        has it too, and RUN/batch_sizes.jsonl the change.

        Args:
            path: the run folder.
            config: of the run.
            data: record of its photos.
            prepare: writes what a new run folder holds besides.
            extending: `extend` comes next, so that a finished run has steps to be done.

        Raises:
            UserError: the folder holds something else, or a run of another configuration or other data.
        """
        folder = Path(path)
        if not (folder / "config.json").is_file():
            names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
            # What `_begin` writes before config.json, and what a kill leaves of it.
            begun = {f".writing-{name}.json" for name in ("versions", "data", "config")}
            if names - begun - {"versions.json", "data.json", INITIAL, LOCK}:
                raise UserError(
                    f"--resume needs a run folder, or a new or empty one; received: {folder}, which holds other files"
                )
            return cls._begin(folder, config, data, prepare)
        run = cls(folder)
        run._refuse_changes(config, data)
        if config.training.batch_size != run.config.training.batch_size:
            run._change_batch_size(config.training.batch_size, extending)
        return run

    @classmethod
    def _begin(cls, folder: Path, config: Config, data: Mapping[str, Any], prepare: Prepare | None) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / INITIAL, ignore_errors=True)  # of a beginning that was killed
        if prepare is not None:
            prepare(folder)
        write_json(folder / "versions.json", versions())
        write_json(folder / "data.json", data)
        write_text(folder / "config.json", config.to_json())  # last: a folder that has it has the others too
        return cls(folder)

    def _refuse_changes(self, config: Config, data: Mapping[str, Any]) -> None:
        found = differences(self.config.to_dict(), config.to_dict())
        changes = [f"{k}: {old} -> {new}" for k, (old, new) in found.items() if k != BATCH_SIZE]
        if changes:
            raise UserError(
                f"a run goes on with its own configuration, but for {BATCH_SIZE}; received other values: "
                f"{'; '.join(changes)}; repeat the first command or choose another --out"
            )
        if data["fingerprint"] != self.data["fingerprint"]:
            raise UserError(
                f"a run goes on with its own photos: {self.data['spec']} ({self.data['counts']}); "
                f"received: {data['spec']} ({data['counts']}), whose files differ; give the same or another --out"
            )

    def _change_batch_size(self, batch_size: int, extending: bool) -> None:
        """Give the steps that are still to be done batches of another size, from the newest good checkpoint on.

        Raises:
            UserError: there are no such steps.
        """
        stage = next((stage for stage in STAGES if not self.model_path(stage).exists()), None)
        before = self.config.training.batch_size
        if stage is None and not extending:
            raise UserError(
                f"{BATCH_SIZE} may change for the steps that are still to be done; received: {batch_size}, but "
                f"{self.path} is finished with batches of {before}; leave it out, or add steps with --extend"
            )
        stage = stage or STAGES[-1]
        checkpoint, _ = checkpoints.newest_good(self.checkpoints(stage))
        change = {"stage": stage, "after_step": checkpoint.step if checkpoint else 0, "from": before, "to": batch_size}
        append_line(self.path / "batch_sizes.jsonl", change)
        write_text(self.config_path, self.config.replace(**{BATCH_SIZE: batch_size}).to_json())

    @property
    def first_batch_size(self) -> int:
        """Images in the first batches of the run; those of today are in its recipe."""
        changes = read_lines(self.path / "batch_sizes.jsonl", {"from": int, "to": int})
        return int(changes[0]["from"]) if changes else self.config.training.batch_size

    def check_extension(self) -> None:
        """Raise a `UserError` if the run cannot be extended.

        That is: its stage 2 is finished and the checkpoints were removed, or an earlier extension is not finished, so
        that a repeated command would add its steps once more.
        """
        finished = self.model_path("spotter").is_file()
        if finished and not any(self.checkpoints("spotter").glob("step-*")):
            raise UserError(
                f"--extend goes on from a checkpoint; received: {self.path}, whose checkpoints were removed; begin a "
                f"new run with --init-from {self.path}"
            )
        if not finished and self.extensions_path.is_file():
            raise UserError(
                f"--extend adds steps once; received: {self.path}, whose extension to "
                f"{self.config.training.spotter_steps} steps is not finished; finish it with --resume alone"
            )

    def extend(self, steps: int) -> None:
        """Add steps to stage 2, which then goes on from its newest checkpoint; RUN/extensions.jsonl records it.

        `check_extension` says beforehand whether that can be.
        """
        before = self.config.training.spotter_steps
        append_line(self.extensions_path, {"from_steps": before, "to_steps": before + steps})
        self.model_path("spotter").unlink(missing_ok=True)  # first: after a kill here, --resume makes it again
        write_text(self.config_path, longer(self.config, steps).to_json())

    @property
    def command(self) -> str:
        """The command that began the training, and the options of those that added steps."""
        extensions = read_lines(self.extensions_path, EXTENSION)
        added = [f"--resume --extend {one['to_steps'] - one['from_steps']}" for one in extensions]
        return "; then ".join([shlex.join(["tf-spot", *self.versions["command"][1:]]), *added])

    # --- records and paths ------------------------------------------------------------------------------------------

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def config(self) -> Config:
        """The recipe of the training, read anew."""
        return Config.load(self.config_path)

    @property
    def data(self) -> DataRecord:
        """The photos of the training, read anew."""
        loaded: DataRecord = read_json(self.path / "data.json", DATA)
        return loaded

    @property
    def versions(self) -> dict[str, Any]:
        """What the training was made with, read anew; see `provenance.versions`."""
        loaded: dict[str, Any] = read_json(self.path / "versions.json", {"command": [str]})
        return loaded

    @property
    def extensions_path(self) -> Path:
        return self.path / "extensions.jsonl"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def checkpoints(self, stage: str) -> Path:
        """Return the folder of a stage's checkpoints."""
        return self.path / "checkpoints" / stage

    def model_path(self, stage: str) -> Path:
        """Return the path of a finished stage's model."""
        return self.path / f"{stage}.keras"

    @property
    def rival(self) -> Rival | None:
        """What trained a finished row of a comparison that has a backbone alone; None: the run is a spotter's."""
        path = self.path / "result.json"
        if self.model_path("spotter").exists() or not (self.model_path("backbone").is_file() and path.is_file()):
            return None
        result = read_json(path, RIVAL)
        return Rival(*(result[name] for name in Rival._fields))

    def picture_path(self, stage: str, epoch: int) -> Path:
        """Return the path of the picture grid of an epoch, counted from 1."""
        return self.path / "pictures" / f"{stage}-{epoch:04d}.png"

    # --- metrics.jsonl ----------------------------------------------------------------------------------------------

    def add_metrics(self, line: Mapping[str, object]) -> None:
        """Append one line; numbers that are not finite become null, as JSON has no others."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        append_line(self.metrics_path, finite)

    def metrics(self) -> list[dict[str, Any]]:
        """Read the lines written so far, without one that a kill cut short."""
        return read_lines(self.metrics_path, METRICS)

    def add_bad_files(self, lines: Iterable[str]) -> None:
        """Add "name: reason" of unreadable photos to bad_files.txt, which keeps those of earlier sessions; sorted."""
        path = self.path / "bad_files.txt"
        before = path.read_text("utf-8", "backslashreplace").splitlines() if path.is_file() else None
        all_lines = sorted({*lines, *(before or ())})
        if all_lines != before:
            write_text(path, "".join(f"{line}\n" for line in all_lines))

    def spent(self) -> dict[str, dict[str, float]]:
        """Return {stage: {"images_seen": ..., "seconds": ...}} of the training so far.

        An autoencoder of another run counts with what its training took there.
        """
        spent = {stage: {"images_seen": 0, "seconds": 0.0} for stage in STAGES}
        origin = self.path / "autoencoder.json"
        lines = [read_json(origin, SPENT) | {"stage": "autoencoder"}] if origin.is_file() else []
        with interpreting(self.metrics_path):
            for line in lines + self.metrics():  # both count from the start of their stage: the last has the total
                spent[line["stage"]] = {name: line[name] for name in ("images_seen", "seconds")}
        return spent

    def truncate_metrics(self, stage: str, step: int) -> None:
        """Remove the lines after `step` of `stage`: those steps will be run again."""
        kept = [line for line in self.metrics() if line["stage"] != stage or line["step"] <= step]
        if self.metrics_path.exists():
            write_text(self.metrics_path, "".join(json.dumps(line) + "\n" for line in kept))


def longer(config: Config, steps: int) -> Config:
    """Return the recipe with more steps of stage 2, over which the learning rates are laid out anew."""
    return config.replace(**{"training.spotter_steps": config.training.spotter_steps + steps})


def recipe_of(source: str | Path) -> Config:
    """Return the recipe of a run, or that of the training of a backbone that comes with the package.

    Raises:
        UserError: neither a run folder nor a name of `load_pretrained`.
    """
    if is_pretrained(source):
        return Config.from_record(pretrained_card(str(source))["config"])
    if not Path(source).exists():
        raise UserError(
            f"features come from a run folder, or from a backbone that comes with the package ({known_names()}); "
            f"received: {source}, which is missing; make a run with: tf-spot train"
        )
    return Run(source).config


def _kind_of(path: Path) -> str:
    """Return what stands where a run folder was expected."""
    if is_pretrained(path):
        return "a backbone alone, which embed, neighbours, export and evaluate take"
    if not path.is_dir():
        return "a file" if path.exists() else "which is missing"
    signs = {
        "manifest.json": "an exported model",
        "settings.json": "the folder of a table or a search, whose runs are in it",
        "ablation.json": "the folder of a table, whose runs are in it",
        "index.json": "packed photos",
    }
    return next((kind for name, kind in signs.items() if (path / name).exists()), "which has none")

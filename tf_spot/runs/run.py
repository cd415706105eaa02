"""A run folder: what it holds and how it is written so that a kill at any moment leaves it readable.

RUN/config.json, versions.json, data.json      what was run, with what, on what
RUN/metrics.jsonl                              one line an epoch
RUN/pictures/STAGE-EPOCH.png, RUN/tensorboard/ to look at
RUN/checkpoints/STAGE/step-NNNNNNNN/           to go on from, see `checkpoints`
RUN/autoencoder.keras, RUN/spotter.keras       the finished stages
RUN/autoencoder.json                           which run the autoencoder was taken from, if from another
RUN/results/TASK-*.json, RUN/bad_files.txt
RUN/.lock                                      held by the training that writes the folder
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.storage.files import append_line, read_lines, write_json, write_text
from tf_spot.storage.provenance import versions

STAGES = ("autoencoder", "spotter")
LOCK = ".lock"


class Run:
    """Paths and records of one run folder; it knows files, not models.

    Args:
        path: the folder, which must hold a run: see `Run.create` and `Run.resume` to begin one or go on.

    Raises:
        UserError: there is no run in `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.config_path.is_file():
            raise UserError(f"a run folder holds config.json; received: {self.path}; make one with: tf-spot train")

    @classmethod
    def create(cls, path: str | Path, config: Config, data: dict[str, Any]) -> Run:
        """Begins a run in a new or empty folder.

        Raises:
            UserError: the folder holds something.
        """
        folder = Path(path)
        if folder.is_file() or (folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir())):
            raise UserError(f"--out must be a new or empty folder; received: {folder}; to go on add --resume")
        return cls._begin(folder, config, data)

    @classmethod
    def resume(cls, path: str | Path, config: Config, data: dict[str, Any]) -> Run:
        """Goes on with the run in `path`; begins it if it was stopped before it had begun, or if there is none.

        Raises:
            UserError: the folder holds something else, or a run of another configuration or other data.
        """
        folder = Path(path)
        if not (folder / "config.json").is_file():
            names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
            begun = {f".writing-{name}.json" for name in ("versions", "data", "config")}
            if names - begun - {"versions.json", "data.json", LOCK}:
                raise UserError(f"--resume wants the folder of a run; received: {folder}, which holds other files")
            return cls._begin(folder, config, data)
        run = cls(folder)
        run._refuse_changes(config, data)
        return run

    @classmethod
    def _begin(cls, folder: Path, config: Config, data: dict[str, Any]) -> Run:
        """config.json comes last: a folder that has it has the others too."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "versions.json", versions())
        write_json(folder / "data.json", data)
        write_text(folder / "config.json", config.to_json())
        return cls(folder)

    def _refuse_changes(self, config: Config, data: dict[str, Any]) -> None:
        changes = [f"{k}: {old} -> {new}" for k, (old, new) in _differences(self.config, config).items()]
        if changes:
            raise UserError(
                f"--resume wants the configuration of the run; received other values: {'; '.join(changes)}; "
                "repeat the first command or train into another folder"
            )
        if data["fingerprint"] != self.data["fingerprint"]:
            raise UserError(
                f"--resume wants the data of the run: {self.data['spec']} ({self.data['counts']}); "
                f"received: {data['spec']} ({data['counts']}), whose files differ; give the same or another folder"
            )

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def config(self) -> Config:
        return Config.load(self.config_path)

    @property
    def data(self) -> dict[str, Any]:
        """The source: spec, name, fingerprint, counts."""
        loaded: dict[str, Any] = json.loads((self.path / "data.json").read_text(encoding="utf-8"))
        return loaded

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def checkpoints(self, stage: str) -> Path:
        return self.path / "checkpoints" / stage

    def model_path(self, stage: str) -> Path:
        """Where the finished stage lies."""
        return self.path / f"{stage}.keras"

    def picture_path(self, stage: str, epoch: int) -> Path:
        return self.path / "pictures" / f"{stage}-{epoch:04d}.png"

    # --- metrics.jsonl ----------------------------------------------------------------------------------------------

    def add_metrics(self, line: dict[str, Any]) -> None:
        """Appends one line; numbers that are not finite become null, which JSON can hold."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        append_line(self.metrics_path, finite)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines written so far, without one that a kill cut short."""
        return read_lines(self.metrics_path)

    def spent(self) -> dict[str, dict[str, float]]:
        """{stage: {"images_seen": ..., "seconds": ...}}; an autoencoder of another run costs what it cost there."""
        spent = {stage: {"images_seen": 0, "seconds": 0.0} for stage in STAGES}
        origin = self.path / "autoencoder.json"
        lines = [json.loads(origin.read_text(encoding="utf-8")) | {"stage": "autoencoder"}] if origin.is_file() else []
        for line in lines + self.metrics():
            spent[line["stage"]] = {name: line[name] for name in ("images_seen", "seconds")}
        return spent

    def truncate_metrics(self, stage: str, step: int) -> None:
        """Forgets what was recorded after `step` of `stage`: it will be run again."""
        place = (STAGES.index(stage), step)
        kept = [line for line in self.metrics() if (STAGES.index(line["stage"]), line["step"]) <= place]
        if self.metrics_path.exists():
            write_text(self.metrics_path, "".join(json.dumps(line) + "\n" for line in kept))


@contextlib.contextmanager
def sole_writer(path: str | Path) -> Iterator[None]:
    """Keeps a second training out of the run folder `path`, which is made if need be.

    The system itself lets go of the lock when the process ends, however it ends.

    Raises:
        UserError: another training holds the folder, or `path` is a file.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out must be a folder; received: {folder}, a file")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"only one training at a time may write a run folder; {folder} is being written by another; wait for "
                "it, stop it, or give another --out"
            ) from error
        try:
            yield
        finally:
            if not (folder / "config.json").exists():  # no run after all: somebody else's folder stays as it was
                (folder / LOCK).unlink()


def _differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """{dotted field: (old, new)} of the fields that differ."""
    flat = []
    for config in (old, new):
        groups = {k: v if isinstance(v, dict) else {"": v} for k, v in config.to_dict().items()}
        flat.append({f"{group}.{k}".strip("."): v for group, values in groups.items() for k, v in values.items()})
    return {name: (flat[0][name], value) for name, value in flat[1].items() if flat[0][name] != value}

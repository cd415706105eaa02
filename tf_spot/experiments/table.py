"""A table of several trainings: its finished, unfinished and failed rows, and statistics over seeds.

A row is one training: a variant of an ablation, a method of a comparison or a trial of a search, with one seed. Its
result file is written last, so a row that has one is finished.

TABLE/settings.json         what all rows share; another command may not change it
TABLE/NAME-SEED/            the row's run folder, from which an unfinished row is continued
TABLE/NAME-SEED/error.txt   traceback of what stopped the row; it is tried again next time
"""

from __future__ import annotations

import fcntl
import gc
import os
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from tf_spot.config import Config
from tf_spot.data.source import Source
from tf_spot.errors import NoSpace, UserError
from tf_spot.evaluation import linear_probe
from tf_spot.evaluation.evaluate_run import BATCH
from tf_spot.features.pooling import Extractor
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json, write_text
from tf_spot.storage.json_files import interpreting, read_json
from tf_spot.training.train import same_autoencoder

Result = dict[str, Any]  # what a row's result file holds
Work = Callable[[Progress | None], Result]  # trains a row and judges it
ERROR = "error.txt"
Number = TypeVar("Number")


@dataclass(frozen=True)
class Row:
    """One training of a table.

    Args:
        name: of the variant, method or trial.
        config: the row's own, with its seed.
        folder: the run folder.
        result_path: the result file.
        made_with: entries that the result must have, such as the configuration.
        fingerprint: of the photos; None: not checked.
    """

    name: str
    config: Config
    folder: Path
    result_path: Path
    made_with: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str | None = None

    @property
    def label(self) -> str:
        """The row in messages and in the table's "failed": NAME-SEED."""
        return f"{self.name}-{self.config.training.seed}"

    def finished(self) -> Result | None:
        """Return the result of a finished row, or None.

        Raises:
            UserError: the row was made with another configuration, other settings or other photos.
        """
        if not self.result_path.is_file():
            return None
        result: Result = read_json(self.result_path)
        with interpreting(self.result_path):
            different = [name for name, value in self.made_with.items() if not _same(name, result.get(name), value)]
        recorded = self.folder / "data.json"
        # Results hold the name of the photos only. The fingerprint stands in the run folder, if that was kept.
        if self.fingerprint is not None and recorded.is_file():
            if read_json(recorded, {"fingerprint": str})["fingerprint"] != self.fingerprint:
                different.append("photos")
        if different:
            names = ", ".join("configuration" if name == "config" else name for name in different)
            raise UserError(
                f"finished rows must be of this command's settings; received: {self.result_path}, made with another "
                f"{names}; repeat the first command or choose another --out"
            )
        return result

    def result(self, work: Work, on_progress: Progress | None = None) -> Result:
        """Return the row's result: read if the row is finished, otherwise from `work` and written to the file.

        Args:
            work: trains, or continues to train, and judges. Its progress texts get the row's label as a prefix.
            on_progress: called with (done, total, text).

        Raises:
            UserError: see `finished`.
        """
        finished = self.finished()
        if finished is not None:
            return finished
        # A run is only begun in a folder that holds nothing else.
        (self.folder / ERROR).unlink(missing_ok=True)
        try:
            result = work(self._labelled(on_progress))
        finally:
            # Keras keeps graphs and names of the models of this row; without this, memory grows with every row.
            keras.backend.clear_session()
            gc.collect()
        write_json(self.result_path, result)
        return result

    def _labelled(self, on_progress: Progress | None) -> Progress | None:
        if on_progress is None:
            return None
        return lambda done, total, text: on_progress(done, total, f"{self.label}/{text}")


@dataclass
class Table:
    """The rows of one command.

    Attributes:
        results: of the finished rows, by name, one per seed.
        failed: {NAME-SEED: error} of the others.
    """

    on_progress: Progress | None = None
    results: dict[str, list[Result]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, work: Work) -> None:
        """Add a row: its result, or what stopped it, which goes to FOLDER/error.txt too and does not stop the others.

        Raises:
            UserError: see `Row.finished`.
            OSError, NoSpace: the machine does not let it write.
        """
        # Outside the guard below: a row of another command is the user's mistake, not a failed row.
        result = row.finished()
        if result is None:
            try:
                result = row.result(work, self.on_progress)
            except (OSError, NoSpace):  # a full disk or a missing permission would stop every other row too
                raise
            except Exception as error:
                self.failed[row.label] = f"{type(error).__name__}: {error}"
                row.folder.mkdir(parents=True, exist_ok=True)
                write_text(row.folder / ERROR, traceback.format_exc())
                return
        self.results.setdefault(row.name, []).append(result)


# --- what rows share --------------------------------------------------------------------------------------------------


def check_names(option: str, names: Sequence[str], allowed: Collection[str], seeds: int) -> None:
    """Refuse unknown names, no name at all, and fewer than one seed.

    Raises:
        UserError: names the option, what it allows and what was received.
    """
    unknown = [name for name in names if name not in allowed]
    if unknown or not names or seeds < 1:
        raise UserError(
            f"{option} must name some of {','.join(allowed)}, and --seeds must be at least 1; received: "
            f"{','.join(unknown or names) or 'no name'}, {seeds}"
        )


def keep_settings(path: Path, settings: Mapping[str, Any], rows: str) -> None:
    """Write the settings that all rows share, or refuse a folder whose rows had other settings.

    Args:
        path: the file.
        settings: values that JSON can hold. Where the photos lie (`data.spec`) may change: their fingerprint decides.
        rows: what shares the settings, for the message: "all rows of a comparison".

    Raises:
        UserError: the file holds other settings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # processes that share a search begin at the same time
        if not path.is_file():
            write_json(path, settings)
            return
    finally:
        os.close(folder)  # which releases the lock
    # Every difference is named, so that one look at the file tells which command to repeat.
    kept = read_json(path, {"data": dict} if "data" in settings else dict)
    if "data" in settings:
        kept["data"]["spec"] = settings["data"]["spec"]
    with interpreting(path):
        different = [name for name in settings | kept if not _same(name, kept.get(name), settings.get(name))]
    if different:
        raise UserError(
            f"{rows} share their settings; received another {', '.join(different)} than {path} has; repeat the first "
            "command or choose another --out"
        )


def _same(name: str, kept: Any, value: object) -> bool:
    """True if an entry of a file is that of now; a recipe in it may be of before some fields existed."""
    return (Config.from_record(kept).to_dict() if name == "config" and kept else kept) == value


def finished_autoencoder(row: Row) -> Path | None:
    """Return the folder of another row, beside this one, with a finished autoencoder that fits this row's recipe.

    Rows of one table that share a seed differ in the architecture of the autoencoder, if in anything of stage 1.
    """
    for path in sorted(row.folder.parent.glob("*/autoencoder.keras")):
        if path.parent != row.folder:
            other = Run(path.parent).config
            if other.training.seed == row.config.training.seed and same_autoencoder(other, row.config):
                return path.parent
    return None


def training_cost(folder: Path) -> dict[str, Any]:
    """Return what both stages of a run took together: {"images_seen": ..., "seconds": ...}."""
    stages = Run(folder).spent().values()
    return {name: sum(stage[name] for stage in stages) for name in ("images_seen", "seconds")}


def probe_on_test(
    extract: Extractor, source: Source, *, num_values: int, seed: int, on_progress: Progress | None = None
) -> Result:
    """Judge features by a linear probe on the test split.

    Args:
        extract: images to {layer: maps}, for example a backbone.
        source: labelled photos with a test split.
        num_values: values per image that a layer is pooled to.
        seed: draws the labels that the probe's strength is chosen on.
        on_progress: called with (done, total, text).

    Returns:
        see `linear_probe`.
    """
    return linear_probe(
        extract,
        source.labelled("train", BATCH),
        source.labelled("test", BATCH),
        num_values=num_values,
        seed=seed,
        on_progress=on_progress,
    )


# --- statistics over seeds --------------------------------------------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    """Return the mean, rounded to two decimals."""
    return round(float(np.mean(values)), 2)


def stderr(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean, rounded to two decimals; None for a single value."""
    return round(float(np.std(values, ddof=1) / np.sqrt(len(values))), 2) if len(values) > 1 else None


def by_layer(results: Sequence[Result], statistic: Callable[[Sequence[float]], Number]) -> dict[str, Number]:
    """Return a statistic of every layer's accuracy over the seeds of a row, {layer: statistic}."""
    return {name: statistic([result["by_layer"][name] for result in results]) for name in results[0]["by_layer"]}


def with_error(value: float, error: float | None) -> str:
    """Return "61.2 ± 0.6", without the error if there is none."""
    return f"{value:.1f}" + ("" if error is None else f" ± {error:.1f}")


def failed_lines(failed: Mapping[str, str]) -> list[str]:
    """Return the lines below a printed table that name the failed rows."""
    return [f"failed: {label}: {error}" for label, error in failed.items()]

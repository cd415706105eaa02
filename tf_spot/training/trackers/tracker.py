"""What a tracker does with the stages of a training, each of which is one tracked run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import keras

from tf_spot.errors import UserError
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.storage.json_files import interpreting, read_json

log = logging.getLogger("tf_spot")

Ending = Literal["finished", "stopped", "failed"]
OfStage = Callable[[str], Sequence[keras.callbacks.Callback]]


class Stage(NamedTuple):
    """What a tracker is told of a stage."""

    name: str  # `autoencoder` or `spotter`
    folder: Path  # of the run
    facts: dict[str, Any]  # the configuration, nested, and `photos`, what is trained on
    tracked: str | None  # the identity of its tracked run, to go on with; None: begin one

    @property
    def title(self) -> str:
        """The name of the tracked run."""
        return f"{self.folder.name}-{self.name}"


class Tracker(Protocol):
    """One of `config.TRACKERS`."""

    name: str

    def begin(self, stage: Stage) -> tuple[str, keras.callbacks.Callback]:
        """Begin a tracked run or go on with one; return its identity and the tracker's own callback."""

    def end(self, ending: Ending) -> None:
        """End the tracked run; nothing without one."""


@contextlib.contextmanager
def tracked(tracker: Tracker | None, run: Run) -> Iterator[OfStage]:
    """Record the stages that are trained while the context lasts.

    RUN/tracking.json holds the identities of the tracked runs, so that a resumed stage goes on in its own.

    Args:
        tracker: None records nothing.
        run: has the configuration.

    Yields:
        a function that begins the tracked run of a stage, ends the one before, and returns the stage's callbacks. It
        raises a `UserError` if the tracker cannot begin.
    """
    if tracker is None:
        yield lambda stage: []
        return
    ending: Ending = "failed"
    try:
        yield lambda stage: [_begin(tracker, run, stage)]
        ending = "finished"
    except KeyboardInterrupt:
        ending = "stopped"
        raise
    finally:
        _end(tracker, ending)


def _begin(tracker: Tracker, run: Run, stage: str) -> keras.callbacks.Callback:
    _end(tracker, "finished")
    known = identities(run)
    of_tracker = known.setdefault(tracker.name, {})
    facts = run.config.to_dict() | {"photos": run.data["spec"]}
    told = Stage(stage, run.path.resolve(), facts, of_tracker.get(stage))
    try:
        of_tracker[stage], callback = tracker.begin(told)
    except Exception as error:
        raise UserError(
            f"--tracker {tracker.name} must be able to begin a run; received: {_in_a_line(error)}; see to the tracker, "
            "or leave it out"
        ) from error
    write_json(run.path / "tracking.json", known)
    return Watched(callback, tracker.name)


def _end(tracker: Tracker, ending: Ending) -> None:
    """End the tracked run; what goes wrong there is no reason to lose a training."""
    try:
        tracker.end(ending)
    except Exception as error:
        log.warning("%s could not end its run: %s", tracker.name, _in_a_line(error))


def identities(run: Run) -> dict[str, dict[str, str]]:
    """Return {tracker: {stage: identity of its tracked run}}."""
    path = run.path / "tracking.json"
    with interpreting(path):
        known = read_json(path) if path.is_file() else {}
        return {tracker: dict(stages) for tracker, stages in known.items()}


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"group.name": value} of {"group": {"name": value}}; what is not nested stays."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        inner = value.items() if isinstance(value, Mapping) else None
        found |= {name: value} if inner is None else {f"{name}.{leaf}": one for leaf, one in inner}
    return found


class Watched(keras.callbacks.Callback):
    """A tracker's callback, by epochs, whose errors do not stop a training.

    The first one is logged, and the callback left out from then on: metrics.jsonl has everything. Steps are not passed
    on, so their logs stay on the device.

    Args:
        inner: the tracker's own callback.
        name: of the tracker.
    """

    def __init__(self, inner: keras.callbacks.Callback, name: str) -> None:
        super().__init__()
        self.inner, self.name, self.failed = inner, name, False

    def set_params(self, params: dict[str, Any] | None) -> None:
        """Pass the parameters of `fit` on."""
        super().set_params(params)
        self.inner.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        """Pass the model on."""
        super().set_model(model)
        self.inner.set_model(model)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._call("on_train_begin", logs)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._call("on_epoch_end", epoch, dict(logs or {}))

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._call("on_train_end", dict(logs or {}))

    def _call(self, method: str, *arguments: object) -> None:
        if self.failed:
            return
        try:
            getattr(self.inner, method)(*arguments)
        except Exception as error:
            self.failed = True
            log.warning(
                "%s failed and is left out of the rest of this stage; metrics.jsonl has everything: %s",
                self.name,
                _in_a_line(error),
            )


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

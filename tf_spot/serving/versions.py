"""The versions of a model: found on disk, loaded, looked up by number or label, and unloaded."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tf_spot.errors import UserError
from tf_spot.serving.errors import ServingError
from tf_spot.serving.servable import Servable

log = logging.getLogger(__name__)

# Changes when the files of a version do: (path, size, time of change) of each file.
_Contents = tuple[tuple[str, int, int], ...]
_VERSION = re.compile("0|[1-9][0-9]{0,17}")  # one spelling for each number; it must fit into 64 bits


@dataclass
class VersionState:
    """A version's state, as the status call returns it."""

    state: str  # LOADING, AVAILABLE or END, as in TensorFlow Serving
    code: str = "OK"
    message: str = ""


class ServedModel:
    """A model, of which every version found in a folder is served.

    A version is a subfolder with an integer name and a `saved_model.pb`. The status names one that cannot be loaded,
    because it is damaged or still being copied; it is tried again when its files change.

    Args:
        folder: NAME, with NAME/VERSION/saved_model.pb below; or the folder around a single NAME, as exported.
        name: the name in requests; by default the folder's.
        labels: names for versions, such as {"stable": 1}.

    Raises:
        UserError: no such folder, or it is itself a version.
    """

    def __init__(self, folder: str | Path, *, name: str | None = None, labels: Mapping[str, int] | None = None) -> None:
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise UserError(f"{folder} is not a folder; give the folder NAME of NAME/VERSION/saved_model.pb")
        if (self.folder / "saved_model.pb").exists():
            raise UserError(f"{folder} is one version of a model; give the folder above it: {self.folder.parent}")
        self.folder = _exported_model(self.folder)
        self.name = name or self.folder.name
        self.labels = dict(labels or {})
        self.states: dict[int, VersionState] = {}
        self._versions: dict[int, Servable] = {}
        self._failed: dict[int, _Contents] = {}  # versions that could not be loaded, with the files they had then

    # --- loading ------------------------------------------------------------------------------------------------------

    @property
    def available(self) -> list[int]:
        """The loaded versions, in ascending order."""
        return sorted(self._versions)

    async def poll(self) -> None:
        """Load versions that appeared, then unload those that disappeared.

        In this order, so that a swap never leaves the model without a version. Requests that run on an unloaded
        version keep it alive until they are done.
        """
        on_disk = await asyncio.to_thread(self._on_disk)
        for version in sorted(on_disk.keys() - self._versions.keys()):
            if self._failed.get(version) != on_disk[version]:
                await self._load(version, on_disk[version])
        for version in self._versions.keys() - on_disk.keys():
            del self._versions[version]
            self.states[version] = VersionState("END")
            log.info("model %s version %d is gone", self.name, version)
        # A version that never loaded leaves no END behind.
        for version in self._failed.keys() - on_disk.keys():
            del self._failed[version], self.states[version]

    async def _load(self, version: int, contents: _Contents) -> None:
        self.states[version] = VersionState("LOADING")
        try:
            # In a thread, so that the event loop keeps serving the other versions.
            self._versions[version] = await asyncio.to_thread(Servable, self.folder / str(version), version)
        except Exception as error:  # whatever is wrong with one folder must not stop the others
            reason = " ".join(str(error).split())[:500] or type(error).__name__
            self._failed[version] = contents
            self.states[version] = VersionState("END", "INVALID_ARGUMENT", f"cannot be loaded: {reason}")
            log.warning("model %s version %d cannot be loaded: %s", self.name, version, reason)
            return
        self._failed.pop(version, None)
        self.states[version] = VersionState("AVAILABLE")
        log.info("model %s version %d is loaded", self.name, version)

    def _on_disk(self) -> dict[int, _Contents]:
        found = {}
        for path in self.folder.iterdir():
            if _VERSION.fullmatch(path.name) and (path / "saved_model.pb").is_file():
                with suppress(FileNotFoundError):  # it is being removed just now
                    found[int(path.name)] = _contents(path)
        return found

    # --- lookup -------------------------------------------------------------------------------------------------------

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """Return a loaded version: the greatest, if neither version nor label is given.

        Raises:
            ServingError: NOT_FOUND for an unknown model, version or label; UNAVAILABLE if nothing is loaded.
        """
        self._check_name(name)
        if label is not None:
            version = self._labelled(label)
        if version is None:
            if not self._versions:
                raise ServingError("UNAVAILABLE", f"model {name!r} has no version loaded")
            return self._versions[max(self._versions)]
        if version not in self._versions:
            raise ServingError("NOT_FOUND", f"model {name!r} has no version {version} loaded; {self._loaded()}")
        return self._versions[version]

    def status(self, name: str, version: int | None = None, label: str | None = None) -> dict[int, VersionState]:
        """Return the states of one version or of all, newest first.

        Raises:
            ServingError: NOT_FOUND for an unknown model, version or label.
        """
        self._check_name(name)
        if label is not None:
            version = self._labelled(label)
        if version is None:
            return dict(sorted(self.states.items(), reverse=True))
        if version not in self.states:
            raise ServingError("NOT_FOUND", f"model {name!r} has no version {version}; {self._loaded()}")
        return {version: self.states[version]}

    def _check_name(self, name: str) -> None:
        if name != self.name:
            raise ServingError("NOT_FOUND", f"model {name!r} is not served here; this server has {self.name!r}")

    def _labelled(self, label: str) -> int:
        if label not in self.labels:
            known = ", ".join(sorted(self.labels)) or "no label"
            raise ServingError("NOT_FOUND", f"label {label!r} of model {self.name!r} is unknown; it has {known}")
        return self.labels[label]

    def _loaded(self) -> str:
        return "loaded: " + (", ".join(map(str, self.available)) or "none")


def _exported_model(folder: Path) -> Path:
    """Return the folder of the only model inside an exported folder; else the folder itself."""
    found = {path.parent.parent for path in folder.glob("*/*/saved_model.pb") if _VERSION.fullmatch(path.parent.name)}
    return found.pop() if len(found) == 1 and not any(folder.glob("*/saved_model.pb")) else folder


def _contents(folder: Path) -> _Contents:
    files = []
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        files.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(files)

"""Photos from wherever they are, as `tf.data` of images in [-1, 1]."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from tf_spot.config import PAPER, Config, DataConfig
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.lazy import submodule

# Kind of source: its form. Each has a module of its own, imported when it is needed.
FORMS = {
    "photos": "photos",
    "folder": "folder:PATH",
    "stl10": "stl10:PATH",
    "places": "places:PATH",
    "tfds": "tfds:NAME",
    "shards": "shards:PATH",
    "list": "list:FILE",
}
MODULES = {"photos": "bundled_photos", "list": "file_list"}  # of a kind, where it has another name


def open_source(spec: str | Source, config: Config, *, strict: bool = False) -> Source:
    """Open the photos that `spec` names, with the sizes, changes and seed of a configuration; see `load`.

    A source is returned as it is, so that several trainings can share one.

    Raises:
        ValueError: a source that was opened with another image size or augmentation.
    """
    if isinstance(spec, Source):
        if (spec.image_size, spec.config) != (config.data.image_size, config.data):
            raise ValueError(
                f"a source must be opened with the data settings of the configuration, {config.data}; received one of "
                f"{spec.image_size} pixels with {spec.config}"
            )
        if strict:
            spec.check()
        return spec
    return load(
        spec,
        image_size=config.data.image_size,
        strict=strict,
        config=config.data,
        seed=config.training.seed,
    )


def load(spec: str, *, image_size: int, strict: bool = False, config: DataConfig = PAPER.data, seed: int = 0) -> Source:
    """Open the photos that `spec` names.

    Args:
        spec: `photos` (the colour photos inside scikit-learn and scikit-image, cut into patches), `folder:PATH` (flat,
            or one subfolder per class; PATH/train with PATH/test or PATH/val if they exist), `stl10:PATH` (the official
            binaries), `places:PATH` (Places205 or Places365 as unpacked), `tfds:NAME` (a data set of
            tensorflow-datasets), `shards:PATH` (what `tf-spot pack` wrote) or `list:FILE` (CSV or JSON lines with the
            columns path, label and split). A bare PATH is a folder or a list. Several, with " + " between them, are
            their union.
        image_size: pixels, both sides of every image; overrides `config.image_size`.
        strict: read every photo now, and raise if one cannot be read. Otherwise such photos are left out, and listed in
            `bad_files` once they have been tried.
        config: how training images are varied, and how many photos are held out of training.
        seed: of the training stream, unless `Source.unlabelled` is given another.

    Raises:
        UserError: the form is unknown, or the source is missing, empty or unreadable.
    """
    several = _apart(spec)
    if len(several) > 1:
        from tf_spot.data.several import join

        settings: dict[str, Any] = {"image_size": image_size, "strict": strict, "config": config, "seed": seed}
        return join([load(one, **settings) for one in several])
    spec = _with_kind(spec)
    kind, _, location = spec.partition(":")
    if kind not in FORMS or bool(location) != (kind != "photos"):
        raise UserError(f"unknown data source; allowed: {', '.join(FORMS.values())}; received: {spec!r}")
    module = importlib.import_module(f"tf_spot.data.{MODULES.get(kind, kind)}")
    arguments = (location,) if location else ()
    source: Source = getattr(module, f"open_{kind}")(*arguments, image_size=image_size, config=config, seed=seed)
    if strict:
        source.check()
    return source


def _apart(spec: str) -> list[str]:
    """Return the specs of several sources; a path may hold a plus, so what follows one must look like a source."""
    return re.split(rf" \+ (?=(?:{'|'.join(FORMS)})(?::| \+ |$)|[./~])", spec)


def _with_kind(spec: str) -> str:
    """Return `spec` with the kind of a bare path, that of a folder or a list; others as they are."""
    if spec.partition(":")[0] in FORMS:
        return spec
    path = Path(spec).expanduser()
    if path.is_dir():
        return f"folder:{spec}"
    return f"list:{spec}" if path.suffix in (".csv", ".jsonl") and path.is_file() else spec


def __getattr__(name: str) -> ModuleType:
    return submodule("tf_spot.data", name)


__all__ = ["Source", "load", "open_source"]

"""Photos from wherever they are, as `tf.data` of images in [-1, 1]."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from types import ModuleType

from tf_spot.config import PAPER, Config, DataConfig
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.lazy import submodule
from tf_spot.storage.spec import FORMS, Spec, parse_specs

log = logging.getLogger("tf_spot")

# Each kind of source has a module of its own, imported when it is needed; of these it has another name.
MODULES = {"photos": "bundled_photos", "list": "file_list"}


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
            tensorflow-datasets), `shards:PATH` (what `tf-spot pack` wrote), `list:FILE` (CSV or JSON lines with the
            columns path, label and split), `hf:NAME` (a data set of the library `datasets`) or `wds:PATTERN` (the tars
            of a WebDataset). A bare PATH is a folder or a list. Several, with " + " between them, are their union.
        image_size: pixels, both sides of every image; overrides `config.image_size`.
        strict: read every photo now, and raise if one cannot be read. Otherwise such photos are left out, and listed in
            `bad_files` once they have been tried.
        config: how training images are varied, and how many photos are held out of training.
        seed: of the training stream, unless `Source.unlabelled` is given another.

    Raises:
        UserError: the form is unknown, or the source is missing, empty or unreadable.
    """
    specs = parse_specs(spec)
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 1:
        raise UserError(f"image_size must be a whole number of pixels, 1 or more; received: {image_size!r}")
    sources = [_opened(one, image_size, config, seed) for one in specs]
    if strict:
        for source in sources:
            source.check()
    if len(sources) == 1:
        return sources[0]
    from tf_spot.data.several import join

    return join(sources)


def _opened(spec: Spec, image_size: int, config: DataConfig, seed: int) -> Source:
    kind, location = spec
    if kind == "photos" and Path("photos").is_dir():
        log.warning("--data photos is the bundled set; the folder photos/ here is folder:photos")
    module = importlib.import_module(f"tf_spot.data.{MODULES.get(kind, kind)}")
    arguments = (location,) if location else ()
    source: Source = getattr(module, f"open_{kind}")(*arguments, image_size=image_size, config=config, seed=seed)
    return source


def __getattr__(name: str) -> ModuleType:
    return submodule("tf_spot.data", name)


__all__ = ["FORMS", "Source", "load", "open_source"]

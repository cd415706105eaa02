"""Photos from wherever they are, as `tf.data` of images in [-1, 1]."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from tf_spot.config import PAPER, Config, DataConfig
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.storage.spec import FORMS, parse_spec

log = logging.getLogger("tf_spot")


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
            tensorflow-datasets) or `shards:PATH` (what `tf-spot pack` wrote).
        image_size: pixels, both sides of every image; overrides `config.image_size`.
        strict: read every photo now, and raise if one cannot be read. Otherwise such photos are left out, and listed in
            `bad_files` once they have been tried.
        config: how training images are varied, and how many photos are held out of training.
        seed: of the training stream, unless `Source.unlabelled` is given another.

    Raises:
        UserError: the form is unknown, or the source is missing, empty or unreadable.
    """
    kind, location = parse_spec(spec)
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 1:
        raise UserError(f"image_size must be a whole number of pixels, 1 or more; received: {image_size!r}")
    if kind == "photos" and Path("photos").is_dir():
        log.warning("--data photos is the bundled set; the folder photos/ here is folder:photos")
    module = importlib.import_module(f"tf_spot.data.{'bundled_photos' if kind == 'photos' else kind}")
    arguments = (location,) if location else ()
    source: Source = getattr(module, f"open_{kind}")(*arguments, image_size=image_size, config=config, seed=seed)
    if strict:
        source.check()
    return source


__all__ = ["FORMS", "Source", "load", "open_source"]

"""Photos from wherever they are, as `tf.data` of images in [-1, 1]."""

from __future__ import annotations

from tf_spot.config import PAPER, DataConfig
from tf_spot.data.source import Source
from tf_spot.errors import UserError

FORMS = ("photos", "folder:PATH", "stl10:PATH", "places:PATH", "tfds:NAME", "shards:PATH")


def open_source(
    spec: str, *, image_size: int, strict: bool = False, config: DataConfig = PAPER.data, seed: int = 0
) -> Source:
    """Opens the photos that `spec` names.

    Args:
        spec: `photos` (the colour photos inside scikit-learn and scikit-image, cut into patches), `folder:PATH` (flat,
            or one subfolder a class; PATH/train with PATH/test or PATH/val when there), `stl10:PATH` (the official
            binaries), `places:PATH` (Places205 or Places365 as unpacked), `tfds:NAME` (a data set of
            tensorflow-datasets) or `shards:PATH` (what `tf-spot pack` wrote).
        image_size: pixels, both sides of every image given out; goes before `config.image_size`.
        strict: read every photo now, and raise if one cannot be read. Otherwise such photos are left out and listed in
            `bad_files` when they are met.
        config: how training images are varied, and how many photos are held out of training.
        seed: of the training stream, unless `Source.unlabelled` is given another.

    Raises:
        UserError: the form is unknown, or the source is missing, empty or unreadable.
    """
    kind, _, where = spec.partition(":")
    if kind == "photos" and not where:
        from tf_spot.data.photos import open_photos

        source = open_photos(image_size=image_size, config=config, seed=seed)
    elif kind == "folder" and where:
        from tf_spot.data.folder import open_folder

        source = open_folder(where, image_size=image_size, config=config, seed=seed)
    elif kind == "stl10" and where:
        from tf_spot.data.stl10 import open_stl10

        source = open_stl10(where, image_size=image_size, config=config, seed=seed)
    elif kind == "places" and where:
        from tf_spot.data.places import open_places

        source = open_places(where, image_size=image_size, config=config, seed=seed)
    elif kind == "tfds" and where:
        from tf_spot.data.tfds import open_tfds

        source = open_tfds(where, image_size=image_size, config=config, seed=seed)
    elif kind == "shards" and where:
        from tf_spot.data.shards import open_shards

        source = open_shards(where, image_size=image_size, config=config, seed=seed)
    else:
        raise UserError(f"unknown data source; allowed: {', '.join(FORMS)}; received: {spec!r}")
    if strict:
        source.check()
    return source


__all__ = ["Source", "open_source"]

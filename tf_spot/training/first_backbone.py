"""The backbone that a training begins with, if not one at random weights: one's own, or one learned on ImageNet.

Made before the photos are read. The run folder keeps it as RUN/initial/backbone.keras, so that the run goes on without
the file, the model or the download that it came from.
"""

from __future__ import annotations

from pathlib import Path

import keras

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone, KerasBackbone, load_own
from tf_spot.models.from_config import check_cells, first_backbone
from tf_spot.runs.run import FIRST_BACKBONE


def begin_backbone(
    config: Config, backbone: keras.Model | None, out: str | Path, resume: bool
) -> tuple[Config, Backbone | None]:
    """Return the recipe of a training and the backbone that it begins with.

    Args:
        config: as it was given.
        backbone: a Keras model or a backbone in place of the recipe's; None: the recipe's.
        out: the run folder.
        resume: go on with the run in it, if there is one.

    Returns:
        the recipe, whose `network.backbone` is the file of the run folder if `backbone` was given; and the backbone,
        None if it begins at random weights or the run has begun.

    Raises:
        UserError: no backbone, another one than that of the run, or cells that are not those of the encoding.
    """
    begun = resume and (Path(out) / "config.json").is_file()
    own = None if backbone is None else _of_ones_own(backbone, config.training.precision)
    if own is not None:
        config = config.replace(**{"network.backbone": FIRST_BACKBONE})
        if begun:
            _refuse_another(own, Path(out) / FIRST_BACKBONE)
    if begun or not config.network.begins_with_weights:
        return config, None
    first = own or first_backbone(config)
    if first is not None:
        check_cells(config, first)
    return config, first


def _of_ones_own(backbone: keras.Model, precision: str) -> Backbone:
    return backbone if isinstance(backbone, Backbone) else KerasBackbone(backbone, dtype=precision)


def _refuse_another(own: Backbone, kept: Path) -> None:
    """Raise a `UserError` unless a run that has begun is given a backbone like its own; its weights may be others."""
    theirs = load_own(kept, own.dtype_policy.name) if kept.is_file() else None
    if theirs is None or _form(own) != _form(theirs):
        raise UserError(
            f"a run goes on with its own backbone; received: another one than {kept}; leave it out, or give the first "
            "one again"
        )


def _form(backbone: Backbone) -> list[object]:
    """Return what tells backbones apart, without the names that Keras numbers anew in every model."""
    config = backbone.get_config()
    return [type(backbone), config.get("preprocess"), [tuple(weight.shape) for weight in backbone.weights]]

"""What an evaluation judges: the spotter of a run, or a backbone that comes with the package."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_spot.config import Config
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import Backbone
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.cards import is_pretrained, pretrained_card
from tf_spot.runs.load import load_spotter
from tf_spot.runs.pretrained import load_pretrained
from tf_spot.runs.run import STAGES, Run, recipe_of


@dataclass(frozen=True)
class Subject:
    """What is judged, and what its training took.

    Args:
        folder: of the run; of a name, one of that name in the current folder, which has its results alone.
        config: the recipe of the training.
        backbone: judged.
        spotter: that has it; None: a backbone alone.
        spent: {stage: {"images_seen", "seconds"}} of the training.
        command: of the training.
        data: of the training: `name`, `fingerprint`, `counts`.
    """

    folder: Path
    config: Config
    backbone: Backbone
    spotter: ArtifactSpotter | None
    spent: Mapping[str, Mapping[str, float]]
    command: str
    data: Mapping[str, Any]

    @property
    def autoencoder(self) -> Autoencoder | None:
        """The spotter's autoencoder, if there is one."""
        return self.spotter.autoencoder if self.spotter else None


def open_subject(source: str | Path) -> Subject:
    """Load what is judged.

    Args:
        source: a run folder, or a name of `load_pretrained`.

    Raises:
        UserError: neither, or a run without a trained spotter.
    """
    config = recipe_of(source)
    if is_pretrained(source):
        card = pretrained_card(str(source))
        backbone = load_pretrained(str(source))
        spent = {stage: card["cost"][stage] for stage in STAGES}
        return Subject(Path(source), config, backbone, None, spent, card["command"], card["data"])
    run = Run(source)
    spotter = load_spotter(run)
    command = shlex.join(["tf-spot", *run.versions["command"][1:]])
    return Subject(run.path, config, spotter.backbone, spotter, run.spent(), command, run.data)

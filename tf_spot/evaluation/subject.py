"""What an evaluation judges: the spotter of a run, the backbone of a rival, or one that comes with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import METHODS
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import Backbone
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.cards import is_pretrained, pretrained_card
from tf_spot.runs.load import load_backbone, load_spotter
from tf_spot.runs.pretrained import load_pretrained
from tf_spot.runs.run import STAGES, Run, recipe_of

LEARNED = METHODS[0]  # what every task calls the weights that are judged, and results too if they are a spotter's


@dataclass(frozen=True)
class Subject:
    """What is judged, and what its training took.

    Args:
        folder: of the run; of a name, one of that name in the current folder, which has its results alone.
        config: the recipe of the training.
        backbone: judged.
        spotter: that has it; None: a backbone alone.
        spent: {stage: {"images_seen", "seconds"}} of the training; of another method {method: ...}.
        command: of the training.
        data: of the training: `name`, `fingerprint`, `counts`.
        method: of the training, as in `tf-spot compare`.
    """

    folder: Path
    config: Config
    backbone: Backbone
    spotter: ArtifactSpotter | None
    spent: Mapping[str, Mapping[str, float]]
    command: str
    data: Mapping[str, Any]
    method: str = LEARNED

    @property
    def autoencoder(self) -> Autoencoder | None:
        """The spotter's autoencoder, if there is one."""
        return self.spotter.autoencoder if self.spotter else None


def open_subject(source: str | Path) -> Subject:
    """Load what is judged.

    Args:
        source: a run folder, that of a row of a comparison, or a name of `load_pretrained`.

    Raises:
        UserError: none of them, a run without a trained spotter, or random weights.
    """
    config = recipe_of(source)
    if is_pretrained(source):
        card = pretrained_card(str(source))
        backbone = load_pretrained(str(source))
        spent = {stage: card["cost"][stage] for stage in STAGES}
        return Subject(Path(source), config, backbone, None, spent, card["command"], card["data"])
    run = Run(source)
    rival = run.rival
    if rival is not None:
        if rival.method == "random":
            raise UserError(f"random weights stand beside every evaluation; received: {source}, which has no others")
        cost = {"images_seen": rival.images_seen, "seconds": rival.seconds}
        backbone = load_backbone(run.path).backbone
        return Subject(run.path, config, backbone, None, {rival.method: cost}, run.command, run.data, rival.method)
    spotter = load_spotter(run)
    return Subject(run.path, config, spotter.backbone, spotter, run.spent(), run.command, run.data)


def named(metrics: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return the metrics of an evaluation with the weights that are judged named by the method that trained them.

    Args:
        metrics: `method` and the names in `rivals` have `LEARNED` for those weights, as in "spot, adapted".
        method: the name.
    """
    rivals = {
        name.replace(LEARNED, method): control | {"method": control["method"].replace(LEARNED, method)}
        for name, control in metrics["rivals"].items()
    }
    return {**metrics, "method": metrics["method"].replace(LEARNED, method), "rivals": rivals}

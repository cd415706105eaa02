"""Begin a run with weights that were trained before: those of a run, or of a backbone that comes with the package.

A weight is taken if the network of the new run has one of the same place in its file and of the same shape; all others
begin at random. Optimizers begin anew. The first weights are kept in the run folder, so that a run that is resumed
before its first checkpoint needs the other one no longer:

RUN/initial/NETWORK.weights.h5    the first weights of encoder, decoder, discriminator and repair network
RUN/initial/from.json             whose they are, and how many were taken
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.cards import is_pretrained, known_names
from tf_spot.runs.load import load_autoencoder, load_spotter
from tf_spot.runs.pretrained import load_pretrained
from tf_spot.runs.run import INITIAL, Run
from tf_spot.storage.files import write_file, write_json
from tf_spot.storage.json_files import interpreting, read_json
from tf_spot.training.plan import Numbers

RECORD = "from.json"
NETWORKS = {"autoencoder": ("encoder", "decoder"), "spotter": ("discriminator", "repair")}  # of each stage
NAMED = 3  # weights that do not fit, named in words; the others are counted

Networks = dict[str, keras.Model]  # by name


class Taken(NamedTuple):
    """What a network took of another."""

    fitting: int  # weights
    kernels: int  # of these
    total: int  # weights of the network
    random: list[str]  # the weights that begin at random, in words

    def words(self) -> str:
        """Return the numbers as a text."""
        named = ", ".join(self.random[:NAMED]) + (", ..." if len(self.random) > NAMED else "")
        return f"{self.fitting} of {self.total} weights" + (f"; at random: {named}" if self.random else "")


class WarmStart(NamedTuple):
    """Networks of a new run, with the weights that fitted."""

    source: str
    networks: Networks
    taken: dict[str, Taken]  # by network

    def write(self, folder: Path) -> None:
        """Write the weights into a run folder, the record last."""
        for name, network in self.networks.items():
            write_file(folder / INITIAL / f"{name}.weights.h5", network.save_weights)
        taken = {name: {"taken": one.fitting, "of": one.total} for name, one in self.taken.items()}
        write_json(folder / INITIAL / RECORD, {"source": self.source, "networks": taken})

    def words(self) -> Numbers:
        """Return what each network took, for the plan of the training."""
        return {f"{name}_begins_with": one.words() for name, one in self.taken.items()}


def warm_start(source: str | Path, config: Config, backbone: Backbone | None = None) -> WarmStart:
    """Make the networks of a new run and give them the weights of `source` that fit.

    Args:
        source: a run folder, or the name of a backbone that comes with the package.
        config: of the new run.
        backbone: that it begins with where nothing fits, see `build_discriminator`; changed in place.

    Raises:
        UserError: no such run or name, or no weight fits.
    """
    trained = _trained(source)
    networks = _networks(build_spotter(config, build_autoencoder(config), backbone))
    targets = networks | {"backbone": networks["discriminator"].backbone}
    taken = {name: take_fitting(targets[name], network) for name, network in trained.items()}
    if not any(one.kernels for one in taken.values()):  # a bias of the three colours always fits
        raise UserError(
            f"--init-from needs a network with some kernels of the same shapes; received: {source}, of which none "
            "fits; take the preset and settings that it was trained with, or leave the option out"
        )
    return WarmStart(str(source), networks, taken)


def begun_with(run: Run) -> str | None:
    """Return the source that the run was begun with; None if it began at random."""
    record = run.path / INITIAL / RECORD
    return str(read_json(record, {"source": str})["source"]) if record.is_file() else None


def load_first_weights(run: Run, stage: str, model: keras.Model) -> None:
    """Give the networks of a stage the first weights that the run folder holds; without any they stay as they are."""
    if begun_with(run) is not None:
        for name in NETWORKS[stage]:
            weights = run.path / INITIAL / f"{name}.weights.h5"
            with interpreting(weights):
                getattr(model, name).load_weights(weights)


def take_fitting(network: keras.Model, trained: keras.Model) -> Taken:
    """Copy the weights of `trained` that have the same place in a file and the same shape as one of `network`."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.weights.h5"), Path(folder, "theirs.weights.h5")
        network.save_weights(ours)
        trained.save_weights(theirs)
        with h5py.File(ours, "r+") as mine, h5py.File(theirs) as others:
            own, found = _weights(mine), _weights(others)
            fitting = [name for name in own if name in found and own[name].shape == found[name].shape]
            for name in fitting:
                own[name][...] = found[name][...]
            random = [f"{_place(name)} {own[name].shape}" for name in own if name not in fitting]
            kernels = sum(own[name].ndim > 1 for name in fitting)
        network.load_weights(ours)
    return Taken(len(fitting), kernels, len(fitting) + len(random), random)


def _trained(source: str | Path) -> Networks:
    """Return the networks of a run as far as it has them, or `backbone` of a name."""
    if is_pretrained(source):
        return {"backbone": load_pretrained(str(source))}
    if not Path(source).is_dir():
        raise UserError(f"--init-from takes a run folder or a pretrained name ({known_names()}); received: {source}")
    run = Run(source)
    if run.model_path("spotter").is_file() or any(run.checkpoints("spotter").glob("step-*")):
        return _networks(load_spotter(run))
    autoencoder = load_autoencoder(run)
    return {name: getattr(autoencoder, name) for name in NETWORKS["autoencoder"]}


def _networks(spotter: ArtifactSpotter) -> Networks:
    models = {"autoencoder": spotter.autoencoder, "spotter": spotter}
    return {name: getattr(models[stage], name) for stage, names in NETWORKS.items() for name in names}


def _weights(file: h5py.File) -> dict[str, Any]:
    """Return the arrays of a file of weights by their place in it, in order."""
    found: dict[str, Any] = {}
    file.visititems(lambda name, entry: found.update({name: entry}) if isinstance(entry, h5py.Dataset) else None)
    return found


def _place(name: str) -> str:
    """Return the place of a weight without what every place has: `fc1`, of fc1/vars/0."""
    return name.replace("/vars/", "/").removeprefix("layers/").removesuffix("/0")

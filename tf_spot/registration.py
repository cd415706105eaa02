"""After `import tf_spot`, Keras finds the classes of this package by their registered names.

Their modules need TensorFlow, so they are imported when a saved file first asks for one of their classes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tf_spot.import_hook import Load, around_import

PACKAGE = "tf_spot"  # under which the classes are registered, see `ops.registry.register`
# {module below tf_spot: names of its registered classes}
REGISTERED = {
    "baselines.barlow_twins": ("BarlowTwins",),
    "baselines.bigan": ("BiGAN",),
    "baselines.byol": ("BYOL",),
    "baselines.colorization": ("Colorization",),
    "baselines.context": ("Context",),
    "baselines.counting": ("Counting",),
    "baselines.exemplar": ("Exemplar",),
    "baselines.gradient_images": ("GradientBackbone",),
    "baselines.inpainting": ("Inpainting",),
    "baselines.jigsaw": ("Jigsaw",),
    "baselines.lci": ("LimitedContext",),
    "baselines.noise_as_targets": ("NoiseAsTargets",),
    "baselines.pretext": ("Head",),
    "baselines.rotation": ("Rotation",),
    "baselines.simclr": ("SimCLR",),
    "baselines.split_brain": ("SplitBrain",),
    "baselines.supervised": ("Supervised",),
    "models.autoencoder": ("Autoencoder",),
    "models.backbones.functional": ("ApplicationNorm",),
    "models.backbones.keras_applications": ("Application",),
    "models.backbones.lab_halves": ("LabHalves",),
    "models.backbones.own": ("KerasBackbone",),
    "models.backbones.resnet18": ("BasicBlock", "ResNet18"),
    "models.classifier": ("Classifier",),
    "models.damage": ("Damage",),
    "models.discriminator": ("Discriminator",),
    "models.gan": ("GAN", "Generator"),
    "models.history_buffer": ("History",),
    "models.layers": (
        "BatchNorm",
        "ConvBlock",
        "ExampleDropout",
        "LocalResponseNorm",
        "MaskedConv",
        "RepairBlock",
        "UpConv",
    ),
    "models.networks": ("Decoder", "Encoder", "RepairNetwork"),
    "models.spotter": ("ArtifactSpotter",),
    "ops.convolutions": ("Conv2D",),
    "ops.fused_adam": ("FusedAdam",),
}
RENAMED = {"Backbone": ("models.backbones.alexnet", "AlexNet")}  # registered under another name than the class's


def register_with_keras() -> None:
    """Register the names now if Keras is imported, else when it will be."""
    keras = sys.modules.get("keras")
    if keras is None:
        around_import("keras", _load_and_register)
    elif hasattr(keras, "saving"):
        register_names(keras)


def _load_and_register(load: Load, keras: ModuleType) -> None:
    load(keras)
    register_names(keras)


def register_names(keras: ModuleType) -> None:
    """Register a stand-in for each class that is not imported yet; the class takes its place when it is."""
    registered = keras.saving.get_custom_objects()
    for module, names in REGISTERED.items():
        for name in names:
            registered.setdefault(f"{PACKAGE}>{name}", _stand_in(module, name))
    for name, (module, class_name) in RENAMED.items():
        registered.setdefault(f"{PACKAGE}>{name}", _stand_in(module, class_name))


def _stand_in(module: str, name: str) -> type:
    """Return a class of which Keras needs `from_config` alone, and which makes objects of the real one."""

    def from_config(cls: type, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> Any:
        return getattr(importlib.import_module(f"tf_spot.{module}"), name).from_config(config)

    return type(name, (), {"from_config": classmethod(from_config)})

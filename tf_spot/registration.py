"""After `import tf_spot`, Keras finds the classes of this package by their registered names.

Their modules need TensorFlow, so they are imported when a saved file first asks for one of their classes.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "tf_spot"  # under which the classes are registered, see `ops.registry.register`
# {module below tf_spot: names of its registered classes}
REGISTERED = {
    "baselines.barlow_twins": ("BarlowTwins",),
    "baselines.byol": ("BYOL",),
    "baselines.colorization": ("Colorization",),
    "baselines.context": ("Context",),
    "baselines.exemplar": ("Exemplar",),
    "baselines.gradient_images": ("GradientBackbone",),
    "baselines.inpainting": ("Inpainting",),
    "baselines.jigsaw": ("Jigsaw",),
    "baselines.noise_as_targets": ("NoiseAsTargets",),
    "baselines.pretext": ("Head",),
    "baselines.rotation": ("Rotation",),
    "baselines.simclr": ("SimCLR",),
    "baselines.supervised": ("Supervised",),
    "models.autoencoder": ("Autoencoder",),
    "models.backbones.keras_applications": ("Application", "ApplicationNorm"),
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


class AfterKeras(importlib.abc.MetaPathFinder):
    """Register the names as soon as Keras is imported.

    Stands in `sys.meta_path` until then.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "keras":
            return None
        sys.meta_path.remove(self)  # so that `find_spec` below asks the finders after this one
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                register_names(module)

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def register_with_keras() -> None:
    """Register the names now if Keras is imported, else when it will be."""
    keras = sys.modules.get("keras")
    if keras is None:
        sys.meta_path.insert(0, AfterKeras())
    elif hasattr(keras, "saving"):
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

"""Every number of the method, once, with its unit and its source.

`Config()` is the paper's STL-10 baseline (preset `stl10`); every other preset is a difference from it. Neither Keras
nor TensorFlow is imported here, so reading or printing a configuration costs nothing.

Sources: "paper" is Jenni & Favaro, CVPR 2018 (arXiv 1806.05024); "code" is the authors' public code (June 2019);
"ours" is a choice of this project, with its reason.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tf_spot import fields
from tf_spot.errors import UserError
from tf_spot.fields import Range
from tf_spot.storage.json_files import DamagedFile, interpreting, read_json

Fill = Literal["avg3", "global", "zero", "noise"]
Norm = Literal["response", "batch"]
AdversarialLoss = Literal["nonsaturating", "minimax", "confusion"]
AdversarialHalves = Literal["corrupt", "both"]
MaskTargets = Literal["both", "repaired"]
RealImages = Literal["decoded", "original"]
Repair = Literal["distributed", "local", "none", "gan"]
Update = Literal["alternating", "simultaneous"]
FinetuneNorms = Literal["adapt", "frozen"]
Precision = Literal["float32", "mixed_bfloat16"]
BackboneWeights = Literal["random", "imagenet"]
Stride = Literal[1, 2, 4, 8]
Cache = Literal["auto", "device", "host", "none"]  # an option of `train`: the weights are the same with each
Tracker = Literal["wandb", "mlflow"]  # an option of `train` too
CACHES: tuple[str, ...] = typing.get_args(Cache)
TRACKERS: tuple[str, ...] = typing.get_args(Tracker)
PRECISIONS: tuple[str, ...] = typing.get_args(Precision)
Count = Annotated[int, Range("(0, inf)")]
AtLeastTwo = Annotated[int, Range("[2, inf)")]
CountOrZero = Annotated[int, Range("[0, inf)")]
Positive = Annotated[float, Range("(0, inf)")]
NotNegative = Annotated[float, Range("[0, inf)")]
Share = Annotated[float, Range("[0, 1]")]
ShareOfSome = Annotated[float, Range("[0.01, 1]")]
ShareBelowOne = Annotated[float, Range("[0, 1)")]
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")  # of every backbone, whatever its own layers are called


@dataclass(frozen=True)
class DataConfig:
    """What a training image is and how it is varied. Source for all but `image_size`: code."""

    image_size: int = 96  # pixels, both sides
    crop_area_min: ShareOfSome = 0.333  # share of the photo's area, random crop
    crop_aspect_min: ShareOfSome = 0.75  # width / height of the crop; the largest is its inverse, 1.33
    flip: bool = True  # left-right, with probability 1/2
    brightness: NotNegative = 32 / 255  # largest shift, images in [0, 1]
    saturation: Share = 0.5  # factor drawn from [1 - s, 1 + s]
    center_crop: ShareOfSome = 0.85  # share of each side kept when testing
    held_out_images: Count = 512  # ours: photos kept from training for the health signals, at most
    held_out_share: Annotated[float, Range("[0, 0.5]")] = 0.05  # ours: and at most this share of them


@dataclass(frozen=True)
class NetworkConfig:
    """Widths, strides and norms of the four networks."""

    backbone: str = "alexnet"  # what transfers (paper); resnet18, a model of keras.applications, or the .keras file of
    # one's own: docs/backbones.md
    backbone_layers: str = (
        ""  # five layers of a model of keras.applications with commas between (ours); empty: by stride
    )
    backbone_weights: BackboneWeights = "random"  # ours: "imagenet" begins with Keras' weights, learned with labels
    width: Positive = 1.0  # factor on every channel count (ours; 1 is the paper's network)
    stem_kernel: Count = 11  # pixels, conv1 of alexnet (code)
    stem_stride: Stride = 4  # pixels, conv1 of alexnet (code); the encoder has 2 + log2(stem_stride) levels
    encoder_kernel: Count = 2  # pixels, E1...; 3 is ablation (h)
    encoding_ratio: Positive = 2 / 3  # numbers of an encoding to those of its image, at every width (code: 18,432 to
    # 27,648 at 96 pixels)
    negative_slope: Share = 0.2  # leaky ReLU of encoder, decoder, repair (code; the first public code had 0.1)
    norm_momentum: ShareBelowOne = 0.975  # batch norm (code)
    norm_epsilon: Positive = 1e-3  # batch norm (code)
    trunk_norm: Norm = "response"  # alexnet: response norm after conv1, conv2 (code); "batch" after every conv (ours)
    fc_units: Count = 4096  # fc_1 of the realness head (code), not scaled by width
    dropout_rate: ShareBelowOne = 0.5  # after fc_1 (code)

    @property
    def backbone_layers_list(self) -> list[str] | None:
        """The names in `backbone_layers`; None: the layers are chosen by stride."""
        return [name.strip() for name in self.backbone_layers.split(",")] if self.backbone_layers else None

    @property
    def begins_with_weights(self) -> bool:
        """True if the backbone does not begin at random weights."""
        return self.backbone_weights != "random" or is_own_backbone(self.backbone)

    @property
    def levels(self) -> int:
        """Number of stride-2 encoder layers that makes the mask grid equal the conv5 grid."""
        return 2 + int(math.log2(self.stem_stride))

    @property
    def encoding_channels(self) -> int:
        """Channels of the encoding."""
        return channels_of_encoding(self.levels, self.encoding_ratio)


@dataclass(frozen=True)
class GameConfig:
    """Damage, the adversarial game and its loss weights."""

    drop_rate: ShareBelowOne = 0.5  # share of encoding cells dropped (paper, Table 1 baseline)
    fill: Fill = "avg3"  # what a dropped cell becomes (code: 3x3 average of the undamaged encoding)
    repair: Repair = "distributed"  # blocks before every decoder layer (paper); all before the first is "local" (b),
    # "none" decodes the damage as it is (k), "gan" puts a generator's images in place of repaired ones (l)
    gated: bool = True  # repair lands in dropped cells only (paper; False is ablation (i))
    zero_residual: bool = False  # the repair starts from the damage as it is decoded (ours; code: a random residual)
    real_images: RealImages = "decoded"  # the "real" class (paper; "original" is ablation (a))
    predict_mask: bool = True  # mask head and its loss (paper; False is ablation (g))
    history_batches: CountOrZero = 10  # past corrupted batches kept (paper; the size is ours, it states none); 0: none
    history_steps: AtLeastTwo = 20  # steps between two stored batches once all slots are full: past images are
    # history_batches x history_steps steps old on average (ours; hundreds in Shrivastava et al., CVPR 2017)
    update: Update = "alternating"  # paper; "simultaneous" is code
    adversarial_loss: AdversarialLoss = "nonsaturating"  # authors' intent; "minimax" is the paper, "confusion" code
    adversarial_halves: AdversarialHalves = "corrupt"  # paper: the minimum over the repair network; "both" is code
    mask_targets: MaskTargets = "repaired"  # paper: corrupt images only; "both" is code
    mask_weight: NotNegative = 0.1  # code
    kept_weight: NotNegative = 0.0  # pixel loss on kept cells against the input; 30 in code, absent from the paper
    repair_mask_loss: bool = False  # code, by accident: the repair network also minimises the mask loss
    weight_decay: NotNegative = 5e-5  # times half the squared norm of every kernel (code)


@dataclass(frozen=True)
class TrainingConfig:
    """Budget, optimizers, precision of record keeping. Steps are optimizer updates, one batch each."""

    batch_size: Count = 256  # images, over all replicas (code: 128 on each of two)
    autoencoder_steps: Count = 195_250  # code: 500 epochs of 100,000 photos
    spotter_steps: Count = 195_250  # code
    autoencoder_learning_rate: Positive = 3e-4  # Adam (code)
    discriminator_learning_rate: Positive = 3e-4  # Adam (code)
    repair_learning_rate: Positive = 3e-4  # Adam (code)
    final_learning_rate_share: Share = 0.01  # code: linear to 1 % of the start ...
    decay_share: ShareOfSome = 0.9  # ... over this share of the steps, then flat
    adam_beta_1: ShareBelowOne = 0.5  # code
    adam_epsilon: Positive = 1e-5  # code
    reconstruction_weight: Positive = 30.0  # code: 30 x mean squared error of images in [-1, 1]
    precision: Precision = "float32"  # code; "mixed_bfloat16" (ours): convolutions in bfloat16, half the memory
    micro_batches: Count = 1  # ours: equal parts of a batch, computed one after the other to save memory
    recompute: bool = False  # ours: decoder and repair network are computed again in the backward pass, to save memory
    seed: CountOrZero = 0  # of every random draw: weights, batches, damage, dropout
    deterministic: bool = True  # same seed, same weights, bit for bit, on one device
    steps_per_epoch: Count = 781  # steps between two lines of metrics (code: one pass over 100,000 at 128)
    save_history: bool = True  # ours: checkpoints hold the history buffer; False: small ones, resumed with an empty one
    steps_per_execution: Count = 1  # ours: steps in one loop of the graph, at most: docs/precision-and-memory.md
    checkpoint_steps: Count = 781  # steps between two checkpoints
    keep_checkpoints: Count = 2  # the newest ones of a stage
    picture_epochs: Count = 10  # epochs between two picture grids
    probe_epochs: Count = 10  # epochs between two health probes (kNN, linear, effective rank)
    linear_probe: bool = True  # ours: with labels, probe conv5 of the held-out photos with a linear classifier too


@dataclass(frozen=True)
class FinetuneConfig:
    """How a network is trained with labels in an evaluation, see `tf_spot.evaluation.finetune`.

    Adam, its rate falling along half a cosine to zero; the epoch with the best held-out score is kept. Source for all:
    ours, for smaller budgets than the code's own recipe, which is `TransferConfig`. `help` is that of the option of
    `tf-spot evaluate`; a field without it has no option. Results record all fields.
    """

    trained_layers: int = field(  # convolutions, from conv5 down, besides the head (ours)
        default=len(LAYERS),
        metadata={"help": "convolutions trained besides the head, from the top; 0: the head alone"},
    )
    norms: FinetuneNorms = field(  # batch norm while training: by the batch (code), or as at inference (ours)
        default="adapt",
        metadata={"help": "batch norm: adapt its moments to the photos, or keep them frozen; for probes frozen, else"},
    )
    rescale: bool = field(  # every channel to mean 0, variance 1 first (ours); see models/data_dependent_init.py
        default=False, metadata={"help": "first rescale every channel to fit the photos"}
    )
    learning_rate: float = field(default=1e-3, metadata={"help": "of Adam at the start"})  # Adam (ours)
    epochs: int = field(
        default=12,
        metadata={"help": "passes over the photos, at most; transfer 400, linear with --solver sgd 100, else"},
    )  # (ours)
    patience: int = field(  # epochs (ours)
        default=5, metadata={"help": "epochs without a better held-out score before training ends"}
    )
    batch_size: int = 32  # images (ours)
    held_out_every: ClassVar[int] = 10  # photos (ours): one training label in so many chooses the epoch
    rescaled_to: ClassVar[int] = 256  # images (ours) whose moments `rescale` takes

    def __post_init__(self) -> None:
        if not 0 <= self.trained_layers <= len(LAYERS):
            raise UserError(
                f"--trained-layers must be from 0 (the head alone) to {len(LAYERS)}; received: {self.trained_layers}"
            )
        if self.norms not in typing.get_args(FinetuneNorms):
            allowed = " or ".join(typing.get_args(FinetuneNorms))
            raise UserError(f"--norms must be {allowed}; received: {self.norms}")
        for name, least in (("epochs", 1), ("patience", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UserError(f"--{option} must be {least} or more; received: {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise UserError(f"--learning-rate must be between 0 and 1; received: {self.learning_rate}")


@dataclass(frozen=True)
class TransferConfig:
    """How a classifier on conv5 is trained by the authors' own protocol, see `tf_spot.evaluation.transfer`.

    Source for all: code, fine_tune_stl10.py; the large layers are those of its first version (June 2018).
    """

    epochs: Count = 400  # passes over the labelled photos
    batch_size: Count = 128  # images; all photos where there are fewer
    learning_rate: Positive = 1e-3  # Adam
    final_learning_rate_share: Share = 0.01  # linear to 1 % of the start ...
    decay_share: ShareOfSome = 0.9  # ... over this share of the steps, then flat
    adam_beta_1: ShareBelowOne = 0.5
    adam_epsilon: Positive = 1e-5
    weight_decay: NotNegative = 5e-5  # times half the squared norm of every trained kernel
    hidden_units: Count = 4096  # of each of the two layers between conv5 and the classes, where conv5 is finetuned
    dropout_rate: ShareBelowOne = 0.5  # after each of them

    def __post_init__(self) -> None:
        fields.check(self, "transfer.")


@dataclass(frozen=True)
class Config:
    """The whole recipe of a run."""

    preset: str = "stl10"
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    game: GameConfig = field(default_factory=GameConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        _check(self)

    def replace(self, **changes: Any) -> Config:
        """A copy with dotted fields changed: `config.replace(**{"game.drop_rate": 0.7})`."""
        nested = self.to_dict()
        for name, value in changes.items():
            group, _, leaf = name.partition(".")
            if group == "preset" and not leaf:
                nested["preset"] = value
            elif leaf and isinstance(nested.get(group), dict) and leaf in nested[group]:
                nested[group][leaf] = value
            else:
                known = [f"{g}.{k}" for g, v in nested.items() if isinstance(v, dict) for k in v]
                raise fields.unknown(name, known)
        return Config.from_dict(nested)

    def override(self, assignments: typing.Sequence[str]) -> Config:
        """A copy changed by command-line texts such as `"game.drop_rate=0.7"`."""
        changes = {}
        for text in assignments:
            name, equals, value = text.partition("=")
            if not equals:
                raise UserError(f"--set wants field.name=value; received: {text!r}; for example game.drop_rate=0.7")
            changes[name.strip()] = _parse(value.strip())
        return self.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Config:
        return fields.build(Config, values)

    @staticmethod
    def load(path: str | Path) -> Config:
        """Read what `to_json` wrote; a field that did not exist then has the value that it would have had."""
        try:
            values = read_json(Path(path))
        except OSError as error:
            raise UserError(
                f"a recipe is a file such as RUN/config.json; received: {path} ({error.strerror})"
            ) from None
        try:
            with interpreting(Path(path)):
                return Config.from_record(values)
        except DamagedFile:
            raise
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    @staticmethod
    def from_record(values: dict[str, Any]) -> Config:
        """Make the recipe that a file has; a field that did not exist then has the value that it would have had."""
        completed = copy.deepcopy(values)
        _add_later_fields(completed)
        return Config.from_dict(completed)


def _add_later_fields(values: dict[str, Any]) -> None:
    """Complete a recipe of before these fields existed, so that a run which it began goes on as it was."""
    network, game = values.get("network", {}), values.get("game", {})
    if "adversarial_loss" in game:
        game.setdefault("adversarial_halves", "both")
        game.setdefault("history_steps", 2)  # every batch was stored
    if "stem_stride" in network and "width" in network and "encoding_ratio" not in network:
        # The encoding had twice the channels of the layer before it, to a multiple of 8.
        cell = 4 * network["stem_stride"]
        network["encoding_ratio"] = max(8, 8 * round(ENCODER_CHANNELS * cell * network["width"] / 8)) / (3 * cell**2)


def channels_of_encoding(levels: int, ratio: float) -> int:
    """Return the channels that give an encoding `ratio` times its image's numbers: a cell has 4^levels pixels of 3."""
    return max(1, round(ratio * 3 * 4**levels))


def check_field(name: str, value: Any) -> None:
    """Raise a `UserError` unless the field of that dotted name, such as `game.drop_rate`, allows `value`."""
    group, _, leaf = name.partition(".")
    fields.checked(name, fields.hints(fields.hints(Config)[group])[leaf], value)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False}.get(text, text)


def _check(config: Config) -> None:
    for group in ("data", "network", "game", "training"):
        fields.check(getattr(config, group), f"{group}.")
    if config.game.update == "simultaneous" and config.game.history_batches:
        raise UserError(
            "game.update=simultaneous trains on fresh images only and wants game.history_batches=0; received: "
            f"game.history_batches={config.game.history_batches}"
        )
    if config.game.repair == "gan" and (config.game.predict_mask or config.game.kept_weight):
        raise UserError(
            "game.repair=gan has no dropped cells and wants game.predict_mask=false and game.kept_weight=0; received: "
            f"game.predict_mask={config.game.predict_mask}, game.kept_weight={config.game.kept_weight}"
        )
    if config.training.batch_size % config.training.micro_batches:
        raise UserError(
            "training.micro_batches must divide training.batch_size; received: "
            f"{config.training.micro_batches} micro batches of {config.training.batch_size} images"
        )
    _check_backbone(config.network)
    cell, stride = 2**config.network.levels, config.network.stem_stride
    if config.data.image_size % cell or config.data.image_size < 2 * cell:
        raise UserError(
            f"data.image_size must be a multiple of {cell} and at least {2 * cell} with network.stem_stride={stride}; "
            f"received: {config.data.image_size}"
        )


def _check_backbone(network: NetworkConfig) -> None:
    name, layers = network.backbone, network.backbone_layers_list
    if name not in BACKBONES and not is_own_backbone(name):
        raise UserError(
            f"network.backbone must be one of {', '.join(BACKBONES)}, or the file of a backbone of one's own, which "
            f"ends in .keras; received: {name!r}"
        )
    if name not in APPLICATIONS and (layers or network.backbone_weights != "random"):
        field = "backbone_layers" if layers else "backbone_weights"
        raise UserError(
            f"network.{field} is for models of keras.applications; received: network.backbone={name}; leave it out"
        )
    if layers is not None and (len(layers) != len(LAYERS) or len(set(layers)) != len(LAYERS)):
        raise UserError(
            f"network.backbone_layers must be the names of {len(LAYERS)} different layers with commas between; "
            f"received: {network.backbone_layers!r}"
        )
    if (name == "resnet18" or (name in APPLICATIONS and not layers)) and network.stem_stride != 4:
        raise UserError(
            f"network.backbone={name} has cells of 16 pixels, and so has the encoding with network.stem_stride=4; "
            f"received: network.stem_stride={network.stem_stride}; add --set network.stem_stride=4"
        )
    if name in APPLICATIONS and not name.startswith("MobileNet") and network.width != 1:
        raise UserError(
            f"network.backbone={name} comes in one width and wants network.width=1; received: {network.width}; add "
            "--set network.width=1, or take resnet18 or a MobileNet"
        )


def is_own_backbone(name: str) -> bool:
    """True for a `network.backbone` that is the file of a backbone of one's own."""
    return name.endswith(".keras")


# Models of keras.applications whose last map of stride 16 has exactly a sixteenth of the image's side. Those left out
# trim the borders of their maps (Inception, NASNet).
APPLICATIONS = (
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge",
    "DenseNet121", "DenseNet169", "DenseNet201",
    "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4", "EfficientNetB5",
    "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3",
    "EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S",
    "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small",
    "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2",
    "VGG16", "VGG19", "Xception",
)  # fmt: skip
BACKBONES = ("alexnet", "resnet18", *APPLICATIONS)

PAPER = Config()

# Fixed parts of the architecture (code); channel counts before `width` is applied.
ENCODER_CHANNELS = 32  # E0; doubled by every further layer, scaled by width but for the last, the encoding
TRUNK_CHANNELS = (96, 256, 384, 384, 256)  # conv1 ... conv5
TRUNK_KERNELS = (None, 5, 3, 3, 3)  # pixels; conv1's is network.stem_kernel
TRUNK_GROUPS = (1, 2, 1, 2, 2)
TRUNK_BIAS = 0.1  # initial bias of the discriminator's convolutions and fc_2
RESPONSE_NORM: dict[str, Any] = {"depth_radius": 2, "alpha": 2e-5, "beta": 0.75, "bias": 1.0}
IMAGE_MEAN = (123.68, 116.78, 103.94)  # RGB, images in [0, 255], subtracted at the discriminator's input

# 64 px and half the width, for the presets below.
_HALF_SIZE: dict[str, Any] = {
    "data.image_size": 64,
    "network.width": 0.5,
    "network.stem_kernel": 7,
    "network.stem_stride": 2,  # an 8x8 grid: 16 cells would be too few
    "network.trunk_norm": "batch",  # without it little is learned in hours
    "network.fc_units": 512,
    "game.zero_residual": True,  # a short training need not first undo a random residual
    "game.mask_weight": 1.0,
}

# Presets are differences from the paper, each with its reason.
PRESETS: dict[str, dict[str, Any]] = {
    # The paper's STL-10 baseline:
    #   tf-spot train --data stl10:stl10_binary --preset stl10 --out RUN
    # No full run has been made. 195,250 steps of 256 images per stage are 0.23 EFLOP for stage 1 (4.61 GFLOP per
    # image) and 0.62 EFLOP for stage 2 (12.37 GFLOP per image), counted at 96 px: a job for GPUs, about 25 days at
    # the two-core CPU rates of results/benchmarks. The paper reports 79.94 % for this row of its Table 1.
    "stl10": {},
    # The authors' public code (June 2019), including its accidental losses:
    #   tf-spot train --data stl10:stl10_binary --preset authors2019 --out RUN
    # No full run has been made. The schedule is that of stl10: 0.23 EFLOP for stage 1 and 0.60 EFLOP for stage 2
    # (11.95 GFLOP per image, as simultaneous updates share one forward pass). No published figure is of exactly
    # this recipe.
    "authors2019": {
        "game.drop_rate": 0.7,  # keep probability 0.3 in the code
        "game.history_batches": 0,
        "game.update": "simultaneous",
        "game.adversarial_loss": "confusion",  # the real-class loss reaches the repair network as well
        "game.adversarial_halves": "both",
        "game.mask_targets": "both",
        "game.kept_weight": 30.0,
        "game.repair_mask_loss": True,
    },
    # 64 px and half width, for two CPU cores, with the paper's game:
    #   tf-spot train --data folder:PHOTOS --preset small --out RUN
    # About two hours of steps on two cores with bfloat16 (--set training.precision=mixed_bfloat16), more without.
    # Its run is that of the README. After 16,000 steps of the game critics see most of the damage; around a coarser
    # autoencoder they see no less beyond doubt, and features are no better (docs/findings.md).
    "small": {
        **_HALF_SIZE,
        "training.batch_size": 32,
        "training.autoencoder_steps": 12_000,  # the game needs an autoencoder that copies: 24 dB and more
        "training.spotter_steps": 26_000,
        "training.autoencoder_learning_rate": 1.5e-2,  # learns four times as fast as with 2e-3
        "training.discriminator_learning_rate": 1e-3,
        "training.repair_learning_rate": 1e-3,
        "training.steps_per_epoch": 500,
        "training.checkpoint_steps": 500,
        "training.picture_epochs": 4,
        "training.probe_epochs": 4,
    },
    # `small` for about ten minutes (an estimate) of one data-centre GPU:
    #   tf-spot train --data folder:PHOTOS --preset gpu --out RUN
    # 1.5 million images of the autoencoder and 1.2 million of the game.
    "gpu": {
        **_HALF_SIZE,
        "training.batch_size": 128,
        "training.autoencoder_steps": 12_000,
        "training.spotter_steps": 9_600,
        "training.autoencoder_learning_rate": 2e-2,  # learns faster than with 4e-2
        "training.discriminator_learning_rate": 2e-3,  # as in `small`, times the square root of the batch's
        "training.repair_learning_rate": 2e-3,
        "training.precision": "mixed_bfloat16",
        "training.deterministic": False,  # costs speed on a GPU
        "training.steps_per_epoch": 400,
        "training.checkpoint_steps": 1_600,
        "training.picture_epochs": 6,
        "training.probe_epochs": 4,
    },
    # 32 px and a quarter of the width, for tests and the demo:
    #   tf-spot demo
    #   tf-spot train --data photos --preset tiny --out RUN
    # About three minutes of steps on two idle cores. On the bundled photos fresh critics find the repair no better
    # than by chance (results/repair-photos.json), and conv5 is five points above random weights, two standard errors
    # (results/linear-photos.json).
    "tiny": {
        "data.image_size": 32,
        "network.width": 0.25,
        "network.stem_kernel": 5,
        "network.stem_stride": 1,
        "network.trunk_norm": "batch",
        "network.fc_units": 128,
        "game.zero_residual": True,
        "game.mask_weight": 1.0,
        "training.batch_size": 64,
        "training.autoencoder_steps": 1_000,
        "training.spotter_steps": 1_600,
        "training.autoencoder_learning_rate": 2e-2,
        "training.discriminator_learning_rate": 1e-3,
        "training.repair_learning_rate": 1e-3,
        "training.steps_per_epoch": 100,
        "training.checkpoint_steps": 100,
        "training.picture_epochs": 2,
        "training.probe_epochs": 2,
    },
}


@dataclass(frozen=True)
class Ablation:
    """A row of the paper's Table 1, as a difference from the baseline."""

    says: str
    changes: dict[str, Any]
    paper_accuracy: float  # percent, STL-10


# Source: paper, Table 1. In (h) the autoencoder is another one too.
ABLATIONS: dict[str, Ablation] = {
    "baseline": Ablation("the method as it is", {}, 79.94),
    "a": Ablation("photos themselves as real images", {"game.real_images": "original"}, 74.99),
    "b": Ablation("local instead of distributed repair", {"game.repair": "local"}, 77.51),
    "c": Ablation("drop rate 0.1", {"game.drop_rate": 0.1}, 70.92),
    "d": Ablation("drop rate 0.3", {"game.drop_rate": 0.3}, 76.26),
    "e": Ablation("drop rate 0.7", {"game.drop_rate": 0.7}, 81.06),
    "f": Ablation("drop rate 0.9", {"game.drop_rate": 0.9}, 79.60),
    "g": Ablation("no mask prediction", {"game.predict_mask": False}, 78.44),
    "h": Ablation("3x3 encoder convolutions", {"network.encoder_kernel": 3}, 79.84),
    "i": Ablation("no gating of the repair", {"game.gated": False}, 79.66),
    "j": Ablation("no history", {"game.history_batches": 0}, 79.76),
    "k": Ablation("no repair network", {"game.repair": "none"}, 54.74),
    "l": Ablation(
        "a GAN instead of damage and repair",
        # of photos, as a user of 2018 would have trained it
        {"game.repair": "gan", "game.real_images": "original", "game.predict_mask": False, "game.kept_weight": 0.0},
        56.59,
    ),
}


def preset(name: str) -> Config:
    """The configuration called `name`: one of `PRESETS`.

    Raises:
        UserError: no preset has that name.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset; allowed: {', '.join(PRESETS)}; received: {name}")
    return PAPER.replace(preset=name, **PRESETS[name])

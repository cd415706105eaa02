"""Which splits and columns of a Hugging Face data set are used, by their names and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tf_spot.data.folder_splits import TEST, TRAIN, VALIDATION
from tf_spot.errors import UserError
from tf_spot.storage.spec import NONE

if TYPE_CHECKING:
    import datasets

UNLABELLED = ("unlabelled", "unlabeled", "unsupervised")
IMAGE_NAMES, LABEL_NAMES = ("image", "img"), ("label", "labels")  # taken where several columns would do
_TEXT_TYPES = ("string", "large_string", "int", "uint", "bool")  # how those begin that can name a class


class Choice(NamedTuple):
    """Names of splits and columns; None where there is none."""

    train: str
    test: str | None
    unlabelled: str | None
    image: str
    label: str | None


def choose(spec: str, splits: Mapping[str, datasets.Dataset], options: Mapping[str, str]) -> Choice:
    """Choose what `options` name, and the rest by names and types.

    Raises:
        UserError: no such split or column, none that would do, or several and none with a usual name.
    """
    train = _split(spec, splits, options.get("train"), TRAIN)
    if train is None and len(splits) == 1 and not {name.lower() for name in splits} & {*TEST, *VALIDATION}:
        (train,) = splits  # such as `full`
    if train is None:
        raise UserError(
            f"{spec} must have a split `train`; received: {', '.join(splits)}; name one: {spec},train=SPLIT"
        )
    features = splits[train].features
    label = _label(spec, features, options.get("label"))
    test = None
    if options.get("test") != NONE:
        usual = [name for names in (TEST, VALIDATION) if (name := _split(spec, splits, None, names)) is not None]
        # The labels of a competition's test photos are withheld.
        known = [name for name in usual if label is None or _has_labels(splits[name], label)]
        test = _split(spec, splits, options["test"], ()) if "test" in options else next(iter(known), None)
    if test is not None and label is not None and label not in splits[test].features:
        raise UserError(
            f"the test split of {spec} must have the column of labels, {label}; received: {test} with the columns "
            f"{', '.join(splits[test].features)}; name another: {spec},test=SPLIT, or leave it out: test={NONE}"
        )
    unlabelled = _split(spec, splits, options.get("unlabelled"), UNLABELLED)
    return Choice(train, test, unlabelled, _image(spec, features, options.get("image")), label)


def _has_labels(rows: datasets.Dataset, column: str) -> bool:
    return column in rows.features and any(texts(rows, column))


def texts(rows: datasets.Dataset, column: str) -> list[str | None]:
    """Return the class of each row; None where there is none or it is withheld."""
    names = class_names(rows, column)
    values = rows.select_columns([column])[:][column]
    if names:
        return [names[value] if value is not None and value >= 0 else None for value in values]
    return [None if value is None or value == "" else str(value) for value in values]


def class_names(rows: datasets.Dataset, column: str) -> list[str]:
    """Return the names that the data set has for its classes, by label; empty where it has none."""
    return list(getattr(rows.features[column], "names", None) or ())


def _split(spec: str, splits: Mapping[str, datasets.Dataset], given: str | None, names: Sequence[str]) -> str | None:
    """Return the split that is given, else the first that has one of some names in any case."""
    if given is not None:
        if given not in splits:
            raise UserError(
                f"{spec} must have the split that it names; received: {given}; allowed: {', '.join(splits)}"
            )
        return given
    return next((split for name in names for split in splits if split.lower() == name), None)


def _image(spec: str, features: datasets.Features, given: str | None) -> str:
    """Return the column of the photos."""
    import datasets

    if given is not None:
        return _known(spec, features, given)  # of any type that can be cast to an image
    found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    return _only(spec, features, found, IMAGE_NAMES, "image") or _none(spec, features)


def _none(spec: str, features: datasets.Features) -> str:
    raise UserError(
        f"{spec} must have a column of the type Image; received: {_listed(features)}; one that holds encoded photos or "
        f"paths can be named: {spec},image=COLUMN"
    )


def _label(spec: str, features: datasets.Features, given: str | None) -> str | None:
    """Return the column of the labels."""
    import datasets

    if given == NONE:
        return None
    usable = [
        name
        for name, feature in features.items()
        if isinstance(feature, datasets.ClassLabel) or str(getattr(feature, "dtype", "")).startswith(_TEXT_TYPES)
    ]
    if given is not None:
        if _known(spec, features, given) not in usable:
            raise UserError(
                f"a label must be a class, text or a whole number; received: {given} of {_listed(features)}"
            )
        return given
    classes = [name for name in usable if isinstance(features[name], datasets.ClassLabel)]
    return _only(spec, features, classes or [name for name in usable if name in LABEL_NAMES], LABEL_NAMES, "label")


def _only(spec: str, features: datasets.Features, found: list[str], usual: Sequence[str], option: str) -> str | None:
    """Return the one column that was found, or the one of a usual name; None where there is none."""
    best = [name for name in found if name in usual] or found
    if len(best) > 1:
        raise UserError(
            f"{spec} has several columns for the {option}: {', '.join(best)}; received: {_listed(features)}; choose "
            f"one: {spec},{option}=COLUMN"
        )
    return best[0] if best else None


def _known(spec: str, features: datasets.Features, name: str) -> str:
    if name not in features:
        raise UserError(f"{spec} must have the column that it names; received: {name}; allowed: {', '.join(features)}")
    return name


def _listed(features: datasets.Features) -> str:
    return ", ".join(
        f"{name} ({getattr(feature, 'dtype', None) or type(feature).__name__})" for name, feature in features.items()
    )

"""Dataclass fields that carry their own range: declared once, checked wherever a value comes from.

    drop_rate: Annotated[float, Range("[0, 1)")] = 0.5

Literals are choices, a nested dataclass is a group of fields.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from tf_spot.errors import UserError

Group = TypeVar("Group")


class Range:
    """The numbers a field allows, in the notation of intervals: `[0, 1)`, `(0, inf)`.

    Args:
        interval: a square bracket where the end itself is allowed, a round one where it is not.
    """

    def __init__(self, interval: str) -> None:
        match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", interval)
        if match is None:
            raise ValueError(f"an interval is written like [0, 1). Received: {interval!r}")
        self.interval = interval
        self.low, self.high = float(match[2]), float(match[3])
        # A round bracket leaves its end out: [0, 1) holds 0 and not 1.
        self.low_allowed, self.high_allowed = match[1] == "[", match[4] == "]"

    def __contains__(self, value: float) -> bool:
        return (self.low < value < self.high) or (
            (value == self.low and self.low_allowed) or (value == self.high and self.high_allowed)
        )

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"in {self.interval}"
        low = f"{self.low:g}"
        return f"{low} or more" if self.low_allowed else f"above {low}"


def hints(group: type) -> dict[str, Any]:
    """Return {field: its annotation, the range included} of a dataclass."""
    if group not in _HINTS:
        # Evaluates every annotation: worth it once per class, not for each of the many configurations of a table.
        _HINTS[group] = typing.get_type_hints(group, include_extras=True)
    return _HINTS[group]


_HINTS: dict[type, dict[str, Any]] = {}


def kind_and_range(hint: object) -> tuple[Any, Range | None]:
    """Return the type of an annotation, and its range if it has one."""
    if typing.get_origin(hint) is Annotated:
        kind, *extras = typing.get_args(hint)
        return kind, next((extra for extra in extras if isinstance(extra, Range)), None)
    return hint, None


def build(group: type[Group], values: Mapping[str, Any], prefix: str = "") -> Group:
    """Make a dataclass from nested dictionaries.

    Args:
        group: the dataclass.
        values: by field; fields left out have their defaults.
        prefix: of the names in messages, such as `game.`.

    Raises:
        UserError: an unknown field, or a value of another type or out of its range.
    """
    known = hints(group)
    if not isinstance(values, Mapping):
        raise UserError(
            f"{prefix.strip('.') or 'a recipe'} must be fields by name; received: {values!r} ({type(values).__name__})"
        )
    others = sorted(set(values) - set(known), key=str)
    if others:
        raise unknown(f"{prefix}{others[0]}", [f"{prefix}{name}" for name in known])
    built: dict[str, Any] = {}
    for name, value in values.items():
        nested = dataclasses.is_dataclass(known[name])
        built[name] = (
            build(known[name], value, f"{prefix}{name}.") if nested else checked(f"{prefix}{name}", known[name], value)
        )
    return group(**built)


def unknown(name: str, known: Sequence[str]) -> UserError:
    """Return the error for a name that no field has; it names the nearest ones."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0)
    # A name without its group, such as `drop_rate`, means the field of that name.
    same = [field for field in known if field.rpartition(".")[2] == name.rpartition(".")[2]]
    nearest = list(dict.fromkeys([*same, *near]))[:3]
    more = f" and {len(known) - len(nearest)} more" if len(known) > len(nearest) else ""
    return UserError(
        f"unknown field; allowed: {', '.join(nearest)}{more}; received: {name}; docs/configuration.md lists them all"
    )


def check(group: object, prefix: str = "") -> None:
    """Raise a `UserError` for the first field of a dataclass whose value is not allowed."""
    for name, hint in hints(type(group)).items():
        if not dataclasses.is_dataclass(hint):
            checked(f"{prefix}{name}", hint, getattr(group, name))


def checked(name: str, hint: Any, value: Any) -> Any:
    """Return `value` as the annotation wants it, an int passing for a float; nothing else is converted.

    Raises:
        UserError: another type, a number that is not finite or out of the range, or a value that is no choice.
    """
    kind, allowed = kind_and_range(hint)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        for choice in choices:
            if value == choice and not isinstance(value, bool):
                return choice  # 4 for 4.0
        raise UserError(f"{name} must be one of {', '.join(map(str, choices))}; received: {value!r}")
    # bool is a subclass of int in Python; here it is a type of its own.
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise UserError(f"{name} must be {kind.__name__}; received: {value!r} ({type(value).__name__})")
    if kind is float and not math.isfinite(value):
        raise UserError(f"{name} must be a finite number; received: {value!r}")
    if allowed is not None and value not in allowed:
        raise UserError(f"{name} must be {allowed}; received: {value}")
    return value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """Return {dotted field: (old, new)} of the fields that differ, of two groups as dictionaries."""
    flat = []
    for config in (old, new):
        groups = {k: v if isinstance(v, dict) else {"": v} for k, v in config.items()}
        flat.append({f"{group}.{k}".strip("."): v for group, values in groups.items() for k, v in values.items()})
    return {name: (flat[0][name], value) for name, value in flat[1].items() if flat[0][name] != value}

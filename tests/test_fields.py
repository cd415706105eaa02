"""Ranges and choices of fields."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import pytest

from tf_spot import fields
from tf_spot.errors import UserError
from tf_spot.fields import Range


@dataclasses.dataclass(frozen=True)
class Inner:
    share: Annotated[float, Range("[0, 1)")] = 0.5
    count: Annotated[int, Range("(0, inf)")] = 1


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    on: bool = False
    inner: Inner = dataclasses.field(default_factory=Inner)


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "text"),
    [
        ("[0, 1)", (0, 0.5), (1, -0.1), "in [0, 1)"),
        ("(0, inf)", (1e-9, 1e9), (0, -1), "above 0"),
        ("[0, inf)", (0, 7), (-1e-9,), "0 or more"),
        ("(0.5, 2]", (2, 1), (0.5, 2.1), "in (0.5, 2]"),
    ],
)
def test_a_range(interval: str, inside: tuple[float, ...], outside: tuple[float, ...], text: str) -> None:
    allowed = Range(interval)
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == text


def test_an_interval_is_written_in_one_way() -> None:
    with pytest.raises(ValueError, match=r"like \[0, 1\)"):
        Range("0..1")


def test_build_makes_nested_groups_and_converts_ints_to_floats() -> None:
    built = fields.build(Outer, {"kind": "b", "inner": {"share": 0, "count": 2.0}})
    assert built == Outer(kind="b", inner=Inner(0.0, 2))
    assert (type(built.inner.share), type(built.inner.count)) == (float, int)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kin": 1}, "unknown field; allowed: kind, inner, on and 1 more; received: kin;"),
        ({"inner": {"size": 1}}, "allowed: inner.share, inner.count; received: inner.size;"),
        ({"inner": [1]}, r"inner must be fields by name; received: \[1\] \(list\)"),
        ({"kind": "c"}, "kind must be one of a, b; received: 'c'"),
        ({"inner": {"share": 1.0}}, r"inner.share must be in \[0, 1\); received: 1.0"),
        ({"inner": {"count": 0}}, "inner.count must be above 0; received: 0"),
        ({"inner": {"count": True}}, "inner.count must be int; received: True"),
        ({"inner": {"share": float("nan")}}, "inner.share must be a finite number"),
        ({"on": 1}, "on must be bool; received: 1"),
        ({"name": 1}, "name must be str; received: 1"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fields.build(Outer, values)


def test_check_looks_at_a_group_that_was_made_directly() -> None:
    fields.check(Inner())
    with pytest.raises(UserError, match="inner.share must be in"):
        fields.check(Inner(share=2.0), "inner.")

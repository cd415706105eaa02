"""Names of files from outside: as one line of text, and within the length of a file's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tf_spot.storage.names import NAME_BYTES, fitting, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a/b c.jpg", "a/b c.jpg"),
        ("日本語 été.png", "日本語 été.png"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        (os.fsdecode(b"\xe9t\xe9"), "\\xe9t\\xe9"),
    ],
)
def test_a_name_is_one_line_without_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown.encode("utf-8")


@pytest.mark.parametrize("letter", ["a", "é", "日", "🐜"])
def test_a_name_of_any_length_and_script_fits(letter: str, tmp_path: Path) -> None:
    longest = letter * (NAME_BYTES // len(letter.encode()))
    one, other = fitting(longest, ".json"), fitting(longest[:-1] + "x", ".json")
    for name in (one, other):
        (tmp_path / name).touch()  # no OSError
        assert name.endswith(".json") and name.startswith(letter * 10)
    assert one != other, "what is cut stays distinct"
    assert fitting("short", ".json") == "short.json"
    outside, inside = fitting("linear-x/../../config", ".json"), fitting("linear-x_.._.._config", ".json")
    assert (tmp_path / outside).parent == tmp_path and "/" not in outside and outside != inside
    assert "\0" not in fitting("a\0b")
    assert len(os.fsencode(fitting("a" * 250, ".json"))) == NAME_BYTES and "-" not in fitting("a" * 250, ".json")

"""JSON that was damaged is told in one line that names the file and the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.storage.json_files import NUMBER, DamagedFile, Form, interpreting, read_json

FORM: Form = {"name": str, "count": int, "share": NUMBER, "items": [{"bytes": int}], "classes": (list, type(None))}
GOOD = '{"name": "a", "count": 1, "share": 1, "items": [{"bytes": 2}, {"bytes": 3}], "classes": null, "more": 1}'


def test_what_has_the_form_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(GOOD)
    assert read_json(tmp_path / "a.json", FORM)["items"][1] == {"bytes": 3}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no JSON"),
        (b"\0" * 40, "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (GOOD[:40].encode(), "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "where all must be an object, not a list"),
        (b"{}", "which lacks name"),
        (GOOD.replace('"a"', "7").encode(), "where name must be text, not a whole number"),
        (GOOD.replace(" 1,", " true,", 1).encode(), "where count must be a whole number, not true or false"),
        (
            GOOD.replace('"bytes": 3', '"bytes": "3"').encode(),
            r"items\[1\].bytes must be a whole number, not text",
        ),
        (GOOD.replace('"bytes": 3', '"size": 3').encode(), r"which lacks items\[1\].bytes"),
        (GOOD.replace("null", "{}").encode(), "where classes must be a list or null, not an object"),
    ],
)
def test_damage_names_the_file_and_the_place(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DamagedFile, match=f"received: .*a.json, .*{says}") as caught:
        read_json(tmp_path / "a.json", FORM)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "a.json")


def test_errors_of_what_interprets_a_file_name_it(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="received: .*a.json, KeyError: 'value'"), interpreting(tmp_path / "a.json"):
        {}["value"]
    with pytest.raises(UserError, match="^mine$"), interpreting(tmp_path / "a.json"):
        raise UserError("mine")
    with pytest.raises(PermissionError), interpreting(tmp_path / "a.json"):
        raise PermissionError(13, "Permission denied")

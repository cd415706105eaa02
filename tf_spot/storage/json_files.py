"""Read JSON that this package wrote, and say in one line what is wrong with a file that was damaged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tf_spot.errors import UserError
from tf_spot.storage.regular_files import open_regular

# A type, several types, {key: form} for an object with at least these keys, or [form] for a list of such values.
Form: TypeAlias = "type | tuple[type, ...] | Mapping[str, Form] | list[Form]"
NUMBER = (int, float)
TEXT_OR_NONE = (str, type(None))
_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class DamagedFile(UserError):
    """A file that this package wrote is not as it was written."""


def read_json(path: Path, form: Form = dict) -> Any:
    """Read a file of JSON.

    Args:
        path: the file.
        form: what it must hold at least.

    Raises:
        DamagedFile: not JSON, or of another form.
        OSError: missing, not a regular file, or not to be read.
    """
    with open_regular(path) as file:
        return parse(file.read(), form, str(path))


def parse(text: bytes, form: Form, name: str) -> Any:
    """Return the value that JSON text holds.

    Args:
        text: UTF-8.
        form: what it must hold at least.
        name: of the file, and of the line in it, for messages.

    Raises:
        DamagedFile: not JSON, or of another form.
    """
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(name, f"no JSON ({error})") from error
    wrong = mismatch(value, form)
    if wrong is not None:
        raise damaged(name, wrong)
    return value


def damaged(name: object, what: str) -> DamagedFile:
    """Return the error for a file, with what is wrong with it."""
    return DamagedFile(
        f"a file must be as it was written; received: {name}, {what}; restore it from a copy or make it anew"
    )


@contextlib.contextmanager
def interpreting(path: Path) -> Iterator[None]:
    """Name the file whose content is being interpreted, should something in it be missing or of a wrong type.

    Raises:
        DamagedFile: instead of the error of the code inside.
    """
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system; Pillow's own have no number
            raise
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def mismatch(value: object, form: Form, name: str = "") -> str | None:
    """Return the first place where a value differs from a form, as text; None if it has the form."""
    if isinstance(form, list):
        inside = [(f"{name}[{i}]", item, form[0]) for i, item in enumerate(value)] if isinstance(value, list) else []
        kinds: tuple[type, ...] = (list,)
    elif isinstance(form, Mapping):
        found = value if isinstance(value, dict) else {}
        missing = next((key for key in form if isinstance(value, dict) and key not in value), None)
        if missing is not None:
            return f"which lacks {f'{name}.{missing}'.strip('.')}"
        inside = [(f"{name}.{key}".strip("."), found[key], inner) for key, inner in form.items() if key in found]
        kinds = (dict,)
    else:
        inside, kinds = [], form if isinstance(form, tuple) else (form,)
    # bool is a subclass of int in Python; here it is a type of its own.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(_NAMES.get(kind, "null") for kind in kinds)
        return f"where {name or 'all'} must be {wanted}, not {_NAMES.get(type(value), 'null')}"
    return next((wrong for place, item, inner in inside if (wrong := mismatch(item, inner, place)) is not None), None)

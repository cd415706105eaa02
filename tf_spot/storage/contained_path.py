"""Paths that a file of a folder names: whoever wrote the file must not choose what is opened elsewhere."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tf_spot.errors import UserError


def contained_path(folder: Path, name: object, named_by: str) -> Path:
    """Return FOLDER/NAME, for a name that a file of the folder gives.

    A link inside the folder is followed: who checks the content by its digest need not know where it lies.

    Args:
        folder: of the file.
        name: what the file says.
        named_by: the file's name, for the message.

    Raises:
        UserError: no relative path, or one that leads out of the folder.
    """
    path = PurePosixPath(name) if isinstance(name, str) else None
    if path is None or not path.parts or path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise UserError(
            f"paths in {named_by} of {folder} must be relative and stay inside it; received: {name!r}; write the "
            "folder again, or get it from its source again"
        )
    return folder / path

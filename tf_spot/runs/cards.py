"""The trained backbones that come with the package, by name: their cards, read without TensorFlow.

tf_spot/pretrained/NAME.json   the card: what the weights are, their SHA-256, how they were made and what they are worth
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tf_spot.errors import UserError
from tf_spot.storage.json_files import Form, read_json

FOLDER = Path(__file__).parents[1] / "pretrained"
Card = dict[str, Any]  # the JSON object, see `pretrained.write_pretrained`
CARD: Form = {"sha256": str, "image_size": int, "backbone": dict}  # what it holds at least


def pretrained_names() -> list[str]:
    """Return the names that `load_pretrained` takes."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def known_names() -> str:
    """Return the names for a message."""
    return ", ".join(pretrained_names()) or "none in this version"


def is_pretrained(source: str | Path) -> bool:
    """True for the name of a backbone that comes with the package; a run folder of that name comes first."""
    return str(source) in pretrained_names() and not (Path(source) / "config.json").exists()


def pretrained_card(name: str) -> Card:
    """Return the card of a trained backbone; `write_pretrained` says what it holds.

    Raises:
        UserError: no backbone has that name.
    """
    if name not in pretrained_names():
        raise UserError(f"unknown pretrained backbone; allowed: {known_names()}; received: {name}")
    card: Card = read_json(FOLDER / f"{name}.json", CARD)
    return card

"""Sources with options behind their place, and what is refused before TensorFlow is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.storage.spec import looks_local, parse_specs, split_options


def test_options() -> None:
    assert split_options("hf", "a/b,label=fine,train=full") == ("a/b", {"label": "fine", "train": "full"})
    assert split_options("wds", "x-{a,b}.tar,test=y,z.tar") == ("x-{a,b}.tar", {"test": "y,z.tar"})


@pytest.mark.parametrize(
    ("kind", "location", "says"),
    [
        ("hf", "a,colour=x", r"hf:NAME\[,config=...\].*; received: colour=x in a,colour=x"),
        ("hf", "a,label=", "received: label= in"),
        ("wds", "a.tar,label=a,label=b", "received: one twice in"),
        ("wds", ",label=a", "received: ,label=a"),
    ],
)
def test_options_that_are_refused(kind: str, location: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        split_options(kind, location)


@pytest.mark.parametrize("text", ["hf:./gone", "hf:/gone/x,label=a", "wds:gone-{0..3}.tar", "hf:a/b,colour=x"])
def test_refused_early(text: str) -> None:
    with pytest.raises(UserError):
        parse_specs(text)


@pytest.mark.parametrize("pattern", ["https://host/{0..9}.tar", "pipe:curl host/a.tar"])
def test_tars_elsewhere(pattern: str) -> None:
    with pytest.raises(UserError, match="tars must be files on this machine; .*download them first"):
        parse_specs(f"wds:{pattern}")


def test_a_name_of_the_hub_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_specs("hf:owner/name,label=x + photos") == [("hf", "owner/name,label=x"), ("photos", "")]
    assert not looks_local("owner/name") and looks_local("./name") and looks_local("~/name") and looks_local("..")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert looks_local("owner/name")

"""The repository's address stands in one place, and every other place follows it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from studies import address

ROOT = Path(__file__).parent.parent.parent
NEW = "https://github.com/somebody/something"


def test_every_address_is_that_of_setup_cfg() -> None:
    known = address.address(ROOT)
    assert address.GITHUB.fullmatch(known)
    places = {str(path.relative_to(ROOT)) for path in address.places(ROOT)}
    assert {"setup.cfg", "CITATION.cff", "README.md", "docs/index.md"} <= places
    assert all(str(path.relative_to(ROOT)) in places for path in ROOT.glob("notebooks/[0-9]*"))
    for line in (ROOT / "setup.cfg").read_text(encoding="utf-8").splitlines():
        assert "https://" not in line or known in line


def test_a_clone_and_the_badges_use_it() -> None:
    known = address.address(ROOT)
    for page in ("README.md", "docs/index.md"):
        assert f"git clone {known} " in (ROOT / page).read_text(encoding="utf-8")
    for notebook in ROOT.glob("notebooks/[0-9]*"):
        text = notebook.read_text(encoding="utf-8")
        badge = f"https://colab.research.google.com/github{address.repository(known)}/blob/main/notebooks/"
        assert f"({badge}{notebook.stem}.ipynb)" in text and f"git+{known}" in text


def test_it_moves_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in address.places(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    before, files = address.repository(address.address(ROOT)), address.places(ROOT)
    monkeypatch.setattr(address, "ROOT", tmp_path)
    address.main([NEW])
    assert address.address(tmp_path) == NEW and len(address.places(tmp_path)) == len(files)
    for path in address.places(tmp_path):
        assert not re.search(rf"github(?:\.com)?{re.escape(before)}\b", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("wanted", ["github.com/a/b", "https://github.com/a", "https://gitlab.com/a/b", "a b"])
def test_another_kind_of_address_is_refused(wanted: str) -> None:
    with pytest.raises(SystemExit, match=f"received: {wanted}"):
        address.main([wanted])


def test_without_an_address_it_tells_the_one_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    address.main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == address.address(ROOT) and "README.md" in lines[1:]

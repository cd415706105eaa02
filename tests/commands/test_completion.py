"""`tf-spot completion`: bash itself completes the words."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tf_spot.cli import SUBCOMMANDS, main


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "tf-spot.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["completion", "bash"]) == 0
    return path


def completed(script: Path, *words: str, folder: Path | None = None) -> set[str]:
    """What bash offers after `tf-spot WORDS`, the last of which is being typed, as Tab would ask for it."""
    line = " ".join(shlex.quote(word) for word in ("tf-spot", *words))
    code = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
        "compopt() { :; }; "  # wants a Tab that was really pressed
        "ask=$(complete -p tf-spot); ask=${ask#*-F }; ${ask% tf-spot} tf-spot; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.split("\n")} - {""}


def test_verbs(script: Path) -> None:
    assert completed(script, "") >= set(SUBCOMMANDS)
    assert completed(script, "tr") == {"train"}
    assert completed(script, "e") == {"evaluate", "embed", "export"}


def test_options_are_those_of_the_verb(script: Path) -> None:
    assert completed(script, "train", "--res") == {"--resume"}
    assert "--shape" not in completed(script, "train", "--") and "--task" in completed(script, "evaluate", "--")
    assert "--task" not in completed(script, "train", "--")


def test_choices_of_an_option(script: Path) -> None:
    assert completed(script, "evaluate", "RUN", "--task", "voc-s") == {"voc-segmentation"}
    assert completed(script, "completion", "") >= {"bash", "zsh", "fish"}


def test_files(script: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "rushes.txt").touch()
    assert {name.rstrip("/") for name in completed(script, "report", "ru", folder=tmp_path)} == {"runs", "rushes.txt"}
    assert {name.rstrip("/") for name in completed(script, "train", "--out", "run", folder=tmp_path)} == {"runs"}


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef tf-spot"), ("fish", "#")])
def test_other_shells_have_scripts_of_their_own(shell: str, begins: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell, "--json"]) == 0
    out = capsys.readouterr().out
    printed = json.loads(out.splitlines()[-1])
    assert printed["shell"] == shell and out.startswith(printed["script"]) and out.startswith(begins)
    assert all(name in printed["script"] for name in SUBCOMMANDS) and "frozen-only" in printed["script"]

"""What the Dockerfile and its page name exists; no daemon is needed."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest

from tf_spot.cli import build_parser

ROOT = Path(__file__).parent.parent
FILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8").replace("\\\n", " ")
RUNS = re.findall(r"^(?:#\s*\w+:\s+)?docker run (.+?) tf_spot(?::\w+)? (.+)$", f"{PAGE}\n{FILE}", re.MULTILINE)


def test_every_file_that_is_copied_is_there() -> None:
    copied = [name for line in re.findall(r"^COPY (.+)$", FILE, re.MULTILINE) for name in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not set(copied) & set(ignored)


def test_every_extra_is_there() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    for extras in re.findall(r"EXTRAS=([\w,]+)", FILE + PAGE):
        assert set(extras.split(",")) <= set(settings["options.extras_require"])


def test_any_user_has_a_home_and_the_mounted_folder_is_the_working_one() -> None:
    (home,) = re.findall(r"^ENV HOME=(\S+)$", FILE, re.MULTILINE)
    (folder,) = re.findall(r"^WORKDIR (/work)$", FILE, re.MULTILINE)
    assert f"chmod 1777 {home}" in FILE
    assert all(f'-v "$PWD:{folder}' in options for options, command in RUNS if "doctor" not in command)


@pytest.mark.parametrize("command", [command for _, command in RUNS])
def test_every_command_is_one_of_tf_spot(command: str) -> None:
    build_parser().parse_args(shlex.split(command))


def test_the_commands_are_found() -> None:
    assert {command.split()[0] for _, command in RUNS} == {"doctor", "train", "export", "serve"}


def test_the_ports_are_those_of_the_server() -> None:
    served = build_parser().parse_args(["serve", "x"])
    assert f"EXPOSE {served.grpc_port} {served.rest_port}" in FILE

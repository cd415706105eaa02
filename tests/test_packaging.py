"""What a user who installs gets: the wheel, built from the source distribution, is whole and holds no more."""

from __future__ import annotations

import configparser
import email.message
import email.parser
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import tf_spot

ROOT = Path(__file__).parent.parent
INFO = f"tf_spot-{tf_spot.__version__}.dist-info"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built in a copy, as building leaves files behind, and from the source distribution, which must be whole too."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT / "tf_spot", source / "tf_spot", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name in ("setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    with tarfile.open(built / build("sdist", source, built)) as archive:
        archive.extractall(built, filter="data")
    return zipfile.ZipFile(built / build("wheel", built / f"tf_spot-{tf_spot.__version__}", built))


def build(kind: str, source: Path, target: Path) -> str:
    code = f"import setuptools.build_meta as backend; print(backend.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    return email.parser.Parser().parsestr(wheel.read(f"{INFO}/METADATA").decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "tf_spot").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    assert "tf_spot/py.typed" in package
    assert {name for name in wheel.namelist() if not name.startswith(INFO)} == package


def test_metadata(wheel: zipfile.ZipFile) -> None:
    facts = metadata(wheel)
    assert facts["Name"] == "tf-spot"
    assert facts["Version"] == tf_spot.__version__
    assert facts["License"] == "Apache-2.0"
    assert facts["Requires-Python"] == ">=3.11"
    assert f"{INFO}/licenses/LICENSE" in wheel.namelist()
    assert facts.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_the_command(wheel: zipfile.ZipFile) -> None:
    scripts = configparser.ConfigParser()
    scripts.read_string(wheel.read(f"{INFO}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"tf-spot": "tf_spot.cli:main"}


def test_everything_required_is_pinned(wheel: zipfile.ZipFile) -> None:
    """Also a requirement of an extra: a name missing from constraints.txt would be installed in any version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.split("==")[0]) for line in lines if line and not line.startswith("#")}
    required = {normal(text.split(";")[0]) for text in metadata(wheel).get_all("Requires-Dist", [])}
    assert len(required) >= 12
    assert required <= pinned


def normal(requirement: str) -> str:
    """`importlib_resources>=7` and `importlib-resources` are one name."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in requirement).split()[0]
    return name.lower().replace("_", "-").replace(".", "-")


def test_the_wheel_alone_works_outside_the_repository(
    wheel: zipfile.ZipFile, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A new environment with the wheel and its requirements alone: the command, and a training of a few steps."""
    home = tmp_path_factory.mktemp("environment")
    commands = [
        [sys.executable, "-m", "venv", str(home)],
        [home / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel.filename],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def tf_spot_command(*words: str) -> str:
        done = subprocess.run([home / "bin" / "tf-spot", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert tf_spot_command("--version").strip() == f"tf-spot {tf_spot.__version__}"
    found = json.loads(tf_spot_command("doctor", "--json").splitlines()[-1])
    assert found["problems"] == [] and found["extras"]["onnx"]["missing"], "extras are not installed by themselves"
    sets = ("data.image_size=16", "network.width=0.125", "training.autoencoder_steps=2", "training.spotter_steps=2")
    words = [word for text in sets for word in ("--set", text)]
    tf_spot_command("train", "--data", "photos", "--preset", "tiny", "--out", "run", *words)
    assert (tmp_path / "run" / "spotter.keras").is_file()

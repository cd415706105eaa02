"""The wheel, built from the source distribution, has the whole package and nothing else, and each extra works."""

from __future__ import annotations

import configparser
import email.message
import email.parser
import json
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import tf_spot
from tests.support.grey_photos import write
from tests.support.tar_photos import write_tar
from tf_spot.commands.doctor import EXTRA
from tf_spot.config import preset
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run

ROOT = Path(__file__).parent.parent
INFO = f"tf_spot-{tf_spot.__version__}.dist-info"

UNPINNED = {"beam", "mlflow"}  # extras that ask for older packages than constraints.txt names
SETUP = runpy.run_path(str(ROOT / "setup.py"))
PROJECT_URLS = ["Source", "Documentation", "Changelog", "Issues"]
PYTHONS = ("3.11.5", "3.12", "3.13")  # pymdown-extensions, of the extra docs, needs 3.11.5; no other needs it
WITHOUT_WHEEL = {"promise"}  # released as source only, which is Python alone
BESIDE = ("CHANGELOG.md", "CITATION.cff", "constraints.txt")  # in the source distribution, not in the wheel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built in a copy, as building leaves files behind, and from the source distribution, complete too."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT / "tf_spot", source / "tf_spot", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name in ("setup.cfg", "setup.py", "MANIFEST.in", "README.md", "LICENSE", *BESIDE):
        shutil.copy(ROOT / name, source)
    with tarfile.open(built / build("sdist", source, built)) as archive:
        archive.extractall(built, filter="data")
    (unpacked,) = [path for path in built.iterdir() if path.is_dir()]
    assert all((unpacked / name).read_bytes() == (ROOT / name).read_bytes() for name in BESIDE)
    return zipfile.ZipFile(built / build("wheel", unpacked, built))


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
    assert facts["Requires-Python"] == "<3.14,>=3.11"
    assert facts["Author"] == "The tf_spot maintainers"
    assert [text.split(",")[0] for text in facts.get_all("Project-URL", [])] == PROJECT_URLS
    assert {f"{INFO}/LICENSE", f"{INFO}/licenses/LICENSE"} & set(wheel.namelist()), "where depends on setuptools"
    assert facts.get_payload().strip() == SETUP["long_description"]().strip()


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pin_has_a_wheel_for_each_python(python: str, tmp_path: Path) -> None:
    """Pip looks each of them up for that version, and installs nothing. Only one version can run the other tests."""
    pins = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line]
    kept = [pin for pin in pins if pin.split("==")[0] not in WITHOUT_WHEEL]
    assert len(kept) == len(pins) - len(WITHOUT_WHEEL)
    version = ["--python-version", python, "--only-binary", ":all:", "--no-deps"]
    nothing = ["--dry-run", "--ignore-installed", "--target", tmp_path]
    called([sys.executable, "-m", "pip", "install", "--quiet", *nothing, *version, *kept], tmp_path)


def test_the_command(wheel: zipfile.ZipFile) -> None:
    scripts = configparser.ConfigParser()
    scripts.read_string(wheel.read(f"{INFO}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"tf-spot": "tf_spot.cli:main"}


def test_everything_required_is_pinned(wheel: zipfile.ZipFile) -> None:
    """A requirement missing from constraints.txt, also one of an extra, would be installed in any version.

    The extras beam and mlflow are exempt: they need a separate environment, without that file.
    """
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.split("==")[0]) for line in lines if line and not line.startswith("#")}
    asked = [text.split(";") for text in metadata(wheel).get_all("Requires-Dist", [])]
    required = {normal(name) for name, *when in asked if not UNPINNED & set(EXTRA.findall("".join(when)))}
    assert len(required) >= 12
    assert required <= pinned


def normal(requirement: str) -> str:
    """Return the normalized name: `importlib_resources>=7` and `importlib-resources` are the same."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in requirement).split()[0]
    return name.lower().replace("_", "-").replace(".", "-")


@pytest.fixture(scope="module")
def alone(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel and its pinned requirements."""
    home = tmp_path_factory.mktemp("environments") / "alone"
    called([sys.executable, "-m", "venv", home], home.parent)
    install(home, str(wheel.filename))
    return home


def install(home: Path, requirement: str, pinned: bool = True) -> None:
    command = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
    called([*command, *(["-c", ROOT / "constraints.txt"] if pinned else []), requirement], home.parent)


def called(command: list[Any], folder: Path) -> str:
    """Run a command in `folder`, without this repository and environment, and return its stdout."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONPATH")}
    variables = inherited | {"TF_SPOT_QUICK": "1", "NO_MKDOCS_2_WARNING": "1", "WANDB_MODE": "offline"}
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


TINY = ("data.image_size=16", "network.width=0.125", "training.autoencoder_steps=2", "training.spotter_steps=2")
SETS = [word for text in TINY for word in ("--set", text)]


def test_the_wheel_alone_works_outside_the_repository(alone: Path, tmp_path: Path) -> None:
    """The command runs, and so does a training of a few steps."""
    command = alone / "bin" / "tf-spot"
    assert called([command, "--version"], tmp_path).strip() == f"tf-spot {tf_spot.__version__}"
    found = json.loads(called([command, "doctor", "--json"], tmp_path).splitlines()[-1])
    assert found["problems"] == [] and found["extras"]["onnx"]["missing"], "extras are not installed by themselves"
    called([command, "train", "--data", "photos", "--preset", "tiny", "--out", "run", *SETS], tmp_path)
    assert (tmp_path / "run" / "spotter.keras").is_file()


def test_the_notebook_on_fine_tuning_needs_the_wheel_alone(alone: Path, tmp_path: Path) -> None:
    """As a script, which its source is."""
    printed = called([alone / "bin" / "python", ROOT / "notebooks" / "7_fine_tune_in_keras.py"], tmp_path)
    there, here = (line.partition(":")[2].strip() for line in printed.splitlines()[-2:])
    assert there == here and "fine-tuned" in printed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an untrained spotter of 32 pixels."""
    config = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 8})
    data = {"spec": "photos", "name": "photos", "fingerprint": "", "counts": {}}
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", config, data)
    build_spotter(config, build_autoencoder(config)).save(run.model_path("spotter"))
    return run.path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos of two classes, and the same in a tar."""
    folder = tmp_path_factory.mktemp("photos")
    for level, label in enumerate(("ant", "bee")):
        write(folder / "train" / label, *range(level * 100, level * 100 + 10))
    members = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in sorted(folder.rglob("*.png"))}
    write_tar(folder.with_suffix(".tar"), members)
    return folder


def test_tars_and_lists_need_the_wheel_alone(
    alone: Path, run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for spec in (f"wds:{photos}.tar", f"list:{tmp_path / 'mine.csv'}"):
        (tmp_path / "mine.csv").write_text(f"path\n{photos}/train/ant/001.png\n")
        called([alone / "bin" / "tf-spot", "embed", run, "--data", spec, "--out", f"{spec[:3]}.npz"], tmp_path)
        assert (tmp_path / f"{spec[:3]}.npz").is_file()


NOTEBOOK = """
import jupytext, nbclient
notebook = jupytext.read("{root}/notebooks/2_train_on_your_photos.py")
nbclient.NotebookClient(notebook, timeout=3600, kernel_name="python3").execute()
"""
TF_SPOT = "python -m tf_spot"
# A use of each extra; trackers have a test of their own, gpu and beam are not tried, the requirements of data and embed
# are installed anyway.
USES = {
    "data": "python -c|import tensorflow_datasets",
    "tune": f"{TF_SPOT} tune --data photos --preset tiny --trials 1 --oracle bayesian --out search {' '.join(SETS)}",
    "onnx": f"{TF_SPOT} export {{run}} --format onnx --out exported",
    "hf": f"{TF_SPOT} embed {{run}} --data hf:{{photos}} --split train --out rows.npz",
    "litert": f"{TF_SPOT} export {{run}} --format tflite --out exported",
    "serving": "python -c|import tf_spot.serving.server, tf_spot.serving.client_grpc, tf_spot.serving.client_rest",
    "embed": f"{TF_SPOT} embed {{run}} --data photos --split test --out rows.parquet",
    "search": "python -c|import faiss; faiss.IndexFlatIP(4)",
    "voc": "python -c|from tf_spot.evaluation.voc.proposals import _algorithm; _algorithm()",
    "docs": "mkdocs build --strict --quiet --config-file {root}/mkdocs.yml --site-dir {here}/site",
    "notebooks": "python -c|" + NOTEBOOK,
    "dev": "pytest -q {root}/tests/models/test_losses.py",
}


@pytest.mark.parametrize("extra", USES)
def test_each_extra_works_alone(
    wheel: zipfile.ZipFile, alone: Path, run: Path, photos: Path, tmp_path: Path, extra: str
) -> None:
    """In a copy of that environment with only this extra added."""
    home = alone.parent / extra
    shutil.copytree(alone, home, symlinks=True, copy_function=os.link)  # nothing writes into a file that is there
    install(home, f"{wheel.filename}[{extra}]")
    python = home / "bin" / "python"
    found = json.loads(called([python, "-m", "tf_spot", "doctor", "--json"], tmp_path).splitlines()[-1])
    assert found["extras"][extra]["missing"] == []
    assert found["extras"]["onnx" if extra != "onnx" else "serving"]["missing"], "the others are not there"
    words, _, code = USES[extra].partition("|")
    paths = {"run": run, "root": ROOT, "here": tmp_path, "photos": photos}
    command = [*words.format(**paths).split(), *([code.format(**paths)] if code else [])]
    called([home / "bin" / command[0], *command[1:]], tmp_path)
    shutil.rmtree(home)


KERAS_HUB = "keras-hub==0.32.0"  # no extra
HUB_RESNET = """
import keras_hub, tf_spot
resnet = keras_hub.models.ResNetBackbone(
    input_conv_filters=[64], input_conv_kernel_sizes=[3], stackwise_num_filters=[64] * 4, stackwise_num_blocks=[1] * 4,
    stackwise_num_strides=[1, 2, 2, 1], block_type="basic_block", image_shape=(None, None, 3),
)
steps = {"training.autoencoder_steps": 2, "training.spotter_steps": 2}
network = {"network.stem_stride": 4, "network.width": 0.125}
config = tf_spot.preset("tiny").replace(**{"data.image_size": 64, **network, **steps})
tf_spot.train(config, "photos", "run", backbone=tf_spot.KerasBackbone(resnet))
"""


def test_a_backbone_of_keras_hub_is_trained_probed_and_exported(
    wheel: zipfile.ZipFile, alone: Path, photos: Path, tmp_path: Path
) -> None:
    """With the real package; the run opens without it."""
    home = alone.parent / "keras-hub"
    shutil.copytree(alone, home, symlinks=True, copy_function=os.link)
    install(home, f"{wheel.filename}[litert]")
    install(home, KERAS_HUB)
    called([home / "bin" / "python", "-c", HUB_RESNET], tmp_path)
    called([home / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "keras-hub"], tmp_path)
    for words in (f"evaluate run --task knn --data folder:{photos}", "export run --format tflite --out exported"):
        called([home / "bin" / "python", "-m", "tf_spot", *words.split()], tmp_path)
    assert (tmp_path / "exported" / "features.tflite").is_file()
    shutil.rmtree(home)


W_AND_B = """
import json, pathlib
files = list(pathlib.Path("wandb").glob("offline-run-*/run-*.wandb"))
runs = {path.stem.removeprefix("run-"): b"epoch/" in path.read_bytes() for path in files}
print(json.dumps({"runs": runs, "files": len(files)}))
"""
MLFLOW = """
import json, mlflow
client = mlflow.MlflowClient()
names = [run.info.run_id for run in client.search_runs(["0"])]
runs = {name: len(client.get_metric_history(name, "held_out_psnr")) > 0 for name in names}
print(json.dumps({"runs": runs, "files": len(runs)}))
"""


@pytest.mark.parametrize(("extra", "code"), [("wandb", W_AND_B), ("mlflow", MLFLOW)])
def test_each_tracker_records_a_training_and_its_extension(
    wheel: zipfile.ZipFile, alone: Path, tmp_path: Path, extra: str, code: str
) -> None:
    """With the real package. W&B goes on in the run of stage 2, in a new file; MLflow begins another."""
    home = alone.parent / extra
    shutil.copytree(alone, home, symlinks=True, copy_function=os.link)
    install(home, f"{wheel.filename}[{extra}]", pinned=extra not in UNPINNED)
    python = home / "bin" / "python"
    train = [python, "-m", "tf_spot", "train", "--data", "photos", "--preset", "tiny", *SETS, "--out", "run"]
    called([*train, "--tracker", extra], tmp_path)
    first = json.loads((tmp_path / "run" / "tracking.json").read_text())[extra]
    called([*train, "--tracker", extra, "--resume", "--extend", "2"], tmp_path)
    second = json.loads((tmp_path / "run" / "tracking.json").read_text())[extra]
    found = json.loads(called([python, "-c", code], tmp_path).splitlines()[-1])
    assert found == {"runs": dict.fromkeys({*first.values(), *second.values()}, True), "files": 3}
    assert (first == second) == (extra == "wandb")
    shutil.rmtree(home)

"""The commands of docs/connectors.md train and evaluate; its Python is run by test_docs_python.py.

Only the preset is changed, and what a network would give is made here.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.example import SETS
from tests.data.test_tfds import tfds
from tests.support.hub_data import save, split_of
from tests.support.tar_photos import samples, write_tar
from tests.test_docs import ROOT, commands
from tf_spot.cli import main
from tf_spot.data import hf, load, tfds_prepare
from tf_spot.runs.run import Run

PAGE = ROOT / "docs" / "connectors.md"
COMMANDS = list(dict.fromkeys(commands(PAGE)))  # one between two fences is found twice
SPECS = [command.split()[2] for command in COMMANDS if command.startswith("train ")]
CLASSES = ("ant", "bee")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page speaks of."""
    monkeypatch.chdir(tmp_path)
    train, test = split_of(range(20), [0, 1] * 10), split_of(range(100, 110), [0, 1] * 5)
    save(tmp_path / "insects", train=train, test=test)
    hub = {"train": train.rename_column("label", "fine_label"), "test": test.rename_column("label", "fine_label")}
    real = hf.load_splits
    monkeypatch.setattr(hf, "load_splits", lambda name, *options: hub if "/cifar" in name else real(name, *options))
    monkeypatch.setattr(tfds_prepare, "unanswered", lambda url: "")
    return tmp_path


def write_list(folder: Path) -> None:
    """Write the list of the page, with twenty photos to train on and ten to test on in place of three."""
    (header, *_) = re.findall(r"```csv\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0].splitlines()
    assert header == "path,label,split"
    (folder / "shots").mkdir()
    lines = [header]
    for number in range(30):
        Image.fromarray(np.full((12, 12, 3), number, np.uint8)).save(folder / "shots" / f"{number}.jpg")
        lines.append(f"shots/{number}.jpg,{CLASSES[number % 2]},{'train' if number < 20 else 'test'}")
    (folder / "mine.csv").write_text("\n".join(lines))
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines[1:]]
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))


def write_tars(folder: Path) -> None:
    for split in ("train", "val"):
        for number in range(128):
            label = CLASSES[number % 2]
            write_tar(folder / "shards" / f"imagenet-{split}-{number:03}.tar", samples(number, label=label))


def test_every_kind_is_on_the_page() -> None:
    kinds = {spec.strip("'").partition(":")[0] for spec in SPECS}
    assert kinds == {"list", "hf", "wds", "tfds"}


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_its_commands_run(world: Path, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    if spec.startswith("list:"):
        write_list(world)
    if "wds:" in spec:
        write_tars(world)
    these = [command for command in COMMANDS if f" {spec} " in command]
    with tfds.testing.mock_data(num_examples=20) if "tfds:" in spec else pytest.MonkeyPatch.context():
        for command in these:
            words = shlex.split(re.sub("--preset [a-z0-9]+", "--preset tiny", command))
            assert main([*words, *(SETS if words[0] == "train" else [])]) == 0, capsys.readouterr().err
    out = Path(shlex.split(these[0])[-1])
    assert Run(out).data["spec"] == shlex.split(spec)[0]


def test_a_list_of_json_lines_is_that_of_csv(world: Path) -> None:
    write_list(world)
    one, other = (load(f"list:{name}", image_size=16) for name in ("mine.csv", "mine.jsonl"))
    assert one.fingerprint == other.fingerprint and one.counts() == other.counts() == {"train": 20, "test": 10}

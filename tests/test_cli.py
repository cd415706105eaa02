"""The command line as a whole: help, exit codes, errors in one line."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tf_spot
from tf_spot.cli import SUBCOMMANDS, build_parser, main
from tf_spot.commands import report as report_command

QUIET_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def test_help_does_not_wait_for_tensorflow() -> None:
    code = (
        "import sys\nfrom tf_spot.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: code = stop.code\n"
        "print(code, sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, last = done.stdout.splitlines()
    assert last == "0 []"
    for name in ("demo", "train", "evaluate", "spot", "report"):
        assert any(line.strip().startswith(name) for line in shown)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["train", "--out", "x"],
        ["train", "--data", "photos"],
        ["train", "--data", "photos", "--out", "x", "--preset", "huge"],
        ["evaluate", "x", "--data", "photos", "--task", "guess"],
        ["evaluate", "x", "--data", "photos", "--task", "knn", "--seed", "one"],
        ["spot", "x", "--out", "y"],
    ],
)
def test_wrong_arguments_end_with_2(words, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and "usage: tf-spot" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "--data", "folder:/no/such/folder", "--out", "{tmp}/run", "--preset", "tiny"], "/no/such/folder"),
        (["train", "--data", "photos", "--out", "{tmp}/run", "--set", "game.drop=1"], "game.drop"),
        (["train", "--data", "photos", "--out", "{tmp}/run", "--set", "game.drop_rate"], "field.name=value"),
        (["evaluate", "{tmp}", "--data", "photos", "--task", "linear"], "config.json"),
        (["spot", "{tmp}", "{tmp}/x.png", "--out", "{tmp}/y"], "config.json"),
        (["report", "{tmp}"], "config.json"),
    ],
)
def test_mistakes_are_one_line(words, says, tmp_path, capsys) -> None:
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tf-spot: ") and err.count("\n") == 1 and says in err


def test_debug_shows_the_trace(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_exit_code_reaches_the_shell(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tf_spot", "train", "--data", "photos", "--out", str(tmp_path / "run"), "--set", "x=1"],
        capture_output=True, text=True, env=QUIET_GPU,
    )  # fmt: skip
    assert done.returncode == 2 and "received: x" in done.stderr and "Traceback" not in done.stderr


def test_a_mistake_found_after_tensorflow_is_one_line_too(tmp_path) -> None:
    """Without the lines that TensorFlow writes while it is loaded; another line of that time is shown."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, importlib.abc, os, sys\n"
        "class Late(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow.python': sys.meta_path.remove(self); os.write(2, b'a word of mine\\n')\n"
        "sys.meta_path.insert(0, Late())\n"
    )
    (tmp_path / "empty").mkdir()
    words = ["train", "--data", f"folder:{tmp_path / 'empty'}", "--out", str(tmp_path / "run"), "--preset", "tiny"]
    environment = QUIET_GPU | {"PYTHONPATH": str(tmp_path)}
    del environment["TF_CPP_MIN_LOG_LEVEL"]  # the tests' own
    done = subprocess.run([sys.executable, "-m", "tf_spot", *words], capture_output=True, text=True, env=environment)
    mine, mistake = done.stderr.splitlines()
    assert done.returncode == 2 and mine == "a word of mine" and mistake.startswith("tf-spot: ")


def test_every_file_of_commands_is_a_subcommand() -> None:
    files = {path.stem for path in Path(tf_spot.__file__).parent.joinpath("commands").glob("*.py")}
    assert files - {"__init__", "shared_options"} == set(SUBCOMMANDS)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_a_help_and_the_options_of_all(name, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args([name, "--help"])
    assert stop.value.code == 0
    help_text = capsys.readouterr().out
    assert help_text.startswith(f"usage: tf-spot {name}") and "--json" in help_text and "--debug" in help_text


def test_options_are_not_abbreviated(capsys) -> None:
    """An abbreviation would come to mean something else when an option is added."""
    with pytest.raises(SystemExit):
        build_parser().parse_args(["report", "RUN", "--deb"])
    assert "--deb" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--preset", "tiny"], ["--out", "x"]])
def test_an_option_is_given_once(words, capsys) -> None:
    """The last one would be taken without a word. `--set` may be repeated, and `--data` of a training."""
    start = ["train", "--data", "a", "--data", "b", "--out", "x", "--preset", "tiny", "--set", "a=1", "--set", "b=1"]
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args([*start, *words])
    assert stop.value.code == 2 and f"argument {words[0]}: must be given once" in capsys.readouterr().err
    parser = build_parser()
    for _ in range(2):  # a parser may be used again
        options = parser.parse_args(start)
        assert options.set == ["a=1", "b=1"] and options.data == ["a", "b"]


TOO_SOON = [
    (["train", "--data", "folder:{tmp}/none", "--out", "{tmp}/new"], "must be a folder; received: .*none, missing"),
    (["train", "--data", "photos", "--data", "{tmp}/none", "--out", "{tmp}/new"], "unknown data source; .*/none'"),
    (["train", "--data", "list:{tmp}/none.csv", "--out", "{tmp}/new"], "list:FILE must be a file .*none.csv"),
    (["train", "--data", "photos + shards:{tmp}/none", "--out", "{tmp}/new"], "shards:PATH must be a folder"),
    (["train", "--data", "photos", "--out", "{tmp}"], "must be a new or empty folder"),
    (["train", "--data", "photos", "--out", "{tmp}/new", "--autoencoder", "{tmp}"], "an exported model"),
    (["ablate", "--data", "stl10:{tmp}/none", "--out", "{tmp}/new"], "stl10:PATH must be a folder"),
    (["compare", "--data", "photo", "--out", "{tmp}/new"], "unknown data source"),
    (["tune", "--data", "folder:{tmp}/file", "--out", "{tmp}/new"], "received: .*, a file"),
    (["evaluate", "{tmp}", "--data", "photos", "--task", "knn"], "an exported model"),
    (["evaluate", "{run}", "--data", "voc:{tmp}/none", "--task", "voc-detection"], "voc:PATH must be a folder"),
    (["spot", "{tmp}/file", "a.png", "--out", "{tmp}/new"], "received: .*file, a file"),
    (["embed", "{tmp}/none", "--data", "photos", "--out", "{tmp}/a.npz"], "which is missing"),
    (["embed", "{run}", "--data", "photos", "--out", "{tmp}/a.csv"], "must end in .parquet or .npz"),
    (["neighbours", "{run}", "--data", "folder:{tmp}/none", "--query", "a", "--out", "x"], "none, missing"),
    (["report", "{tmp}"], "an exported model"),
    (["export", "{tmp}", "--format", "onnx", "--out", "{tmp}/new"], "an exported model"),
    (["verify", "{run}"], "a folder with manifest.json"),
    (["pack", "--data", "shards:{tmp}/none", "--out", "{tmp}/new"], "shards:PATH must be a folder"),
    (["demo", "--out", "{tmp}"], "must be a new folder or that of an earlier demo"),
]
WITHOUT_TENSORFLOW = """
import json, sys
sys.modules["tensorflow"] = None  # as if it were not there
from tf_spot.cli import main
for words in json.loads(sys.argv[1]):
    print(main(words), file=sys.stderr)
"""


def test_the_wrong_kind_of_thing_is_told_before_tensorflow_loads(tmp_path) -> None:
    for name in ("manifest.json", "file"):
        (tmp_path / name).touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    commands = [[word.format(tmp=tmp_path, run=tmp_path / "run") for word in words] for words, _ in TOO_SOON]
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, json.dumps(commands)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    assert lines[1::2] == ["2"] * len(TOO_SOON)
    for line, (words, says) in zip(lines[::2], TOO_SOON, strict=True):
        assert re.search(says, line), words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "manifest.json", "run"]


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    """As `tf-spot ... | head -1` does."""
    # argparse itself may pass over the error.
    for words, codes in ((["completion", "bash"], (141,)), (["--help"], (0, 141))):
        with subprocess.Popen(
            [sys.executable, "-m", "tf_spot", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout and process.stderr
            process.stdout.close()
            assert process.stderr.read() == b"" and process.wait() in codes


def test_a_full_disk_under_the_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tf_spot", "completion", "bash"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == (
        "tf-spot: there must be room for what is written; received: No space left on device; free some space or write "
        "to another disk\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (PermissionError(13, "Permission denied", "/runs/x\x1b[31m"), 2, "Permission denied, /runs/x\\x1b[31m; change"),
        (ZeroDivisionError("division by zero"), 1, "not foreseen: ZeroDivisionError: division by zero"),
    ],
)
def test_no_error_shows_a_trace(error, code, says, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(report_command, "run", Raises(error))
    assert main(["report", str(tmp_path)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert main(["report", str(tmp_path), "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


class Raises:
    """A function that raises an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_: object) -> None:
        raise self.error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_any_subcommand_with_their_code(number, code, tmp_path, monkeypatch, capsys) -> None:
    """The handler that was there before is back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(report_command, "run", lambda options: os.kill(os.getpid(), number))
    # A job that a shell starts in the background ignores Ctrl-C, and so would the tests in it.
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["report", str(tmp_path)]) == code
    finally:
        signal.signal(signal.SIGINT, ctrl_c)
    assert capsys.readouterr().err == {130: "tf-spot: stopped by Ctrl-C\n", 143: "tf-spot: stopped by SIGTERM\n"}[code]
    assert signal.getsignal(signal.SIGTERM) is before

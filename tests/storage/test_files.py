"""Files written whole or not at all, and lines that a kill cut short."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tf_spot.storage.files import append_line, file_digest, flush, read_lines, write_file, write_json, write_text
from tf_spot.storage.json_files import DamagedFile

ROOT = Path(__file__).parents[2]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail(aside):
        aside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_file(path, fail)
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_write_that_fails_leaves_no_file_and_no_folder(tmp_path):
    def fail(aside):
        aside.write_text("half")
        raise OSError("disk full")

    (tmp_path / "kept").mkdir()
    for path in (tmp_path / "kept" / "file.txt", tmp_path / "made" / "for" / "file.txt"):
        with pytest.raises(OSError, match="disk full"):
            write_file(path, fail)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["kept"]


def test_a_name_of_the_greatest_length_is_written(tmp_path):
    write_text(tmp_path / ("é" * 127), "content")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["content"]


def test_folders_are_made_and_json_ends_with_a_line_break(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"value": [1, 2.5, None]})
    assert path.read_text().endswith("}\n")
    assert json.loads(path.read_text()) == {"value": [1, 2.5, None]}


KILLED = """
import os, signal, sys
from pathlib import Path
from tf_spot.storage.files import write_file
def write(aside):
    aside.write_text("half of the new")
    os.kill(os.getpid(), signal.SIGKILL)
write_file(Path(sys.argv[1]), write)
"""


def test_a_kill_during_the_writing_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    command = [sys.executable, "-c", KILLED, str(path)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".writing-file.txt", "file.txt"]
    write_text(path, "new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file.txt", "new")]


def test_content_reaches_the_disk_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    """Else a power cut could leave the new name with the content of neither."""
    done = []
    names = {}
    open_, replace = os.open, os.replace

    def opened(path, *rest):
        descriptor = open_(path, *rest)
        names[descriptor] = Path(path).name
        return descriptor

    def replaced(source, target):
        replace(source, target)
        done.append("rename")

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(names[descriptor]))
    write_text(tmp_path / "file.txt", "new")
    assert done == [".writing-file.txt", "rename", tmp_path.name]


def test_lines_come_back_without_one_that_was_cut_short(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    append_line(path, {"step": 1, "text": "a\nb"})
    append_line(path, {"step": 2})
    assert path.read_text().count("\n") == 2, "one line per record"
    with path.open("a") as file:
        file.write('{"step": 3')
    assert read_lines(path) == [{"step": 1, "text": "a\nb"}, {"step": 2}]


def test_a_line_is_on_disk_when_the_call_returns(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    append_line(tmp_path / "lines.jsonl", {"step": 1})
    assert sizes == [len('{"step": 1}\n')], "the buffer is emptied before"


def test_folders_and_files_can_be_flushed_but_must_exist(tmp_path):
    flush(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "absent")


def test_the_digest_is_sha256(tmp_path):
    """The digest of "abc", from FIPS 180-2, appendix B.1."""
    (tmp_path / "abc").write_text("abc")
    assert file_digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_line_follows_whole_lines_only(tmp_path):
    """Else the rest of a line that a kill cut short would spoil the next one."""
    path = tmp_path / "lines.jsonl"
    path.write_text('{"step": 1}\n{"step": 2')
    append_line(path, {"step": 3})
    assert read_lines(path) == [{"step": 1}, {"step": 3}]
    path.write_text('{"step"')
    append_line(path, {"step": 4})
    assert read_lines(path) == [{"step": 4}]


def test_a_line_that_does_not_fit_leaves_nothing(tmp_path):
    """The limit on the size of files stands for the end of a disk."""
    append_line(tmp_path / "lines.jsonl", {"step": 1})
    code = (
        "import resource, signal, sys; from pathlib import Path; from tf_spot.storage.files import append_line\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "append_line(Path(sys.argv[1]), {'step': 2, 'text': 'longer'})"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lines.jsonl")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert (tmp_path / "lines.jsonl").read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("line", [b"\0\0\0", b"\xff\xfe", b"[1]", b"{}", b""])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "lines.jsonl").write_bytes(b'{"step": 1}\n' + line + b"\n")
    with pytest.raises(DamagedFile, match="lines.jsonl, line 2, "):
        read_lines(tmp_path / "lines.jsonl", {"step": int})

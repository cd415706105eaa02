"""Let everything go wrong that can, at random, and see whether each fault is held.

    python studies/faults.py [--seed N] [--kills 60] [--images 3000] [--tries 44] [--seconds 120] [--out FILE]

Trains tiny networks on noise and then tries, one table each: kills and signals in training; mutated pictures; a disk
that is full or read-only, an output below a file; damaged files of runs, packs, exports and tables; files that are
none, and names of every kind; pictures that take much memory; hostile requests to the server. A fault is held if the
command does its work or ends in one line with its exit code, in time, without a trace and without half-written files;
a killed training, if its weights and its list of bad files end as those of an unbroken one. Prints what was tried, held
and failed, and writes results/faults.json. Full and read-only disks are mounted, which needs root.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

import fault_kills  # noqa: E402
from fault_verbs import leftovers  # noqa: E402
from fault_world import SHORT, Row, Tally, World, make_world, writing  # noqa: E402

from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

MOST_GIGABYTES = 1.5  # of `embed` over hostile pictures, above that over good ones


# --- disks ------------------------------------------------------------------------------------------------------------


@contextmanager
def disk(world: World, room: int, read_only: bool = False) -> Iterator[Path]:
    """Yield a small disk that holds a copy of the run and `room` free bytes."""
    folder = world.home / "disk"
    folder.mkdir(exist_ok=True)
    size = sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in world.run.rglob("*"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size + room}", "tmpfs", folder], check=True)
    try:
        shutil.copytree(world.run, folder / "run")
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)  # -l: the commands' process may hold files open


def full_disk(world: World, tries: int) -> Row:
    """Fill the disk somewhere on the way of each verb."""
    tally, names = Tally(), list(writing(world, Path()))
    for number in range(tries):
        name, room = names[number % len(names)], int(4096 * 2 ** world.chance.uniform(0, 7))
        with disk(world, room) as folder:
            outcome = world.verbs(writing(world, folder)[name])
            left = leftovers(folder)
        tally.add(f"{name} with {room} bytes", outcome.wrong(0, 2) or (f"left {left}" if left else None))
    return tally.row()


def read_only(world: World) -> Row:
    """Let every verb write to a disk that is read-only."""
    tally = Tally()
    with disk(world, 2**20, read_only=True) as folder:
        for name, words in writing(world, folder).items():
            tally.add(name, world.verbs(words).wrong(2))
    return tally.row()


def below_a_file(world: World) -> Row:
    """Let every verb write below a file."""
    tally, file = Tally(), world.home / "file"
    file.touch()
    for name, words in writing(world, file).items():
        tally.add(name, world.verbs(words).wrong(2))
    return tally.row()


# --- files ------------------------------------------------------------------------------------------------------------


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return a file's content damaged in one of several ways."""
    place = chance.randrange(len(content) or 1)
    ways: list[Callable[[], bytes]] = [
        lambda: content[:place],
        lambda: b"",
        lambda: content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :],
        lambda: content[:place] + bytes(100) + content[place + 100 :],
        lambda: chance.randbytes(200),
        lambda: b"[]\n",
        lambda: b"{}\n",
        lambda: content.replace(b'": ', b'": [', 1),
        lambda: content.replace(b": ", b": null, ", 1),
        lambda: content + b"[1]\n\0\n",
    ]
    return chance.choice(ways)() if content else b"\0"


def damaged_files(world: World, tries: int) -> Row:
    """Damage one file after the other of what commands have written, and use it."""
    tally = Tally()
    for number in range(tries):
        copy = world.home / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        for name in ("run", "pack", "export", "table"):
            shutil.copytree(world.home / name, copy / name)
        kind, words = _uses(world, copy)[number % len(_uses(world, copy))]
        files = [p for p in sorted((copy / kind).rglob("*")) if p.is_file() and "tensorboard" not in p.parts]
        file = world.chance.choice(files)
        if words[0] == "train":  # goes on with what is left
            (copy / "run" / f"{world.chance.choice(('spotter', 'autoencoder'))}.keras").unlink(missing_ok=True)
            file = file if file.exists() else copy / "run" / "config.json"
        file.write_bytes(damaged(file.read_bytes(), world.chance))
        outcome = world.verbs(words)
        tally.add(
            f"{words[0]} with {file.relative_to(copy)}", outcome.wrong(*((0, 1, 2) if kind == "pack" else (0, 2)))
        )
    return tally.row()


def _uses(world: World, copy: Path) -> list[tuple[str, list[Any]]]:
    """Return what is damaged, and a command that uses it."""
    out = world.home / "rows.npz"
    table = ["--data", world.spec, "--out", copy / "table", "--methods", "random", "--preset", "tiny", *SHORT]
    return [
        ("run", ["report", copy / "run"]),
        ("run", ["embed", copy / "run", "--data", world.spec, "--out", out]),
        ("run", ["evaluate", copy / "run", "--data", world.spec, "--task", "knn", "--num-values", "40"]),
        ("run", fault_kills.train(world.photos, copy / "run")),
        ("run", ["train", "--config", copy / "run" / "config.json", "--data", world.spec, "--out", copy / "file"]),
        ("pack", ["embed", world.run, "--data", f"shards:{copy / 'pack'}", "--out", out]),
        ("pack", ["pack", "--data", world.spec, "--out", copy / "pack"]),
        ("pack", ["pack", "--verify", copy / "pack"]),
        ("export", ["verify", copy / "export"]),
        ("export", ["embed", copy / "export", "--data", world.spec, "--out", out]),
        ("table", ["compare", *table]),
    ]


def odd_files(world: World) -> Row:
    """Put files that are none, and names of every kind, among photos and before each verb."""
    tally, folder = Tally(), world.home / "odd"
    shutil.copytree(world.photos, folder)
    inside, photo = folder / "train" / "dark", world.photos / "train" / "dark" / "00.png"
    names = [b"n\new\x1b[31m.png", b"\xe9\xff.png", "日本".encode() * 41 + b".png", b"e" * 251 + b".png"]
    for name in names:
        shutil.copyfile(os.fsencode(photo), os.path.join(os.fsencode(inside), name))
    os.mkfifo(inside / "fifo.jpg")
    (inside / "zero.jpg").symlink_to("/dev/zero")
    (inside / "gone.jpg").symlink_to("/nowhere")
    (inside / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(inside / "socket.jpg"))
    # Text as the system has it: the bytes that are not UTF-8 are carried by surrogates.
    every = [inside / os.fsdecode(name) for name in [*names, b"fifo.jpg", b"zero.jpg", b"gone.jpg", b"socket.jpg"]]
    spec, run, out = f"folder:{folder}", world.run, world.home / "odd-out"
    commands: list[list[Any]] = [
        ["train", "--data", spec, "--out", out / "run", "--preset", "tiny", *SHORT],
        ["embed", run, "--data", spec, "--out", out / ("é" * 125 + ".npz")],
        ["evaluate", run, "--data", spec, "--task", "knn", "--num-values", "40"],
        ["pack", "--data", spec, "--out", out / ("p" * 255)],
        ["embed", run, "--data", f"shards:{out / ('p' * 255)}", "--out", out / "shards.npz"],
        ["spot", run, *every, "--out", out / ("日" * 85)],
        *(["neighbours", run, "--data", spec, "--query", file, "--out", out / "near"] for file in every),
        *(["train", "--data", spec, "--out", out / "new", "--config", file] for file in every),
    ]
    for words in commands:
        outcome = world.verbs(words)
        shown = [line for line in outcome.stderr.splitlines() if not line.isprintable()]
        tally.add(f"{words[0]} {words[-1]}", outcome.wrong(0, 2) or (f"control characters: {shown}" if shown else None))
    return tally.row()


# --- pictures ---------------------------------------------------------------------------------------------------------


def mutated_pictures(world: World, count: int) -> Row:
    """Mutate pictures of every format, and embed them: each has a row, or is left out and counted."""
    tally, folder, size = Tally(), world.home / "mutated", 300
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8))
    endings = ("jpg", "png", "gif", "bmp", "webp")
    for ending in endings:
        picture.save(world.home / f"good.{ending}")
    for first in range(0, count, size):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(world.home / "good.png", folder)
        number = min(size, count - first)
        for index in range(number):
            ending = endings[index % len(endings)]
            content = bytearray((world.home / f"good.{ending}").read_bytes())
            for _ in range(world.chance.randrange(1, 9)):
                content[int(len(content) * world.chance.random() ** 3)] = world.chance.randrange(256)
            (folder / f"{index}.{ending}").write_bytes(content[: world.chance.choice([None, None, len(content) // 2])])
        out = world.home / "mutated.npz"
        outcome = world.verbs(["embed", world.run, "--data", f"folder:{folder}", "--out", out])
        wrong = outcome.wrong(0)
        if wrong is None:
            with np.load(out) as rows:
                finite = np.isfinite(rows["embedding"]).all()
                left = f"{number + 1 - len(rows['id'])} photo" if len(rows["id"]) <= number else ""
                wrong = None if finite and left in outcome.stderr else "rows or counts are wrong"
        tally.add(f"pictures {first} to {first + number}", wrong)
    return tally.row(pictures=count)


def memory(world: World) -> Row:
    """Embed 20 pictures that take much memory for their size; compare the peak with that over good ones."""
    folder = world.home / "large"
    folder.mkdir()
    Image.new("I;16", (10_000, 10_000)).save(folder / "grey.png")
    Image.new("RGBA", (10_000, 9_999)).save(folder / "clear.png")
    Image.new("RGB", (10_000, 9_998)).save(folder / "progressive.jpg", progressive=True)
    Image.new("RGB", (9_999, 9_000)).save(folder / "large.webp", lossless=True)
    for file in list(folder.iterdir()):
        for number in range(4):  # to write each anew would take minutes
            os.link(file, file.with_stem(f"{file.stem}{number}"))
    peaks = []
    for spec in (world.spec, f"folder:{folder}"):
        outcome = world.verbs(["embed", world.run, "--data", spec, "--out", world.home / "rows.npz"], 600)
        peaks.append(world.verbs.peak_bytes())
    more = (peaks[1] - peaks[0]) / 1e9
    wrong = outcome.wrong(0, 2) or (f"{more:.2f} GB more" if more > MOST_GIGABYTES else None)
    tally = Tally()
    tally.add("embed", wrong)
    return tally.row(pictures=20, gigabytes_above_good_pictures=round(more, 2))


# --- all --------------------------------------------------------------------------------------------------------------


def hostile_requests(seconds: float, seed: int) -> Row | None:
    """Attack the server, where the script that does is there."""
    if importlib.util.find_spec("hostile_requests") is None:
        return None
    attack = importlib.import_module("hostile_requests").attack_server
    result = attack(seconds, seed)
    keys = ("tried", "held", "failed", "slowest_ordinary_seconds", "peak_above_idle_mib")
    return {name: result[name] for name in keys if name in result}


def line(name: str, row: Row) -> str:
    """Return a table's line: tried, held, failed."""
    return f"{name:18}{row['tried']:7}{row['held']:7}{len(row['failed']):7}"


def table(result: dict[str, Any]) -> str:
    """Return the result as text."""
    head = f"{'fault':18}{'tried':>7}{'held':>7}{'failed':>7}"
    return "\n".join([head, *(line(name, row) for name, row in result["rows"].items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--images", type=int, default=3_000)
    parser.add_argument("--tries", type=int, default=44, help="of a full disk, and of damaged files")
    parser.add_argument("--seconds", type=float, default=120.0, help="of attacks on the server")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "faults.json")
    options = parser.parse_args()
    began, chance = time.monotonic(), random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        world = make_world(home, chance)
        tables: dict[str, Callable[[], Row | None]] = {
            "mutated pictures": lambda: mutated_pictures(world, options.images),
            "large pictures": lambda: memory(world),
            "odd files": lambda: odd_files(world),
            "damaged files": lambda: damaged_files(world, options.tries),
            "below a file": lambda: below_a_file(world),
            "signals": lambda: fault_kills.signals(world.photos, home, options.kills // 5, chance),
            "kills": lambda: fault_kills.kills(world.photos, home, options.kills, chance),
            "hostile requests": lambda: hostile_requests(options.seconds, options.seed),
        }
        if os.geteuid() == 0:
            tables |= {"full disk": lambda: full_disk(world, options.tries), "read-only": lambda: read_only(world)}
        rows = {}
        for name, table in tables.items():
            row = table()
            if row is not None:
                rows[name] = row
                print(line(name, row), *row["failed"], sep="\n    ", flush=True)
        world.verbs.close()
    words = f"--seed {options.seed} --kills {options.kills} --images {options.images} --tries {options.tries}"
    command = f"python studies/faults.py {words} --seconds {options.seconds:g}"
    result = {"task": "faults", "seed": options.seed, "rows": rows, "seconds": round(time.monotonic() - began)}
    write_json(options.out, result | provenance(command))


if __name__ == "__main__":
    main()

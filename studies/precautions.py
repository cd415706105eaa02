"""Take out every precaution of the rival methods, one at a time, and see whether a test notices.

    python studies/precautions.py [--methods NAME,...] [--seconds 600] [--out results/precautions.json]

`precaution_edits.py` lists the precautions, each with a small edit of the source that takes it out and with tests that
must then fail. The package and its tests are copied to a temporary folder; there every test must pass as the source
stands, and with each edit at least one of its tests must fail by an assertion: an import that fails, a setup that
breaks or another exception shows nothing. Prints a line per precaution and writes results/precautions.json. Ends with
exit code 1 if a precaution is not held, or if its edit does not fit the source any more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

from precaution_edits import PRECAUTIONS, Precaution  # noqa: E402

from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

COPIED = ("tf_spot", "tests", "benchmarks", "setup.cfg")  # a test of the spotter counts by a script of benchmarks/
IMPORTED = ("tensorflow", "keras", "sklearn.cluster", "skimage.color", "scipy.optimize")  # what takes seconds
ASSERTIONS = ("assert ", "AssertionError", "Failed: DID NOT RAISE")  # how the message of a failed assertion begins


# --- running tests ----------------------------------------------------------------------------------------------------


def copy_of(root: Path, home: Path) -> Path:
    """Copy the package and its tests below `home`, without compiled files, which might outlive an edit."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, home)
    return home


class Runner:
    """Runs tests of a copy of the package, each time in a process of its own; see `forked_tests.py`.

    Args:
        home: the copy.
        imported: modules that every process has imported already.
    """

    def __init__(self, home: Path, imported: tuple[str, ...] = IMPORTED) -> None:
        self.report = home / "report.xml"
        paths = {"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        on_the_cpu = {"KERAS_BACKEND": "tensorflow", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}  # as conftest.py
        self.process = subprocess.Popen(
            [sys.executable, "-P", ROOT / "studies" / "forked_tests.py", *imported],
            cwd=home,
            env=os.environ | paths | on_the_cpu,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, tests: tuple[str, ...], seconds: int) -> dict[str, str]:
        """Run some tests.

        Args:
            tests: ids, FILE::FUNCTION; all cases of a parametrised test run.
            seconds: time limit for all of them together.

        Returns:
            how each test ended, see `judge`; "hung" for all of them at the time limit.
        """
        self.report.unlink(missing_ok=True)
        print(json.dumps({"tests": tests, "report": str(self.report), "seconds": seconds}), file=self.process.stdin)
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() == "hung":
            return dict.fromkeys(tests, "hung")
        return judge(self.report.read_text(encoding="utf-8") if self.report.exists() else "<testsuites />", tests)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # closes the pipes and waits
            pass


def judge(report: str, tests: tuple[str, ...]) -> dict[str, str]:
    """Say how tests ended.

    Args:
        report: what `pytest --junitxml` wrote.
        tests: ids, FILE::FUNCTION.

    Returns:
        by id: "failed" if an assertion of at least one case did not hold, else "crashed" if a case ended in another
        exception, or before or after the test itself; "passed"; "did not run".
    """
    ends: dict[str, set[str]] = {test: set() for test in tests}
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').split('[')[0]}"
        if name in ends:
            ends[name].add(_end(case))
    return {
        test: next((end for end in ("failed", "crashed", "passed") if end in found), "did not run")
        for test, found in ends.items()
    }


def _end(case: ElementTree.Element) -> str:
    failure = case.find("failure")
    if failure is not None:
        return "failed" if failure.get("message", "").startswith(ASSERTIONS) else "crashed"
    if case.find("error") is not None:
        return "crashed"
    return "did not run" if case.find("skipped") is not None else "passed"


# --- taking precautions out -------------------------------------------------------------------------------------------


def without(source: str, precaution: Precaution) -> str:
    """Return a file's source without a precaution.

    Raises:
        ValueError: the text that the edit replaces is not there exactly once.
    """
    count = source.count(precaution.text)
    if count != 1:
        what = f"{precaution.method}, {precaution.name}"
        raise ValueError(f"{what}: {precaution.file} has this {count} times, wanted once:\n{precaution.text}")
    return source.replace(precaution.text, precaution.instead)


def tried(
    home: Path, precaution: Precaution, unedited: dict[str, str], run: Callable[[tuple[str, ...]], dict[str, str]]
) -> dict[str, Any]:
    """Take a precaution out of the copy, run its tests, and put it back.

    Args:
        home: the copy.
        precaution: see `precaution_edits.py`.
        unedited: how each test ended before, see `judge`.
        run: runs tests of the copy and says how they ended.

    Returns:
        a row of the result. A precaution is held if all its tests passed before and one of them failed without it.
    """
    file, began = home / precaution.file, time.monotonic()
    source = file.read_text(encoding="utf-8")
    file.write_text(without(source, precaution), encoding="utf-8")
    try:
        ends = run(precaution.tests)
    finally:
        file.write_text(source, encoding="utf-8")
    before = {test: unedited[test] for test in precaution.tests}
    return {
        "method": precaution.method,
        "precaution": precaution.name,
        "file": precaution.file,
        "tests": {test: {"before": before[test], "without": ends[test]} for test in precaution.tests},
        "held": set(before.values()) == {"passed"} and "failed" in ends.values(),
        "seconds": round(time.monotonic() - began),
    }


# --- tables -----------------------------------------------------------------------------------------------------------


def line(row: dict[str, Any]) -> str:
    """Return a precaution's line: method, precaution, held or not, seconds, its tests; how they ended if not held."""
    names = [test.split("::")[1] for test in row["tests"]]
    if not row["held"]:
        names = [f"{test} ({e['before']}, then {e['without']})" for test, e in row["tests"].items()]
    held = "held" if row["held"] else "NOT HELD"
    return f"{row['method']:17}{row['precaution']:44}{held:10}{row['seconds']:5} s  {', '.join(names)}"


def table(result: dict[str, Any]) -> str:
    """Return how many precautions each method has, and how many of them are held."""
    of_method, held = Counter(), Counter()
    for row in result["rows"]:
        of_method[row["method"]] += 1
        held[row["method"]] += row["held"]
    lines = [f"{method:<17}{of_method[method]:>12}{held[method]:>7}" for method in of_method]
    total = f"{'all':<17}{of_method.total():>12}{held.total():>7}"
    return "\n".join([f"{'method':<17}{'precautions':>12}{'held':>7}", *lines, total])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", help="some of them alone, separated by commas; writes no file without --out")
    parser.add_argument("--seconds", type=int, default=600, help="time limit of the tests of one precaution")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    chosen = options.methods.split(",") if options.methods else [precaution.method for precaution in PRECAUTIONS]
    precautions = [precaution for precaution in PRECAUTIONS if precaution.method in chosen]
    for precaution in precautions:  # before anything runs
        without((ROOT / precaution.file).read_text(encoding="utf-8"), precaution)
    every = sorted({test for precaution in precautions for test in precaution.tests})
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = copy_of(ROOT, Path(folder))
        with Runner(home) as runner:
            run = partial(runner, seconds=options.seconds)
            unedited: dict[str, str] = {}
            for _, tests in itertools.groupby(every, lambda test: test.split("::")[0]):
                unedited |= run(tuple(tests))
            others = [f"{test} {end}" for test, end in unedited.items() if end != "passed"]
            print(f"{len(unedited)} tests, not passed as the source stands:", ", ".join(others) or "none", flush=True)
            for precaution in precautions:
                rows.append(tried(home, precaution, unedited, run))
                print(line(rows[-1]), flush=True)
    result = {"task": "precautions", "rows": rows, "seconds": round(time.monotonic() - began)}
    out = options.out or (None if options.methods else ROOT / "results" / "precautions.json")
    if out:
        write_json(out, result | provenance("python studies/precautions.py --out results/precautions.json"))
    print(table(result))
    return 0 if all(row["held"] for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(str(error))

"""The package's structure in numbers: python studies/structure.py [TREE ...]

A tree is a checkout of this project, by default this one; several are set side by side. Nothing is imported or run: the
source is read as text. With `--json` the numbers come as JSON, with `--mermaid` as the diagram of docs/architecture.md.

A room is a file at the package's root or a folder there. An arrow leads from a room to one that it imports, wherever
the import stands. A room's floor is one above the highest room that it imports.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "tf_spot"
FACE = "__init__"  # the room that `import tf_spot` opens
Graph = dict[str, set[str]]


# --- imports ----------------------------------------------------------------------------------------------------------


def modules(tree: Path) -> dict[str, Path]:
    """{dotted name below the package: file}; a package's `__init__` goes by the name of its folder."""
    found = {}
    for path in sorted((tree / PACKAGE).rglob("*.py")):
        parts = path.relative_to(tree / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == FACE and len(parts) > 1 else parts)] = path
    return found


def imports(tree: Path) -> Graph:
    """{module: the modules that it imports}, also in functions and for type checkers alone."""
    known = modules(tree)
    return {name: set(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from tf_spot.a import b` is of the module a.b if there is one, else of a.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, inner = name.partition(".")
            if package != PACKAGE or inner == "__version__":
                continue
            if inner in known:
                yield inner
            elif inner.rpartition(".")[0] in known:
                yield inner.rpartition(".")[0]
            elif "." not in inner:
                yield FACE


def room(module: str) -> str:
    """`data` for data.folder, `config` for config."""
    return module.partition(".")[0]


def rooms(graph: Graph) -> Graph:
    """The graph of rooms that a graph of modules makes."""
    found: Graph = {room(module): set() for module in graph}
    for module, targets in graph.items():
        found[room(module)] |= {room(target) for target in targets} - {room(module)}
    return found


def inside(graph: Graph, name: str) -> Graph:
    """The modules of one room, and what they import of each other."""
    own = {module for module in graph if room(module) == name}
    return {module: graph[module] & own for module in own}


def floors(graph: Graph) -> dict[str, int]:
    """{node: its floor}, the ground is 1.

    Raises:
        ValueError: a circle; the message names it.
    """
    found: dict[str, int] = {}

    def floor(node: str, path: tuple[str, ...]) -> int:
        if node in path:
            raise ValueError(f"a circle of imports: {' -> '.join([*path[path.index(node) :], node])}")
        if node not in found:
            found[node] = 1 + max((floor(target, (*path, node)) for target in graph[node]), default=0)
        return found[node]

    for node in sorted(graph):
        floor(node, ())
    return found


def essential(graph: Graph) -> list[tuple[str, str]]:
    """The arrows that no longer way replaces, sorted: the transitive reduction."""
    below: Graph = {}

    def reached(node: str) -> set[str]:
        if node not in below:
            below[node] = set(graph[node]).union(*(reached(target) for target in graph[node]))
        return below[node]

    return sorted(
        (node, target)
        for node, targets in graph.items()
        for target in targets
        if not any(target in reached(other) for other in targets - {target})
    )


def mermaid(tree: Path = ROOT) -> str:
    """The rooms and their essential arrows, folders with a slash."""
    graph = rooms(imports(tree))
    folders = {room(name) for name in modules(tree) if "." in name}
    label = {name: f"{name}/" if name in folders else name.strip("_").replace("init", PACKAGE) for name in graph}
    nodes = [f'    {name.strip("_")}["{label[name]}"]' for name in sorted(graph)]
    arrows = [f"    {a.strip('_')} --> {b.strip('_')}" for a, b in essential(graph)]
    return "\n".join(["graph TD", *nodes, *arrows])


# --- numbers ----------------------------------------------------------------------------------------------------------


def measure(tree: Path) -> dict[str, float]:
    """The numbers of a tree, shares in percent."""
    graph, files = imports(tree), modules(tree)
    of_rooms = rooms(graph)
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in files.values()]
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    functions = [node for parsed in trees.values() for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef)]
    lengths = sorted((node.end_lineno or 0) - node.lineno + 1 for node in functions)
    stems = {path.stem.removeprefix("test_") for path in (tree / "tests").rglob("test_*.py")}
    tested = [path for name, path in files.items() if path.stem not in (FACE, "__main__")]
    return {
        "rooms": len(of_rooms),
        "arrows": sum(map(len, of_rooms.values())),
        "floors": max(floors(of_rooms).values()),
        "files at the root": sum(path.parent.name == PACKAGE for path in files.values()),
        "files": len(files),
        "lines": sum(lines),
        "median file, lines": statistics.median(lines),
        "longest file, lines": max(lines),
        "median function, lines": statistics.median(lengths),
        "function at the 90th percentile, lines": lengths[int(0.9 * len(lengths))],
        "longest function, lines": lengths[-1],
        "parameters that are Any, %": _percent(functions, _parameters, _is_any),
        "lines that are comments, %": round(100 * sum(map(_comments, files.values())) / sum(lines), 1),
        "public functions with arrays that state a shape, %": _percent(
            [node for parsed in trees.values() for node in _public(parsed)], _arrays, _states_a_shape
        ),
        "modules with a test of the same name, %": round(
            100 * sum(bool({path.stem, f"{path.parent.name}_{path.stem}"} & stems) for path in tested) / len(tested), 1
        ),
    }


def _percent(
    nodes: list[ast.FunctionDef],
    parts: Callable[[ast.FunctionDef], list[ast.AST]],
    counts: Callable[[ast.AST], bool],
) -> float:
    found = [part for node in nodes for part in parts(node)]
    return round(100 * sum(map(counts, found)) / max(1, len(found)), 1)


def _parameters(node: ast.FunctionDef) -> list[ast.AST]:
    """All but `self` and `cls`."""
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one for one in every if one is not None and one.arg not in ("self", "cls")]


def _is_any(parameter: ast.AST) -> bool:
    return bool(isinstance(parameter, ast.arg) and parameter.annotation and "Any" == _plain(parameter.annotation))


def _plain(annotation: ast.expr) -> str:
    """`Any` for `Any | None` too."""
    return re.sub(r"\s*\|\s*None$", "", ast.unparse(annotation))


def _public(parsed: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions of a module and methods of its classes whose names have no leading underscore."""
    holders: list[ast.Module | ast.ClassDef] = [parsed]
    holders += [n for n in parsed.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    for holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield node


ARRAY = re.compile(r"\b(ndarray|Tensor|tf\.Tensor|np\.ndarray)\b")


def _arrays(node: ast.FunctionDef) -> list[ast.AST]:
    """The function itself if it returns an array or tensor; a Keras `call` is told by its class."""
    returns = ast.unparse(node.returns) if node.returns else ""
    return [node] if ARRAY.search(returns) and node.name != "call" else []


SHAPE = re.compile(r"\([^()]*[a-z_0-9*/ ]+(,[^()]*)+\)|\([a-z_ ]+,\)|scalar|\bLike `|like `|(\d+|[a-z]+)x(\d+|[a-z]+)")


def _states_a_shape(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and bool(SHAPE.search(ast.get_docstring(node) or ""))


def _comments(path: Path) -> int:
    """Lines with a comment, those for tools (`noqa`, `fmt`, `type`) aside."""
    with path.open("rb") as file:
        return sum(
            token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|fmt:|type:)", token.string)
            for token in tokenize.tokenize(file.readline)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", metavar="TREE", type=Path, nargs="*", default=[ROOT])
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument("--mermaid", action="store_true", help="the diagram of the first tree")
    options = parser.parse_args()
    if options.mermaid:
        print(mermaid(options.trees[0]))
        return
    found = [measure(tree) for tree in options.trees]
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name in found[0]:
        print(f"{name:52}" + "".join(f"{numbers[name]:>10g}" for numbers in found))


if __name__ == "__main__":
    main()

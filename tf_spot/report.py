"""One page about a run that needs nothing but itself: tables, curves, pictures, configuration."""

from __future__ import annotations

import contextlib
import html
import importlib.resources
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from tf_spot import charts
from tf_spot.data.images import BadImage, read_image
from tf_spot.errors import UserError
from tf_spot.pictures import conv1_filters
from tf_spot.runs import STAGES, Run, write_text
from tf_spot.training import load_spotter

PICTURES = 4  # grids shown of each stage, evenly over time, the first and the last among them
GALLERY_SIDE = 480  # pixels, the longest side of a picture in the gallery


def report(run_path: str | Path) -> Path:
    """Writes RUN/report.html from what the run folder holds; an unfinished run gives an unfinished report.

    Returns:
        the page's path.

    Raises:
        UserError: `run_path` is not a run folder.
    """
    run = Run(run_path)
    sections = (
        _section("What the features are worth", _results(run)),
        _section("Training", _curves(run)),
        _section("Pictures over time", _pictures(run)),
        _section("Where images look repaired", _gallery(run)),
        _section("Filters of conv1", _filters(run)),
        _section("Configuration and provenance", _provenance(run)),
    )
    page = Template(importlib.resources.files("tf_spot").joinpath("templates/report.html").read_text(encoding="utf-8"))
    data, config = run.data, run.config
    subtitle = f"{data['name']}, {config.data.image_size} pixels, preset {config.preset}, seed {config.training.seed}"
    path = run.path / "report.html"
    write_text(
        path,
        page.substitute(
            title=_text(f"tf_spot: {run.path.resolve().name}"), subtitle=_text(subtitle), body="\n".join(sections)
        ),
    )
    return path


# --- sections: each returns HTML, with everything from outside escaped ------------------------------------------------


def _results(run: Run) -> str:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((run.path / "results").glob("*.json"))]
    if not found:
        return _note("No evaluation yet. Make one with: tf-spot evaluate RUN --data SPEC --task linear")
    return "\n".join(_result(result) for result in found)


def _result(result: dict[str, Any]) -> str:
    """One column a layer of the backbone; rivals that have other layers show their best figure alone."""
    methods = {result["method"]: result} | result["rivals"]
    layers = list(result["by_layer"])
    table = {name: [figures["by_layer"].get(layer) for layer in layers] + [figures["value"]]
             for name, figures in methods.items()}  # fmt: skip
    best = [max(value for value in column if value is not None) for column in zip(*table.values(), strict=True)]
    head = "".join(f"<th>{_text(name)}</th>" for name in ["", *layers, "best"])
    rows = "".join(
        f"<tr{' class=own' if name == result['method'] else ''}><td>{_text(name)}</td>{_cells(values, best)}</tr>"
        for name, values in table.items()
    )
    says = (
        f"{result['metric']} in {result['unit']}, standard error {result['stderr']:.1f}; {result['train_images']:,} "
        f"training and {result['test_images']:,} test images. The best of each column is underlined."
    )
    if result["mask_auc"] is not None:
        says += f" Finding dropped cells in test images: area under the ROC curve {result['mask_auc']:.3f}."
    return (
        f"<h3>{_text(result['task'])} on {_text(result['data'])}</h3>"
        f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>{_note(says)}'
    )


def _cells(values: Sequence[float | None], best: Sequence[float]) -> str:
    texts = ("" if value is None else f"{value:.1f}" for value in values)
    marks = (" class=best" if value == top else "" for value, top in zip(values, best, strict=True))
    return "".join(f"<td{mark}>{text}</td>" for mark, text in zip(marks, texts, strict=True))


def _curves(run: Run) -> str:
    metrics = run.metrics()
    drawn = [(chart, uri) for chart in charts.CHARTS if (uri := charts.draw(chart, metrics))]
    if not drawn:
        return _note("Nothing recorded yet.")
    figures = (_figure([uri], chart.healthy, heading=chart.title) for chart, uri in drawn)
    return _grid(figures)


def _pictures(run: Run) -> str:
    parts = []
    for stage in STAGES:
        paths = _spread(sorted((run.path / "pictures").glob(f"{stage}-*.png")), PICTURES)
        figures = [
            _figure([charts.data_uri(path.read_bytes(), "png")], f"after epoch {int(path.stem.rpartition('-')[2])}")
            for path in paths
        ]
        if figures:
            parts.append(f"<h3>{_text(stage)}</h3>\n{_grid(figures, 'grid large')}")
    return "\n".join(parts) or _note("No pictures yet.")


def _gallery(run: Run) -> str:
    """The images of every `tf-spot spot RUN ... --out RUN/FOLDER`."""
    found = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.path.glob("*/spot.json"))}
    figures = [_spotted(folder, entry) for folder, spots in found.items() for entry in spots["images"]]
    if not figures:
        return _note("No heat maps yet. Make some with: tf-spot spot RUN IMAGE... --out RUN/spot")
    says = "Dark: looks intact. Bright: looks repaired. The score is the probability that the whole image was repaired."
    if run.config.game.mask_targets == "repaired":
        says += (
            f" The mask head has seen repaired images only, of which {run.config.game.drop_rate:.0%} was repaired, and "
            "expects as much of every image: look at where a map is brighter, not at how bright it is."
        )
    return f"<p>{says}</p>{_grid(figures, 'grid pair')}"


def _spotted(folder: Path, entry: dict[str, Any]) -> str:
    """The image, where it can still be read, and its heat map."""
    pictures: list[Image.Image] = [Image.open(folder / entry["overlay"])]
    with contextlib.suppress(BadImage):
        pictures.insert(0, Image.fromarray(read_image(Path(entry["path"]), GALLERY_SIDE)))
    name = Path(entry["path"]).name
    caption = f"{name}: score {entry['score']:.2f}, mean of the heat map {entry['heat_map_mean']:.2f}"
    return _figure([charts.jpeg(picture, GALLERY_SIDE) for picture in pictures], caption)


def _filters(run: Run) -> str:
    try:
        spotter = load_spotter(run)
    except UserError:
        return _note("No spotter yet.")
    picture = charts.png(Image.fromarray(conv1_filters(spotter.backbone)))
    says = "Healthy: edges, colour blobs and gratings emerge. Unchanged noise means that little was learned."
    return _figure([picture], says)


def _provenance(run: Run) -> str:
    versions = json.loads((run.path / "versions.json").read_text(encoding="utf-8"))
    facts = _facts(run.data | versions)
    config = _text(run.config.to_json())
    return f"{facts}<h3>Configuration</h3><pre>{config}</pre>"


# --- HTML -------------------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    """`value` as text that no browser takes for markup."""
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{content}\n</section>"


def _note(text: str) -> str:
    return f'<p class="soft">{_text(text)}</p>'


def _grid(figures: Iterable[str], style: str = "grid") -> str:
    return f'<div class="{style}">\n' + "\n".join(figures) + "\n</div>"


def _figure(uris: Sequence[str], caption: str, heading: str = "") -> str:
    title = f"<h3>{_text(heading)}</h3>" if heading else ""
    images = "".join(f'<img src="{uri}" alt="{_text(heading or caption)}" loading="lazy">' for uri in uris)
    return f"<figure>{title}{images}<figcaption>{_text(caption)}</figcaption></figure>"


def _facts(values: dict[str, Any]) -> str:
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(_plain(value))}</td></tr>" for name, value in values.items())
    return f'<div class="scroll"><table class="facts">{rows}</table></div>'


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _spread(items: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]

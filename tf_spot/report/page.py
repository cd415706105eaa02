"""The page of a run: its sections in order."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone
from tf_spot.report.heat_maps import heat_maps
from tf_spot.report.held_out_photos import held_out_photos
from tf_spot.report.html import Block, Figure, Provenance, figure, note, render_page
from tf_spot.report.neighbours import neighbours
from tf_spot.report.published import published_tables
from tf_spot.report.tables import results
from tf_spot.report.training_pictures import pictures
from tf_spot.report.tsne_plot import feature_map
from tf_spot.runs.load import load_backbone
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_text
from tf_spot.training.repair_signals import warnings_of
from tf_spot.visualization import charts
from tf_spot.visualization.pictures import conv1_filters

NOTHING_TRAINED = "No spotter yet."


def report(run_path: str | Path) -> Path:
    """Write RUN/report.html from the contents of the run folder; an unfinished run gives an unfinished report.

    The run may be a row of a comparison, whose backbone stands for the spotter.

    The photos of the run are read again, by the spec in its record, for neighbours and the map. Where they are gone,
    the page says so.

    Returns:
        the page's path.

    Raises:
        UserError: `run_path` is not a run folder.
    """
    run = Run(run_path)
    backbone = _trained(run)
    photos = NOTHING_TRAINED if backbone is None else held_out_photos(run, backbone)
    sections = {
        "What the features are worth": [*results(run), *published_tables(run)],
        "Training": _curves(run),
        "Pictures over time": pictures(run),
        "Where images look repaired": heat_maps(run),
        "Nearest neighbours": neighbours(run, photos),
        "Map of the features": feature_map(photos),
        "Filters of conv1": _filters(backbone),
        "Configuration and provenance": _provenance(run),
    }
    path, data, config = run.path / "report.html", run.data, run.config
    subtitle = f"{data['name']}, {config.data.image_size} pixels, preset {config.preset}, seed {config.training.seed}"
    write_text(path, render_page(f"tf_spot: {run.path.resolve().name}", subtitle, sections))
    return path


def _trained(run: Run) -> Backbone | None:
    try:
        return load_backbone(run.path).backbone
    except UserError:  # stage 2 has no model yet
        return None


def _curves(run: Run) -> list[Block]:
    metrics = run.metrics()
    rival = run.rival
    known = charts.CHARTS if rival is None else charts.CHARTS + charts.of_own_task(rival.method)
    drawn = [(chart, uri) for chart in known if (uri := charts.draw(chart, metrics))]
    if not drawn:
        return [note("Nothing recorded yet.")]
    figures = Block("figures.html", [Figure([uri], chart.healthy, heading=chart.title) for chart, uri in drawn])
    return [*(note(f"Warning: {text}") for text in warnings_of(metrics)), figures]


def _filters(backbone: Backbone | None) -> list[Block]:
    if backbone is None:
        return [note(NOTHING_TRAINED)]
    try:
        picture = charts.png(Image.fromarray(conv1_filters(backbone)))
    except UserError as error:  # a backbone of one's own
        return [note(str(error))]
    caption = "Healthy: edges, colour blobs and gratings emerge. Unchanged noise means that little was learned."
    return [figure(picture, caption)]


def _provenance(run: Run) -> list[Block]:
    return [Block("provenance.html", Provenance(run.data | run.versions, run.config.to_json()))]

"""The table of an evaluation."""

from __future__ import annotations

from typing import Any

from tests.support.repair_result import REPAIR
from tf_spot.evaluation import format_table


def test_table_shows_every_figure_and_the_lead(result: dict[str, Any]) -> None:
    says, head, spot, random, lead, encoding, pixels, *legend = format_table(result).splitlines()
    assert says.startswith(f"{result['task']} on stripes: accuracy in percent, standard error")
    assert "60 training and 30 test images" in says
    assert head.split() == ["conv1", "conv2", "conv3", "conv4", "conv5", "control"]
    shown = {line.split()[0]: line.split()[1:] for line in (spot, random, encoding, pixels)}
    assert shown["spot"] == [f"{v:.1f}" for v in result["by_layer"].values()]
    assert shown["random"][-1] == f"{result['rivals']['random']['value']:.1f}"
    assert shown["encoding"] == [f"{result['rivals']['encoding']['value']:.1f}"]
    expected = result["by_layer"]["conv2"] - result["rivals"]["random"]["by_layer"]["conv2"]
    assert lead.split()[2:][1].strip("()") == f"{expected:+.1f}"
    assert len({len(line) for line in (head, encoding, pixels)}) == 1  # columns stand straight
    assert len({len(line) for line in (spot, random, lead)}) == 1
    assert bool(legend) == ("(" in lead)


def folded(conv5: float, finetuned: float, deviation: float) -> dict[str, Any]:
    layers = {"conv5": conv5, "finetuned": finetuned}
    return {
        "metric": "accuracy", "by_layer": layers, "value": conv5, "deviation": dict.fromkeys(layers, deviation),
        "folds": {name: [value] * 10 for name, value in layers.items()},
    }  # fmt: skip


FOLDS = folded(50.0, 51.0, 0.5) | {
    "task": "stl10", "method": "spot", "data": "mine", "unit": "percent", "train_images": 1_000, "test_images": 8_000,
    "rivals": {"random": folded(40.0, 50.2, 2.0)},
}  # fmt: skip


def test_the_table_of_repair_has_a_row_per_kind_of_image() -> None:
    lines = format_table(REPAIR).splitlines()
    assert lines[0] == "repair on mine: 2,560 test images; critic trained for 600 steps on 1,792 of them"
    assert lines[1].startswith("autoencoder: 23.4 dB, 31 % of the Laplacian energy;") and lines[1].endswith(" 0.004")
    assert lines[2].split() == ["critic", "AUC", "patch", "distance", "brightness", "PSNR"]
    assert lines[3].split() == ["unrepaired", "0.973", "±", "0.004", "0.066", "-3.0", "18.0"]
    assert lines[4].split() == ["repaired", "0.786", "±", "0.012", "0.040", "+7.5", "16.0"]
    assert len({len(line) for line in lines[2:]}) == 1
    today = format_table(REPAIR | {"critic": REPAIR["critic"] | {"critics": 3}}).splitlines()
    assert today[0].endswith("; 3 critics trained for 600 steps on 1,792 of them") and today[1:] == lines[1:]


def test_tables_of_folds_and_of_measures() -> None:
    """The test photos give an error of 0.6 points, the folds 0.2 and 0.6: finetuned is level, conv5 is not."""
    says, head, spot, other, lead, legend = format_table(FOLDS).splitlines()
    assert says.startswith("stl10 on mine: accuracy in percent, standard error up to 0.6")
    assert head.split() == ["conv5", "finetuned"]
    assert "50.0 ± 0.5" in spot and "51.0 ± 0.5" in spot
    assert "50.2 ± 2.0" in other and lead.split() == ["above", "random", "+10.0", "(+0.8)"]
    assert legend == "in brackets: within two standard errors, no lead"
    assert len({len(line) for line in (head, spot, other, lead)}) == 1


def test_results_of_earlier_versions_show_every_layer_and_no_best_one() -> None:
    """Their best layer was chosen on the test split."""
    earlier = FOLDS | {"best_layer": "finetuned", "value": 51.0}
    assert format_table(earlier) == format_table(FOLDS)


def test_random_stands_beside_random_adapted() -> None:
    layers = {"conv5": 60.0}
    rivals = {name: {"by_layer": {"conv5": value}, "value": value}
              for name, value in (("random, adapted", 52.0), ("spot", 58.0), ("random", 50.0))}  # fmt: skip
    adapted = {
        "task": "linear", "method": "spot, adapted", "data": "mine", "metric": "accuracy", "unit": "percent",
        "train_images": 9, "test_images": 10_000, "by_layer": layers, "value": 60.0, "rivals": rivals,
    }  # fmt: skip
    lines = format_table(adapted).splitlines()[2:]
    assert [" ".join(line.split()) for line in lines] == [
        "spot, adapted 60.0", "random, adapted 52.0", "above random +8.0", "spot 58.0", "random 50.0",
        "above random +8.0",
    ]  # fmt: skip

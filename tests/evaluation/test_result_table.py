"""The table of an evaluation."""

from __future__ import annotations

from typing import Any

from tests.support.repair_result import REPAIR
from tf_spot.evaluation import format_table


def test_table_shows_every_figure_and_the_lead(result: dict[str, Any]) -> None:
    says, head, spot, random, lead, encoding, pixels = format_table(result).splitlines()
    assert says.startswith(f"{result['task']} on stripes: accuracy in percent, standard error")
    assert "60 training and 30 test images" in says
    assert head.split() == ["conv1", "conv2", "conv3", "conv4", "conv5", "best"]
    shown = {line.split()[0]: line.split()[1:] for line in (spot, random, encoding, pixels)}
    assert shown["spot"] == [f"{v:.1f}" for v in [*result["by_layer"].values(), result["value"]]]
    assert shown["random"][-1] == f"{result['rivals']['random']['value']:.1f}"
    assert shown["encoding"] == [f"{result['rivals']['encoding']['value']:.1f}"]
    expected = result["by_layer"]["conv2"] - result["rivals"]["random"]["by_layer"]["conv2"]
    assert lead.split()[3:][1] == f"{expected:+.1f}"
    assert len({len(line) for line in (head, spot, random, lead, encoding, pixels)}) == 1  # columns stand straight


def test_the_table_of_repair_has_a_row_per_kind_of_image() -> None:
    lines = format_table(REPAIR).splitlines()
    assert lines[0] == "repair on mine: 2,560 test images; critic trained for 600 steps on 1,792 of them"
    assert lines[1].startswith("autoencoder: 23.4 dB, 31 % of the Laplacian energy;") and lines[1].endswith(" 0.004")
    assert lines[2].split() == ["critic", "AUC", "patch", "distance", "brightness", "PSNR"]
    assert lines[3].split() == ["unrepaired", "0.973", "±", "0.004", "0.066", "-3.0", "18.0"]
    assert lines[4].split() == ["repaired", "0.786", "±", "0.012", "0.040", "+7.5", "16.0"]
    assert len({len(line) for line in lines[2:]}) == 1


def test_tables_of_folds_and_of_measures() -> None:
    random = {"by_layer": {"conv5": 40.0, "finetuned": 41.5}, "deviation": {"conv5": 1.0, "finetuned": 2.0}}
    folds = {
        "task": "stl10", "method": "spot", "data": "mine", "metric": "accuracy", "unit": "percent", "stderr": 0.4,
        "train_images": 1_000, "test_images": 8_000, "value": 51.0, "best_layer": "finetuned",
        "by_layer": {"conv5": 50.0, "finetuned": 51.0}, "deviation": {"conv5": 0.5, "finetuned": 1.5},
        "rivals": {"random": random | {"value": 41.5}},
    }  # fmt: skip
    says, head, spot, other, lead = format_table(folds).splitlines()
    assert says.startswith("stl10 on mine: accuracy in percent, standard error 0.4")
    assert head.split() == ["conv5", "finetuned", "best"]
    assert "50.0 ± 0.5" in spot and "51.0 ± 1.5" in spot
    assert "41.5 ± 2.0" in other and other.endswith("41.5") and lead.split() == ["lead", "over", "random", "+10.0",
                                                                                "+9.5", "+9.5"]  # fmt: skip
    assert len({len(line) for line in (head, spot, other, lead)}) == 1
    del folds["best_layer"]
    assert format_table(folds).splitlines()[1].split() == ["conv5", "finetuned"]

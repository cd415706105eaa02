"""`tf-spot evaluate`: the table it prints and the result file it writes."""

import json

import pytest

from tests.commands.example import last_line
from tf_spot.cli import main
from tf_spot.config import Config


@pytest.mark.parametrize("task", ["linear", "knn"])
def test_evaluate_prints_and_records_the_table(task, spec, run, tmp_path, capsys) -> None:
    words = ["evaluate", str(run), "--data", spec, "--task", task, "--layers", "conv2,conv5", "--num-values", "40"]
    assert main([*words, "--pooling", "max", "--seed", "3", "--out", str(tmp_path / "x.json"), "--json"]) == 0
    out = capsys.readouterr().out
    result = last_line(out)
    name = spec.rpartition("/")[2]
    assert result == json.loads((tmp_path / "x.json").read_text())
    assert result == json.loads((run / "results" / f"{task}-{name}.json").read_text())
    assert list(result["by_layer"]) == ["conv2", "conv5"]
    assert (result["task"], result["method"], result["data"], result["seed"]) == (task, "spot", name, 3)
    assert result["pooling"] == "max" and all(count <= 200 for count in result["num_values"].values())
    assert f"{result['by_layer']['conv5']:.1f}" in out and f"{result['rivals']['pixels']['value']:.1f}" in out
    assert str(result["mask_auc"]) in out and 0 <= result["mask_auc"] <= 1


def test_result_has_every_key_it_promises(spec, run) -> None:
    assert main(["evaluate", str(run), "--data", spec, "--task", "knn", "--layers", "conv1"]) == 0
    result = json.loads(next((run / "results").glob("knn-*.json")).read_text())
    keys = {"task", "method", "data", "preset", "seed", "metric", "value", "by_layer", "images_seen", "seconds"}
    assert keys | {"stderr", "rivals", "command", "config", "commit", "versions", "machine", "mask_auc"} <= set(result)
    assert set(result["rivals"]) == {"random", "encoding", "pixels"}
    for rival in result["rivals"].values():
        assert keys <= set(rival)
    assert result["preset"] == "tiny" and Config.from_dict(result["config"]) == Config.load(run / "config.json")
    assert result["images_seen"] == (2 + 3) * 4  # both stages, batches of four
    seen = {name: rival["images_seen"] for name, rival in result["rivals"].items()}
    assert seen == {"random": 0, "encoding": 2 * 4, "pixels": 0}
    assert result["versions"]["tensorflow"] and result["machine"]["cpus"]


def test_unknown_layer_is_a_mistake(spec, run, capsys) -> None:
    assert main(["evaluate", str(run), "--data", spec, "--task", "knn", "--layers", "conv9"]) == 2
    assert "conv9" in capsys.readouterr().err

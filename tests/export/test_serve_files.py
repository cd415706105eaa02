"""export/serve: the files for a stock TensorFlow Serving, and the load test."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tf_spot.serving.rest import METRICS_PATH

SERVE = Path(__file__).parents[2] / "export" / "serve"
# The fields of BatchingParameters in tensorflow_serving/servables/tensorflow/session_bundle_config.proto, which is in
# no Python package.
BATCHING = {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"}


def text(name: str) -> str:
    return (SERVE / name).read_text(encoding="utf-8")


def test_the_model_config_is_one() -> None:
    config = text_format.Parse(text("models.config"), model_server_config_pb2.ModelServerConfig())
    [model] = config.model_config_list.config
    assert model.name == Path(model.base_path).name
    assert model.model_version_policy.WhichOneof("policy_choice") == "all"
    assert dict(model.version_labels) == {"stable": 1}


def test_the_batching_parameters() -> None:
    lines = [line for line in text("batching.config").splitlines() if not line.startswith("#")]
    single = dict(re.fullmatch(r"(\w+) \{ value: (\d+) \}", line).groups() for line in lines if "{" in line)
    assert set(single) == BATCHING
    sizes = [int(re.fullmatch(r"allowed_batch_sizes: (\d+)", line)[1]) for line in lines if "{" not in line]
    assert sizes == sorted(set(sizes)) and sizes[-1] == int(single["max_batch_size"])  # TensorFlow Serving wants both


def test_monitoring_is_where_our_server_has_it() -> None:
    config = " ".join(line.strip() for line in text("monitoring.config").splitlines() if not line.startswith("#"))
    assert config == f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}'


def test_the_compose_file_mounts_what_it_names() -> None:
    compose = text("compose.yaml")
    for name in re.findall(r"/config/([\w.]+)$", compose, re.M):
        assert f"./{name}:/config/{name}:ro" in compose
        assert (SERVE / name).exists()
    model = text_format.Parse(text("models.config"), model_server_config_pb2.ModelServerConfig())
    assert f"}}:{model.model_config_list.config[0].base_path}:ro" in compose
    assert re.findall(r'- "(.*?)"', compose) == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]


@pytest.mark.slow
def test_load(tmp_path: Path) -> None:
    out = tmp_path / "load.json"
    command = [sys.executable, str(SERVE / "load_test.py"), "--seconds", "5", "--malformed", "0.2"]
    command += ["--max-queue", "20", "--out", str(out)]
    here = os.environ | {"PYTHONPATH": str(SERVE.parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=here)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["wrong"] == found["lost"] == 0 and found["examples"] == []
    assert min(found["answered_by_version"].values()) > 0 and min(found["answered_by_protocol"].values()) > 0
    assert found["malformed_refused"] > 0 and found["exit_code"] == 143
    assert found["value"] > 0 and len(found["memory_mib"]) == 10

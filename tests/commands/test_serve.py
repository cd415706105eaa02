"""`tf-spot serve`: its options, what it prints at the start, and its exit code."""

import signal

import pytest

from tf_spot.cli import main
from tf_spot.serving import server


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_options_reach_the_server_and_its_addresses_are_printed(number, code, tmp_path, monkeypatch, capsys) -> None:
    seen = []

    def serve(options, on_start):
        seen.append(options)
        values = {"name": "spot", "rest_url": "http://127.0.0.1:1", "grpc_target": "127.0.0.1:2", "versions": [1, 3]}
        fields = server.Listening.__dataclass_fields__
        on_start(server.Listening(**{name: values.get(name) for name in fields}))
        return number

    monkeypatch.setattr(server, "serve", serve)
    words = ["--rest-port", "0", "--max-queue", "9", "--label", "stable=1", "--label", "new=3", "--host", "::1"]
    assert main(["serve", str(tmp_path), *words]) == code
    (options,) = seen
    assert (options.rest_port, options.grpc_port, options.max_queue, options.host) == (0, 8500, 9, "::1")
    assert options.labels == {"stable": 1, "new": 3}
    out, err = capsys.readouterr()
    assert "http://127.0.0.1:1/v1/models/spot" in out and "127.0.0.1:2" in out and "1, 3" in out
    assert "in production run TensorFlow Serving" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rest-port", "70000"], "from 0 to 65535"),
        (["--max-batch-size", "0"], "1 or more"),
        (["--batch-timeout-ms", "-1"], "0 or more"),
        (["--poll-seconds", "soon"], "must be a number"),
        (["--label", "stable"], "LABEL=VERSION"),
    ],
)
def test_wrong_values_are_refused(words, says, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["serve", "x", *words])
    assert stop.value.code == 2 and says in capsys.readouterr().err

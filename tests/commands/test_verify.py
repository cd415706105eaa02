"""`tf-spot verify`: the metrics of the check."""

from tests.commands.example import Recorder, last_line
from tf_spot.cli import main


def test_metrics_are_printed(tmp_path, monkeypatch, capsys) -> None:
    verify = Recorder({"artifact": "model.onnx", "share": 0.123456789})
    monkeypatch.setattr("tf_spot.exporters.verify", verify)
    (tmp_path / "manifest.json").touch()
    assert main(["verify", str(tmp_path), "--json"]) == 0
    assert verify.received(tmp_path)
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["share", "0.123457"] and last_line(out)["share"] == 0.123456789

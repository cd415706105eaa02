"""`tf-spot report`: where the page is."""

from tests.commands.example import last_line
from tf_spot.cli import main


def test_report_prints_its_path(run, capsys) -> None:
    assert main(["report", str(run), "--json"]) == 0
    out = capsys.readouterr().out
    assert last_line(out) == {"report": str(run / "report.html")} and (run / "report.html").is_file()

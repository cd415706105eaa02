"""What all subcommands share."""

import argparse

import pytest

from tf_spot.commands.shared_options import add_device_options, add_subcommand, format_metrics


def test_metrics_are_printed_with_six_digits() -> None:
    metrics = {"run": "mine", "images_seen": 12345678, "learning_rate": 9.999999747378752e-06, "loss": 0.123456789}
    assert [line.split()[-1] for line in format_metrics(metrics).splitlines()] == [
        "mine",
        "12345678",
        "1e-05",
        "0.123457",
    ]


def test_a_subcommand_has_its_function_and_the_options_of_all() -> None:
    subcommands = argparse.ArgumentParser().add_subparsers()
    add_subcommand(subcommands, "fly", run := lambda options: ({}, 0), "take off")
    options = subcommands.choices["fly"].parse_args(["--json"])
    assert options.subcommand is run and options.json and not options.debug


def test_device_options(capsys) -> None:
    parser = argparse.ArgumentParser()
    add_device_options(parser)
    options = parser.parse_args([])
    assert options.strategy == "auto" and options.wait > 0
    options = parser.parse_args(["--strategy", "multiworker", "--wait", "7.5"])
    assert (options.strategy, options.wait) == ("multiworker", 7.5)
    with pytest.raises(SystemExit):
        parser.parse_args(["--strategy", "everything"])
    assert "mirrored" in capsys.readouterr().err

"""The public functions: their keywords are those of `export`, and each passes them on."""

import inspect
from typing import get_type_hints

import pytest

import tf_spot
from tf_spot.exporters import formats
from tf_spot.exporters.export import export

KEYWORDS = set(inspect.signature(export).parameters) - {"model", "path", "format"}


def test_the_keywords_are_those_of_export() -> None:
    """With the same types; a new keyword of `export` must be offered here too."""
    assert set(formats.QuantizedExportOptions.__annotations__) == KEYWORDS
    assert set(formats.ExportOptions.__annotations__) == KEYWORDS - {"quantize"}
    hints = get_type_hints(export)
    assert get_type_hints(formats.QuantizedExportOptions) == {name: hints[name] for name in KEYWORDS}


@pytest.mark.parametrize("format", ["saved_model", "tflite", "onnx"])
def test_each_function_exports_its_format(monkeypatch, format) -> None:
    calls = []
    monkeypatch.setattr(formats, "export", lambda *args, **options: calls.append((args, options)))
    function = getattr(tf_spot, f"export_{format}")
    function("model", "path", part="spotter", probe=None)
    assert calls == [(("model", "path"), {"format": format, "part": "spotter", "probe": None})]
    assert function.__doc__ and function.__name__ == f"export_{format}"


def test_an_unknown_keyword_is_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'quantise'"):
        tf_spot.export_onnx(None, tmp_path / "out", quantise="int8")

"""JSON in pieces: what `json.loads` reads, and bounds on what is hostile."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import pytest

from tf_spot.serving import json_pieces
from tf_spot.serving.json_pieces import MAX_DEPTH, read_json

MANY = 10**6


@pytest.fixture(params=[8, 64, 32 * 1024])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces cut every value somewhere."""
    monkeypatch.setattr(json_pieces, "PIECE", request.param)


def plain(value: Any) -> Any:
    """Return arrays as lists, at any depth."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "-1.5e3",
        "true",
        "null",
        '"a\\"]\\\\"',
        "[]",
        "{}",
        "[ ]",
        "[[],[]]",
        " [1 , 2.5] ",
        '{"a": [1, 2], "b": {"c": "d,[e"}}',
        '["x", ",]", {"b64": "aa=="}, null]',
        "[[1, 2], [3]]",
        "[[[1, 2]], [[3, 4]]]",
        '[1, "é", [2]]',
        "[NaN, Infinity]",
        json.dumps(np.arange(120).reshape(5, 4, 6).tolist()),
        json.dumps([["word, [word]"] * 3] * 4),
    ],
)
def test_the_values_are_those_of_json(piece: None, text: str) -> None:
    np.testing.assert_equal(plain(read_json(text.encode(), MANY)), json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1]]",
        "[1}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "{1: 2}",
        '"a',
        '["a]',
        "nul",
        "[nul]",
        "1 2",
        '{"a": 1 "b": 2}',
        "\xff",
        "[[1, 2, 3], [1, 2, 3],]",
        '["' + "a" * 100 + '",]',
        '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ]}',
        "9" * 5000,
    ],
)
def test_what_is_not_json_is_refused(piece: None, text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text.encode("latin-1"), MANY)


def test_numbers_become_arrays() -> None:
    images = np.arange(2 * 50 * 50 * 3).reshape(2, 50, 50, 3) / 7
    found = read_json(json.dumps({"instances": images.tolist()}).encode(), MANY)["instances"]
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[" + b"[]," * 100 + b"[]]", "at most 100"),
        (b"[" * (MAX_DEPTH + 2), "nested"),
        (b"[" * 200_000, "at most"),
        (b'{"a":' * (MAX_DEPTH + 2), "nested"),
        (b"[[" * 40 + b"1" * 40_000, "nested"),
    ],
)
def test_count_and_depth_are_bounded(text: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_json(text, 100)


@pytest.mark.parametrize("value", [b'"a"', b"null", b"{}", b"[1],[]", b'{"a":1}'])
def test_values_that_no_array_holds_are_bounded(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pieces, "MAX_OBJECTS", 1000)
    monkeypatch.setattr(json_pieces, "PIECE", 1024)
    with pytest.raises(ValueError, match="more than 1000 strings"):
        read_json(b"[" + b",".join([value] * 2000) + b"]", MANY)


def test_other_threads_go_on_meanwhile() -> None:
    """Without pieces the longest wait is that for the whole text, about half a second here."""
    text = b"[" + b"[]," * 1_500_000 + b"[]]"
    waits, done = [], threading.Event()

    def tick() -> None:
        while not done.is_set():
            started = time.perf_counter()
            time.sleep(0.001)
            waits.append(time.perf_counter() - started)

    ticking = threading.Thread(target=tick)
    ticking.start()
    found = read_json(text, 10**7)
    done.set()
    ticking.join()
    assert found.shape == (1_500_001, 0)
    assert np.median(waits) < 0.05 and len(waits) > 5  # single waits depend on the machine's other work

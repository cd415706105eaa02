"""Where photos are kept: what fits, what pays, what is refused, and what the plan is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.test_split import Levels
from tf_spot.config import CACHES, PAPER
from tf_spot.data import cache_choice
from tf_spot.data.cache_choice import PLACES, keep_photos
from tf_spot.data.random_views import RandomViews
from tf_spot.data.split import ImageSplit
from tf_spot.errors import UserError

COUNT = 10
BYTES = COUNT * 8 * 8 * 3  # of photos of one pixel, their sides filled up


@pytest.fixture
def views() -> RandomViews:
    return RandomViews(ImageSplit(Levels(COUNT), None, {}), 8, PAPER.data)


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes by place, for tests to change."""
    most = {"device": BYTES, "host": BYTES}
    monkeypatch.setattr(cache_choice, "most_bytes", most.__getitem__)
    return most


def kept(views: RandomViews, cache: str, **changes: Any) -> str:
    return keep_photos(views, cache, **{"num_images": 2 * COUNT, "replicas": 1, "has_gpu": False} | changes)


def test_every_choice_has_its_places() -> None:
    assert tuple(PLACES) == CACHES


@pytest.mark.parametrize(
    ("cache", "settings", "place"),
    [
        ("host", {}, "host"),
        ("device", {}, "device"),
        ("host", {"num_images": 1}, "host"),
        ("auto", {}, "host"),
        ("auto", {"has_gpu": True}, "device"),
        ("auto", {"has_gpu": True, "replicas": 2}, "host"),
    ],
)
def test_photos_that_fit_are_kept_where_they_are_wanted(
    views: RandomViews, cache: str, settings: dict[str, Any], place: str
) -> None:
    assert kept(views, cache, **settings) == f"{place}: 0 MiB of decoded photos"
    assert views.cache is not None and views.cache.place == place


@pytest.mark.parametrize(("cache", "settings"), [("none", {}), ("auto", {"num_images": 2 * COUNT - 1})])
def test_no_photos_are_kept_if_none_are_wanted_or_each_is_read_once(
    views: RandomViews, cache: str, settings: dict[str, Any]
) -> None:
    kept(views, "host")
    assert kept(views, cache, **settings).startswith("none")
    assert views.cache is None


def test_what_does_not_fit_the_gpu_goes_to_the_host_and_then_nowhere(views: RandomViews, room: dict[str, int]) -> None:
    room["device"] -= 1
    assert kept(views, "auto", has_gpu=True).startswith("host")
    room["host"] -= 1
    views.cache = None
    assert kept(views, "auto", has_gpu=True).startswith("none: more than 0 MiB of decoded photos, of which the memory")
    assert views.cache is None


@pytest.mark.parametrize("cache", ["device", "host"])
def test_a_cache_that_is_asked_for_and_does_not_fit_is_refused(
    views: RandomViews, room: dict[str, int], cache: str
) -> None:
    room[cache] = BYTES - 1
    with pytest.raises(UserError, match=f"--cache {cache} needs room for all photos; received: .*--cache auto"):
        kept(views, cache)


def test_photos_that_are_kept_already_are_not_decoded_again(views: RandomViews) -> None:
    kept(views, "host")
    first = views.cache
    kept(views, "auto")
    assert views.cache is first
    kept(views, "device")
    assert views.cache is not first and views.cache is not None and views.cache.place == "device"


def test_other_words_and_several_replicas_are_refused(views: RandomViews) -> None:
    with pytest.raises(UserError, match="must be one of auto, device, host, none; received: 'disk'"):
        kept(views, "disk")
    with pytest.raises(UserError, match="one device that trains; received: 2 replicas; use --cache host"):
        kept(views, "device", replicas=2)

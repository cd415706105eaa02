"""Where the photos of a training are kept decoded: in the device's memory, in the host's, or nowhere."""

from __future__ import annotations

from tf_spot.config import CACHES
from tf_spot.data.free_memory import most_bytes
from tf_spot.data.photo_cache import DoesNotFit, PhotoCache, Place, decode_all
from tf_spot.data.random_views import RandomViews
from tf_spot.errors import UserError
from tf_spot.progress import Progress

PLACES: dict[str, tuple[Place, ...]] = {
    "auto": ("device", "host"),
    "device": ("device",),
    "host": ("host",),
    "none": (),
}
READS = 2  # of each photo, from which on it pays to decode all of them first
MIB = 2**20


def keep_photos(
    views: RandomViews,
    cache: str,
    *,
    num_images: int,
    replicas: int,
    has_gpu: bool,
    on_progress: Progress | None = None,
) -> str:
    """Keep the photos of a training decoded where `cache` says; return where they are kept, in words for the plan.

    Args:
        views: whose photos; it gets the cache. What it keeps already is not decoded again.
        cache: `device`, `host`, `none`, or `auto`: the first of the three that the photos fit into. Then `device` is
            for one GPU alone, and `none` also where each photo is read less than twice.
        num_images: images that the training makes of the photos.
        replicas: devices that share a batch.
        has_gpu: whether the device is a GPU.
        on_progress: called every five seconds with (photos done, photos, text).

    Raises:
        UserError: another `cache`, several replicas for `device`, or photos that do not fit.
    """
    if cache not in CACHES:
        raise UserError(f"--cache must be one of {', '.join(CACHES)}; received: {cache!r}")
    if cache == "device" and replicas > 1:
        raise UserError(
            f"--cache device keeps the photos on the one device that trains; received: {replicas} replicas; use "
            "--cache host"
        )
    places = PLACES[cache]
    if cache == "auto":
        if num_images < READS * len(views.split):
            views.cache = None
            return f"none: {num_images:,} images are made of {len(views.split):,} photos"
        if replicas > 1 or not has_gpu:
            places = ("host",)
    if views.cache is None or views.cache.place not in places:
        views.cache, why_not = _decoded(views, places, on_progress)
        if views.cache is None:
            if cache in ("device", "host"):
                raise UserError(f"--cache {cache} needs room for all photos; received: {why_not}; use --cache auto")
            return f"none: {why_not}" if why_not else "none"
    return f"{views.cache.place}: {int(views.cache.pixels.shape[0]) / MIB:,.0f} MiB of decoded photos"


def _decoded(
    views: RandomViews, places: tuple[Place, ...], on_progress: Progress | None
) -> tuple[PhotoCache | None, str]:
    """Return the photos in the first place that they fit into; or None, and why they fit into none."""
    why_not = ""
    estimate = views.split.mean_bytes() * len(views.split)
    for place in places:
        limit = most_bytes(place)
        try:
            return decode_all(views.split, place, limit, estimate, on_progress), ""
        except DoesNotFit as error:
            why_not = str(error)
    return None, why_not

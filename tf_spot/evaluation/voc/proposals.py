"""Object proposals by selective search. It takes longer than the network, so its boxes are kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tf_spot.data.voc import VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.fit_classifier import OnShare
from tf_spot.storage.files import write_file
from tf_spot.storage.provenance import version_of
from tf_spot.storage.user_cache import user_cache

MOST = 2_000  # boxes per photo. Source: Fast R-CNN
PACKAGE = "opencv-contrib-python-headless"


def default_folder() -> Path:
    """Return where proposals are kept, for all runs: they depend on photos alone."""
    return user_cache("proposals")


class Proposals:
    """The boxes of photos, each found once and then read from a folder.

    A file is named after all that its boxes depend on: the photo's bytes, `side` and the versions. It is moved into
    place whole, and one that cannot be read is searched again.

    Args:
        folder: keeps the files.
        side: pixels; photos whose shorter side is longer are first shrunk to it, as the search takes long.

    Raises:
        UserError: OpenCV with its contributed modules is not installed.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.folder, self.side = folder, side
        self._algorithm = _algorithm()

    def __call__(self, voc: VOC, name: str) -> np.ndarray:
        """Return the boxes of a photo: float32 (boxes, 4), top, left, bottom, right in its pixels; the larger first.

        Raises:
            UserError: the photo is missing or damaged.
        """
        try:
            content = voc.photo_path(name).read_bytes()
        except OSError as error:
            raise UserError(f"JPEGImages/{name}.jpg of {voc.spec} cannot be read: {error}") from error
        settings = f"fast {self.side} {MOST} {version_of(PACKAGE)} {version_of('pillow')} "
        file = self.folder / f"{hashlib.sha256(settings.encode() + content).hexdigest()[:32]}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):
            return np.load(file)
        boxes = self._search(voc.photo(name))
        write_file(file, lambda aside: _save(aside, boxes))
        return boxes

    def find(self, voc: VOC, names: Sequence[str], on_share: OnShare) -> list[np.ndarray]:
        """Return the boxes of photos, float32 (boxes, 4) each, searched on all cores.

        Args:
            voc: the photos.
            names: of the photos.
            on_share: called after every photo.

        Raises:
            UserError: a photo is missing or damaged.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            asked = [pool.submit(self, voc, name) for name in names]
            try:
                for done, future in enumerate(as_completed(asked), start=1):
                    future.result()
                    on_share(done / len(asked))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in asked]

    def _search(self, photo: np.ndarray) -> np.ndarray:
        """Return the boxes of a photo, uint8 (height, width, 3): float32 (boxes, 4) in its pixels."""
        scale = min(1.0, self.side / min(photo.shape[:2]))
        height, width = (max(1, round(scale * length)) for length in photo.shape[:2])
        shrunk = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        search = self._algorithm()
        search.setBaseImage(np.ascontiguousarray(np.asarray(shrunk)[..., ::-1]))  # OpenCV's colours are BGR
        search.switchToSelectiveSearchFast()
        found = [[0, 0, width, height], *search.process()]  # always the whole photo, so that there is a box
        left, top, wide, high = np.array(found, np.float32).T
        boxes = np.unique(np.stack([top, left, top + high, left + wide], axis=1), axis=0)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        # OpenCV's own order is random, the boxes are not.
        largest = boxes[np.argsort(-areas, kind="stable")[:MOST]]
        back = np.array([photo.shape[0] / height, photo.shape[1] / width] * 2, np.float32)
        return (largest * back).astype(np.float32)


def _save(path: Path, boxes: np.ndarray) -> None:
    with path.open("wb") as file:  # `np.save` would add .npy to a path
        np.save(file, boxes)


def _algorithm() -> Callable[[], Any]:
    """Return OpenCV's constructor of selective search."""
    try:
        from cv2.ximgproc import segmentation
    except ImportError as error:
        raise UserError(
            f"--task voc-detection needs OpenCV with its contributed modules ({error}); install them with: "
            "pip install tf-spot[voc]"
        ) from error
    create: Callable[[], Any] = segmentation.createSelectiveSearchSegmentation
    return create

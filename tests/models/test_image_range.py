"""Images in another range or shape are refused with the formula that converts them."""

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.models.image_range import check_images

IMAGES = np.linspace(-1, 1, 2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)


@pytest.mark.parametrize(
    "images", [IMAGES, tf.constant(IMAGES), IMAGES.astype(np.float16), IMAGES * 5, IMAGES[:0], IMAGES.tolist()]
)
def test_images_in_range_pass(images: object) -> None:
    check_images(images, "x")
    check_images(images, "x", (4, 4, 3))


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ((IMAGES + 1) * 127.5, r"values from 0 to 255; convert \[0, 255\] by images / 127.5 - 1"),
        (((IMAGES + 1) * 127.5).astype(np.uint8), "received: uint8; convert: images / 127.5 - 1"),
        (IMAGES * np.nan, "received: values from nan"),
        (IMAGES[0], r"received: shape \(4, 4, 3\)"),
        (IMAGES[..., :1], r"\(batch, any, any, 3\); received: shape \(2, 4, 4, 1\)"),
    ],
)
def test_other_images_are_refused(images: np.ndarray, told: str) -> None:
    with pytest.raises(UserError, match=f"x must be.*{told}"):
        check_images(images, "x")


def test_the_size_is_that_of_the_network() -> None:
    with pytest.raises(UserError, match=r"\(batch, 8, 8, 3\); received: shape \(2, 4, 4, 3\)"):
        check_images(IMAGES, "x", (8, 8, 3))

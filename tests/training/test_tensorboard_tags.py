"""Every number that a training records has a group."""

from __future__ import annotations

import pytest

from tf_spot.models.stations import LOGS
from tf_spot.training.tensorboard_tags import tag_of


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("mask_loss", "loss/mask_loss"),
        ("held_out_reconstruction_loss", "loss/held_out_reconstruction_loss"),
        ("decoded_accuracy", "accuracy/decoded_accuracy"),
        ("linear_accuracy", "accuracy/linear_accuracy"),
        ("held_out_psnr", "health/held_out_psnr"),
        ("held_out_laplacian_share", "health/held_out_laplacian_share"),
        ("effective_rank", "health/effective_rank"),
        ("learning_rate", "rate/learning_rate"),
        ("images_per_second", "rate/images_per_second"),
        ("seconds", "rate/seconds"),
    ],
)
def test_tags(name: str, tag: str) -> None:
    assert tag_of(name) == tag


def test_what_a_step_logs_is_a_loss_or_an_accuracy() -> None:
    assert {tag_of(name).partition("/")[0] for name in LOGS} == {"loss", "accuracy"}

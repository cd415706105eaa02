"""Less memory for more time: activations computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def recomputed(stage: Callable[..., Any], *inputs: tf.Tensor, update_statistics: bool = True) -> Any:
    """`stage(*inputs)`, of which only the inputs are kept for the gradient.

    Args:
        stage: also takes `update_statistics`. The second time it must leave batch norm's moving statistics alone, which
            would move twice otherwise.
        *inputs: float tensors.
        update_statistics: the first time, they move.
    """
    first = iter([update_statistics])  # the forward pass takes it; every later call is a recomputation
    return tf.recompute_grad(lambda *again: stage(*again, update_statistics=next(first, False)))(*inputs)

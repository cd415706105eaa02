"""The losses: tensors in, scalar out. Means over the batch of this replica, not yet divided by the replicas."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from tf_spot.distributed.replicas import global_sum, num_replicas

CORRUPT, REAL = 0, 1  # classes of the realness head


def reconstruction_loss(images: tf.Tensor, decoded: tf.Tensor) -> tf.Tensor:
    """Mean squared error of the autoencoder, a scalar.

    Args:
        images, decoded: (batch, height, width, 3) in [-1, 1].

    Source: authors' code (the paper writes a sum).
    """
    return tf.reduce_mean(tf.math.squared_difference(decoded, images))


def realness_loss(real_logits: tf.Tensor, corrupt_logits: tf.Tensor) -> tf.Tensor:
    """Two-way cross entropy, the mean over real and corrupt examples; logits (batch, 2). Source: paper, section 3."""
    return (_cross_entropy(real_logits, REAL) + _cross_entropy(corrupt_logits, CORRUPT)) / 2


def adversarial_loss(kind: str, corrupt_logits: tf.Tensor, real_logits: tf.Tensor | None = None) -> tf.Tensor:
    """What the repair network minimises against the discriminator, the mean over examples.

    Args:
        kind: `nonsaturating`: the discriminator's loss with flipped labels (authors' intent); `minimax`: minus its loss
            (the paper's formula); `confusion`: flipped plus unflipped, whose gradient pulls towards "undecided" (what
            the authors' code does by accident).
        corrupt_logits: (batch, 2).
        real_logits: (batch, 2), which the repair network changes through batch norm alone; given, the loss is of both
            halves (authors' code), without them of the corrupt half (the paper's minimum over the repair network).
    """
    halves = [(corrupt_logits, CORRUPT)] if real_logits is None else [(corrupt_logits, CORRUPT), (real_logits, REAL)]
    unflipped = tf.add_n([_cross_entropy(logits, label) for logits, label in halves]) / len(halves)
    flipped = tf.add_n([_cross_entropy(logits, 1 - label) for logits, label in halves]) / len(halves)
    return {"nonsaturating": flipped, "minimax": -unflipped, "confusion": flipped + unflipped}[kind]


def mask_loss(
    targets: str, real_mask_logits: tf.Tensor, corrupt_mask_logits: tf.Tensor, keep_mask: tf.Tensor
) -> tf.Tensor:
    """Sigmoid cross entropy of "this cell was kept", mean over cells; all (batch, h, w, 1).

    Args:
        targets: `repaired`: corrupt images only (paper); `both`: real images too, all cells kept (authors' code).
    """
    corrupt = _sigmoid_cross_entropy(corrupt_mask_logits, keep_mask)
    if targets == "repaired":
        return corrupt
    return (corrupt + _sigmoid_cross_entropy(real_mask_logits, tf.ones_like(keep_mask))) / 2


def kept_loss(
    images: tf.Tensor, repaired: tf.Tensor, keep_mask: tf.Tensor, kept_cells: tf.Tensor | None = None
) -> tf.Tensor:
    """Mean squared error to the input over the pixels of kept cells; `keep_mask` (batch, h, w, 1).

    The mean is over the kept values of the global batch. Source: authors' code; not in the paper.

    Args:
        kept_cells: what to divide by in place of this batch's own number of kept cells: for a part of a batch, the
            batch's number over the number of parts.
    """
    factor = images.shape[1] // keep_mask.shape[1]
    pixels = tf.repeat(tf.repeat(keep_mask, factor, axis=1), factor, axis=2)  # (batch, height, width, 1)
    squares = tf.reduce_sum(pixels * tf.math.squared_difference(repaired, images))
    kept = global_sum(tf.reduce_sum(pixels)) if kept_cells is None else kept_cells * factor**2
    count = kept * images.shape[-1]
    # Losses are divided by the replicas later, but `count` is of all of them already.
    return num_replicas() * tf.math.divide_no_nan(squares, count)


def weight_penalty(variables: Iterable[tf.Variable]) -> tf.Tensor:
    """Half the squared norm of every kernel (variables of rank 2 or more), a scalar."""
    return tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(v)) for v in variables if len(v.shape) > 1])


def _cross_entropy(logits: tf.Tensor, label: int) -> tf.Tensor:
    labels = tf.fill(tf.shape(logits)[:1], label)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def _sigmoid_cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))

"""What `compile` and `fit` refuse: other precisions, and what goes wrong silently under a strategy.

Each refusal gives its reason; all of them were seen with TensorFlow 2.21 and Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import GeneratorType

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import PRECISIONS
from tf_spot.errors import UserError


def check_compile(
    model: keras.Model,
    optimizers: Iterable[keras.optimizers.Optimizer],
    steps_per_execution: int = 1,
    micro_batches: int = 1,
) -> None:
    """Refuse what the networks or several replicas cannot do exactly.

    Raises:
        UserError: see `check_scope`; another precision than `PRECISIONS`; or with several replicas: clipping, gradient
            accumulation, micro batches or more than one step in an execution.
    """
    check_scope(model, optimizers)
    _check_precision(model)
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:  # one device can do all of what follows
        return
    if micro_batches > 1:
        _refuse(replicas, "micro batches", f"micro_batches={micro_batches}", "more replicas, which share the batch")
    if steps_per_execution > 1:
        _refuse(
            replicas, "several steps in one execution", f"steps_per_execution={steps_per_execution}", "leave it out"
        )
    for optimizer in optimizers:
        _check_optimizer(optimizer, replicas)


def refuse_accumulation(optimizers: Iterable[keras.optimizers.Optimizer]) -> None:
    """Refuse Keras' gradient accumulation where draws are functions of the optimizer's count of updates.

    It counts one update for several batches, which would drop the same cells and fill the same slots of the history.

    Raises:
        UserError: names the optimizer.
    """
    for optimizer in optimizers:
        if optimizer.gradient_accumulation_steps:
            raise UserError(
                "every batch must be an update, whose number the random draws depend on; received: optimizer "
                f"{optimizer.name} with gradient_accumulation_steps={optimizer.gradient_accumulation_steps}; to save "
                "memory use compile(micro_batches=n), or training.micro_batches"
            )


def _check_optimizer(optimizer: keras.optimizers.Optimizer, replicas: int) -> None:
    if optimizer.gradient_accumulation_steps:
        received = f"gradient_accumulation_steps={optimizer.gradient_accumulation_steps}"
        _refuse(replicas, "gradient accumulation", received, "a larger batch, which the replicas share")
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        if getattr(optimizer, name) is not None:
            why = "clipping: Keras clips each replica's gradient before their sum, not the sum"
            _refuse(replicas, why, f"{name}={getattr(optimizer, name)}", "leave it out, or train on one device")


def _check_precision(model: keras.Model) -> None:
    for part in (model, *model.layers):
        if part.dtype_policy.name not in PRECISIONS:
            raise UserError(
                f"training computes in {' or '.join(PRECISIONS)}; received: dtype policy {part.dtype_policy.name}; "
                f'call keras.config.set_dtype_policy("{PRECISIONS[1]}") before the model is made, or leave it out'
            )


def _refuse(replicas: int, what: str, received: str, remedy: str) -> None:
    raise UserError(f"training on {replicas} replicas cannot use {what}; received: {received}; use instead: {remedy}")


def check_scope(model: keras.Model, optimizers: Iterable[keras.optimizers.Optimizer] = ()) -> None:
    """Refuse a model or an optimizer that was not made under the strategy that trains the model.

    Raises:
        UserError: names what was made elsewhere.
    """
    extended = model.distribute_strategy.extended
    owners = {"the model": model.variables}
    owners |= {f"optimizer {optimizer.name}": optimizer.variables for optimizer in optimizers}
    for name, variables in owners.items():
        if not all(extended.variable_created_in_scope(variable.value) for variable in variables):
            raise UserError(
                f"model and optimizers must be made under one strategy; received: {name}, made outside of the scope "
                f"of the {type(model.distribute_strategy).__name__} that trains; make all of them inside "
                "`with strategy.scope():`"
            )


def fixed_batch(
    model: keras.Model,
    x: tf.data.Dataset | tf.distribute.DistributedDataset | tf.Tensor | np.ndarray,
    batch_size: int | None,
) -> int | None:
    """Return the number of images in each global batch that `fit` will read from `x`.

    Args:
        model: has `micro_batches`.
        x: as `fit` takes it.
        batch_size: as `fit` takes it, for arrays.

    Returns:
        None where batches are not of one size.

    Raises:
        UserError: the model trains on several replicas or in micro batches, which cannot share every batch equally.
    """
    check_scope(model)
    replicas = model.distribute_strategy.num_replicas_in_sync
    batch = _batch(x, batch_size, replicas, model.micro_batches)
    received = "batches whose size may vary" if batch is None else f"batches of {batch}"
    if replicas > 1 and (batch is None or batch % replicas):
        raise UserError(
            f"every batch must divide by the {replicas} replicas; received: {received}; use batch(n, "
            f"drop_remainder=True) with n a multiple of {replicas}"
        )
    if model.micro_batches > 1 and (batch is None or batch % model.micro_batches):
        raise UserError(
            f"every batch must divide into {model.micro_batches} micro batches; received: {received}; use batch(n, "
            f"drop_remainder=True) with n a multiple of {model.micro_batches}"
        )
    return batch


def _batch(
    x: tf.data.Dataset | tf.distribute.DistributedDataset | tf.Tensor | np.ndarray,
    batch_size: int | None,
    replicas: int,
    micro_batches: int,
) -> int | None:
    if isinstance(x, tf.data.Dataset):
        return _rows(tf.nest.flatten(x.element_spec)[0])  # images come first, before any labels
    if isinstance(x, tf.distribute.DistributedDataset):  # its spec is that of one replica's share
        rows = _rows(tf.nest.flatten(x.element_spec, expand_composites=True)[0])
        return None if rows is None else rows * replicas
    if isinstance(x, GeneratorType | keras.utils.PyDataset):
        return None  # known only once they are read
    batch = batch_size or 32  # Keras' default
    # An array's last batch is smaller unless its length divides; one device computes with any size, in equal parts.
    images = len(keras.tree.flatten(x)[0])
    whole = images % batch == 0 or (replicas == 1 and images % micro_batches == 0)
    return batch if whole else None


def _rows(spec: tf.TensorSpec) -> int | None:
    return None if spec.shape[0] is None else int(spec.shape[0])

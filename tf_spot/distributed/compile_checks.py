"""What `compile` and `fit` refuse: precisions other than two, and what goes wrong under a strategy without a word.

Each refusal says why; all of them were seen with TensorFlow 2.21 and Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tf_spot.config import PRECISIONS
from tf_spot.errors import UserError


def check_compile(model: Any, optimizers: Iterable[Any], steps_per_execution: int = 1, micro_batches: int = 1) -> None:
    """Refuses what the networks or several replicas cannot do exactly, and parts made under another strategy.

    Raises:
        UserError: see `check_scope`; another precision than `PRECISIONS`; or with several replicas: clipping, gradient
            accumulation, parts of a batch or more than one step in an execution.
    """
    check_scope(model, optimizers)
    _check_precision(model)
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return
    if micro_batches > 1:
        _refuse(replicas, "parts of a batch", f"micro_batches={micro_batches}", "more replicas, which share the batch")
    if steps_per_execution > 1:
        _refuse(
            replicas, "several steps in one execution", f"steps_per_execution={steps_per_execution}", "leave it out"
        )
    for optimizer in optimizers:
        if optimizer.gradient_accumulation_steps:
            received = f"gradient_accumulation_steps={optimizer.gradient_accumulation_steps}"
            _refuse(replicas, "gradient accumulation", received, "a larger batch, which the replicas share")
        for name in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(optimizer, name) is not None:
                why = "clipping: Keras clips each replica's gradient before their sum, not the sum"
                _refuse(replicas, why, f"{name}={getattr(optimizer, name)}", "leave it out, or train on one device")


def _check_precision(model: Any) -> None:
    for part in (model, *model.layers):
        if part.dtype_policy.name not in PRECISIONS:
            raise UserError(
                f"training computes in {' or '.join(PRECISIONS)}; received: dtype policy {part.dtype_policy.name}; "
                f'call keras.config.set_dtype_policy("{PRECISIONS[1]}") before the model is made, or leave it out'
            )


def _refuse(replicas: int, what: str, received: str, cure: str) -> None:
    raise UserError(f"training on {replicas} replicas cannot use {what}; received: {received}; use instead: {cure}")


def check_scope(model: Any, optimizers: Iterable[Any] = ()) -> None:
    """Refuses a model or an optimizer that was not made under the strategy that trains the model.

    Raises:
        UserError: names what was made elsewhere.
    """
    extended = model.distribute_strategy.extended
    parts = {"the model": model.variables}
    parts |= {f"optimizer {optimizer.name}": optimizer.variables for optimizer in optimizers}
    for name, variables in parts.items():
        if not all(extended.variable_created_in_scope(variable.value) for variable in variables):
            raise UserError(
                f"model and optimizers must be made under one strategy; received: {name}, made outside of the scope "
                f"of the {type(model.distribute_strategy).__name__} that trains; make all of them inside "
                "`with strategy.scope():`"
            )


def fixed_batch(model: Any, x: Any, batch_size: int | None) -> int | None:
    """Images in each global batch that `fit` will read from `x`; None where they are not of one size.

    Raises:
        UserError: the model trains on several replicas or in parts, which cannot share every batch equally.
    """
    check_scope(model)
    replicas = model.distribute_strategy.num_replicas_in_sync
    batch = _batch(x, batch_size, replicas)
    if replicas > 1 and (batch is None or batch % replicas):
        received = "batches whose size may vary" if batch is None else f"batches of {batch}"
        raise UserError(
            f"every batch must divide by the {replicas} replicas; received: {received}; use batch(n, "
            f"drop_remainder=True) with n a multiple of {replicas}"
        )
    if model.micro_batches > 1 and (batch is None or batch % model.micro_batches):
        received = "batches whose size may vary" if batch is None else f"batches of {batch}"
        raise UserError(
            f"every batch must divide into {model.micro_batches} micro batches; received: {received}; use batch(n, "
            f"drop_remainder=True) with n a multiple of {model.micro_batches}"
        )
    return batch


def _batch(x: Any, batch_size: int | None, replicas: int) -> int | None:
    if isinstance(x, tf.data.Dataset):
        return _rows(tf.nest.flatten(x.element_spec)[0])
    if isinstance(x, tf.distribute.DistributedDataset):  # tells what one replica gets
        rows = _rows(tf.nest.flatten(x.element_spec, expand_composites=True)[0])
        return None if rows is None else rows * replicas
    batch = batch_size or 32  # Keras' default
    whole = replicas == 1 or len(keras.tree.flatten(x)[0]) % batch == 0
    return batch if whole else None


def _rows(spec: Any) -> int | None:
    return None if spec.shape[0] is None else int(spec.shape[0])

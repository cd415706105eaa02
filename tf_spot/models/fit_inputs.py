"""What `fit` and `compile` are given, looked at before the graph runs: a mistake in it fails there without a reason.

The first batch is looked at on the host. Where a history is kept, every batch must have the same size.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping
from types import GeneratorType
from typing import Any

import keras
import tensorflow as tf

from tf_spot.errors import UserError

KERAS_BATCH = 32  # Keras' own default
IGNORED_BY_COMPILE = ("loss", "loss_weights", "metrics", "weighted_metrics")
IGNORED_BY_FIT = ("class_weight", "sample_weight")
Batch = Any  # images, or (images, labels), as arrays or tensors


def refuse_ignored(arguments: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Refuse arguments of Keras that the method has no use for.

    Raises:
        UserError: names the first that is given.
    """
    for name in names:
        if arguments.get(name) is not None:
            raise UserError(f"losses and metrics are those of the method; received: {name}=; leave it out")


def images_of(batch: Batch) -> Any:
    """Return the images of a batch."""
    if not isinstance(batch, tuple | list | dict):
        return batch
    return next(iter(keras.tree.flatten(batch)), None)


class FitInput:
    """The argument `x` of `fit`, with its first batch.

    Args:
        x: as `fit` takes it.
        batch_size: as `fit` takes it, for arrays.
        validation_split: as `fit` takes it, for arrays.

    Attributes:
        x: to be given to Keras instead of the argument: the first batch of a generator can be taken only once.
        first: images of the first batch; None of a kind of input that cannot be looked at.
    """

    def __init__(self, x: Any, batch_size: int | None = None, validation_split: float = 0.0) -> None:
        self.x, self.first = x, None
        self._batch_size, self._validation_split = batch_size or KERAS_BATCH, validation_split
        self._odd_batch: UserError | None = None  # of a generator; inside the graph its message would be lost
        if isinstance(x, tf.data.Dataset):
            batch = next(iter(x.take(1)), None)
        elif isinstance(x, keras.utils.PyDataset):
            batch = x[0]
        elif isinstance(x, GeneratorType):
            batch = next(x, None)
            self.x = self._with_first(x, batch)
        elif hasattr(images_of(x), "shape"):
            batch = images_of(x)[: self._batch_size]
        else:  # a kind of input that Keras knows and this does not
            return
        if batch is None:
            raise UserError("x must have one batch at least; received: none")
        self.first = images_of(batch)

    def one_size(self) -> int | None:
        """Return the number of images in every batch; None where that is not known from here.

        Raises:
            UserError: a batch of another size.
        """
        if self.first is None or isinstance(self.x, tf.data.Dataset):
            return None
        rows = len(self.first)
        if isinstance(self.x, keras.utils.PyDataset):
            last = len(images_of(self.x[self.x.num_batches - 1])) if self.x.num_batches else rows
        elif isinstance(self.x, GeneratorType):
            self.x = self._of_size(self.x, rows)
            return rows
        else:
            count = int(len(images_of(self.x)) * (1 - self._validation_split))  # as Keras splits
            rows, last = self._batch_size, count % self._batch_size or self._batch_size
        if last != rows:
            raise _other_size(rows, last)
        return rows

    def mistake(self) -> UserError | None:
        """Return the reason why a generator was stopped, if one was."""
        return self._odd_batch

    def _with_first(self, rest: Iterator[Batch], batch: Batch) -> Generator[Batch, None, None]:
        for one in itertools.chain([] if batch is None else [batch], rest):
            yield one if isinstance(one, tuple) else (one,)  # Keras takes nothing but tuples from a generator

    def _of_size(self, batches: Iterator[Batch], rows: int) -> Generator[Batch, None, None]:
        for batch in batches:
            if len(images_of(batch)) != rows:
                self._odd_batch = _other_size(rows, len(images_of(batch)))
                raise self._odd_batch
            yield batch


def _other_size(rows: int, other: int) -> UserError:
    return UserError(
        f"the history needs batches of one size; received: batches of {rows} and one of {other}; leave out the last "
        "images, choose a batch size that divides their number, or set history_batches=0"
    )

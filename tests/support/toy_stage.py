"""A stage of ten steps that takes milliseconds: a toy model and its run, for the tests of callbacks and signals."""

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import preset
from tf_spot.runs.run import Run
from tf_spot.training import callbacks as cb
from tf_spot.training.interrupts import Signals, StopOnSignal
from tf_spot.training.position import Position

STEPS_PER_EPOCH, TOTAL, BATCH = 4, 10, 2


class Toy(keras.Model):
    """One weight that each step moves by `rate` times the batch's mean; logs the mean of that mean."""

    def __init__(self, rate=1.0):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")
        self.rate = rate
        self.mean = keras.metrics.Mean(name="value")
        self.built = True

    @property
    def metrics(self):
        return [self.mean]

    def train_step(self, images):
        value = tf.reduce_mean(images)
        self.optimizer.apply([-self.rate * value], [self.weight])
        self.mean.update_state(value)
        return {"value": self.mean.result()}


class ToyStage:
    """A run, a toy and the callbacks of a stage, fed with the values 1, 2, 3, ..."""

    def __init__(self, path, *, every=100, rate=1.0, values=None, check_steps=1):
        self.run = Run.create(path / "run", preset("tiny"), {"spec": "s", "fingerprint": "f", "counts": {}})
        self.folder = self.run.checkpoints("spotter")
        self.values = np.arange(1, TOTAL + 1) if values is None else np.asarray(values)
        self.every, self.rate, self.check_steps = every, rate, check_steps

    def fit(self, extra=(), first=0, means=None, signals=None, of_all=lambda number: [number], last=()):
        position = Position(
            "spotter", TOTAL, STEPS_PER_EPOCH, BATCH, step=first, check_steps=self.check_steps,
            checkpoint_steps=self.every,
        )  # fmt: skip
        self.checkpoint = checkpoint = cb.Checkpoints(position, self.folder, keep=2, means=means)
        writer = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))
        callbacks = [
            cb.CountSteps(position),
            cb.FiniteLoss(position, self.folder),
            *extra,
            cb.MetricsLog(position, self.run, writer),
            *last,
            checkpoint,
            StopOnSignal(position, signals or Signals(), checkpoint, of_all),
        ]
        self.model = Toy(self.rate)
        self.model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)
        images = np.repeat(self.values[first:], BATCH).astype(np.float32).reshape(-1, 1)
        data = tf.data.Dataset.from_tensor_slices(images).batch(BATCH)
        done = first % STEPS_PER_EPOCH
        try:
            while position.step < TOTAL:
                steps = min(STEPS_PER_EPOCH - done, TOTAL - position.step)
                stream = data.skip(position.step - first)
                self.model.fit(stream, steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=0)
                done = 0
        finally:
            checkpoint.wait()
        return position

    def lines(self):
        return [(line["epoch"], line["step"], line["value"]) for line in self.run.metrics()]

    def saved(self):
        return sorted(int(entry.name[5:]) for entry in self.folder.glob("step-*"))

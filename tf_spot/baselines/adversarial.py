"""What pretext tasks with a discriminator share: two losses, one update of both sides."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_spot.baselines.pretext import Examples, Pretext
from tf_spot.models.losses import weight_penalty


class AdversarialPretext(Pretext):
    """A pretext task that is also a game: a discriminator against all other networks.

    Both sides are updated at once from one pass, by one optimizer. Adam keeps its moments by variable, so that is the
    same as an optimizer for each side with the same rate.

    Subclasses set `discriminator` in `build_heads`; their `task_metrics` has "discriminator_loss", which the
    discriminator alone minimises, and the losses of `minimised`, whose sum all others minimise.
    """

    minimised: tuple[str, ...] = ("pretext_loss",)
    discriminator: keras.layers.Layer

    def train_step(self, data: Examples) -> dict[str, tf.Tensor]:
        """Apply one optimizer update to both sides.

        Args:
            data: see `Pretext.train_step`.

        Returns:
            float32 scalars, the means over the epoch so far.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        theirs = self.discriminator.trainable_variables
        ours = [v for v in self.trainable_variables if not any(v is their for their in theirs)]
        with tf.GradientTape(persistent=True) as tape:
            step = tf.convert_to_tensor(self.optimizer.iterations)
            metrics = self.task_metrics(images, labels, step, training=True)
            our_loss = tf.add_n([metrics[name] for name in self.minimised])
            our_loss += self.weight_decay * weight_penalty(ours)
            their_loss = metrics["discriminator_loss"] + self.weight_decay * weight_penalty(theirs)
        gradients = tape.gradient(our_loss, ours) + tape.gradient(their_loss, theirs)
        self.optimizer.apply(gradients, ours + theirs)
        return self._means(metrics)

"""The authors' graph in plain TensorFlow operations, from arrays under the authors' variable names.

Independent of the package on purpose: `tests/models/test_authors_checkpoint.py` compares the two. Run as a script it
writes `narrow.npz`, a
reference an eighth as wide as the authors' networks, small enough to be committed:

    python tests/golden/reference.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

NARROW = Path(__file__).parent / "narrow.npz"
EPSILON = 1e-3  # batch norm
MEAN = (123.68, 116.78, 103.94)


class Graph:
    """The networks on variables of `dtype`; `run`, in float32 alone, returns what the reference holds."""

    def __init__(self, weights: dict[str, np.ndarray], dtype: str = "float32") -> None:
        self.weights = {name: tf.Variable(value.astype(dtype)) for name, value in weights.items()}

    def conv(self, x: tf.Tensor, scope: str, stride: int = 1, padding: str = "SAME") -> tf.Tensor:
        x = tf.nn.conv2d(x, self.weights[f"{scope}/weights"], stride, padding)
        return x + self.weights[f"{scope}/biases"] if f"{scope}/biases" in self.weights else x

    def norm(self, x: tf.Tensor, scope: str, training: bool) -> tf.Tensor:
        scope += "/BatchNorm"
        if training:
            mean, variance = tf.nn.moments(x, (0, 1, 2))
        else:
            mean, variance = self.weights[f"{scope}/moving_mean"], self.weights[f"{scope}/moving_variance"]
        gamma = self.weights.get(f"{scope}/gamma")
        return tf.nn.batch_normalization(x, mean, variance, self.weights[f"{scope}/beta"], gamma, EPSILON)

    def block(self, x: tf.Tensor, scope: str, stride: int = 1, training: bool = False) -> tf.Tensor:
        return tf.nn.leaky_relu(self.norm(self.conv(x, scope, stride), scope, training), 0.2)

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        x = self.block(images, "encoder/conv_0")
        for i in range(1, 5):
            x = self.block(x, f"encoder/conv_{i}", 2)
        return x

    def decode(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """With a mask, repaired before every layer."""
        for i, number in enumerate((0, 1, 2, 4, 5)):
            if mask is not None:
                residual = self.block(tf.concat([x, mask], -1), f"generator/repair_{i}/conv1", training=True)
                x = x + (1 - mask) * self.conv(residual, f"generator/repair_{i}/conv2")
                mask = tf.repeat(tf.repeat(mask, 2, axis=1), 2, axis=2)
            if number == 5:
                return tf.tanh(self.conv(x, "decoder/deconv_5"))
            x = self.block(self.double(x), f"decoder/deconv_{number}")

    @staticmethod
    def double(x: tf.Tensor) -> tf.Tensor:
        """Bilinear, half-pixel centres; TensorFlow's gives float32 whatever it is given."""
        if x.dtype == tf.float32:
            return tf.image.resize(x, 2 * np.array(x.shape[1:3]))
        for axis in (1, 2):
            first, last = (tf.gather(x, [i], axis=axis) for i in (0, x.shape[axis] - 1))
            inner = tf.range(x.shape[axis])
            padded = tf.concat([first, x, last], axis)
            before, after = (tf.gather(padded, inner + shift, axis=axis) for shift in (0, 2))
            pairs = tf.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1)
            x = tf.reshape(pairs, [2 * size if i == axis else size for i, size in enumerate(x.shape)])
        return x

    def grouped(self, x: tf.Tensor, scope: str, norm: bool = False) -> tf.Tensor:
        outputs = []
        for group, part in enumerate(tf.split(x, 2, -1)):
            part = self.conv(part, f"{scope}/conv_{group}")
            outputs.append(self.norm(part, f"{scope}/conv_{group}", training=True) if norm else part)
        return tf.nn.relu(tf.concat(outputs, -1))

    @staticmethod
    def pool(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.lrn(tf.nn.max_pool2d(x, 3, 2, "SAME"), 2, bias=1.0, alpha=2e-5, beta=0.75)

    def discriminate(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        scope, out = "discriminator", {}
        x = images * 127.5 + 127.5 - tf.constant(MEAN)
        x = out["disc_conv_1"] = tf.nn.relu(self.conv(x, f"{scope}/conv_1", 4))
        x = out["disc_conv_2"] = self.grouped(self.pool(x), f"{scope}/conv_2")
        x = out["disc_conv_3"] = tf.nn.relu(self.conv(self.pool(x), f"{scope}/conv_3"))
        x = out["disc_conv_4"] = self.grouped(x, f"{scope}/conv_4")
        x = out["disc_conv_5"] = self.grouped(x, f"{scope}/conv_5", norm=True)
        out["mask_logits"] = tf.reshape(self.conv(x, f"{scope}/drop_pred"), (x.shape[0], -1))
        x = tf.nn.relu(self.norm(self.conv(x, f"{scope}/fc_1", padding="VALID"), f"{scope}/fc_1", training=True))
        out["class_logits"] = self.conv(x, f"{scope}/fc_2")[:, 0, 0]
        return out

    def repair(self, images: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = self.encode(images)
        corrupted = mask * encoded + (1 - mask) * tf.nn.avg_pool2d(encoded, 3, 1, "SAME")
        out = {"encoded": encoded, "corrupted": corrupted, "decoded": self.decode(encoded)}
        return out | {"repaired": self.decode(corrupted, mask)}

    def run(self, images: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        images, mask = tf.constant(images), tf.constant(mask)
        with tf.GradientTape(persistent=True) as tape:
            out = self.repair(images, mask)
            out |= self.discriminate(tf.concat([out["decoded"], out["repaired"]], 0))
            out |= self.losses(images, mask, out)
            generator = out["class_loss_repair"] + out["repair_mse_loss"]
            discriminator = out["class_loss_discriminator"] + 0.1 * out["mask_loss"]
        names, gradients = [], []
        for scope, total in (("generator", generator), ("discriminator", discriminator)):
            own = [name for name in self.weights if name.startswith(scope) and "moving_" not in name]
            names += own
            gradients += tape.gradient(total, [self.weights[name] for name in own])
        out = {name: value.numpy() for name, value in out.items()}
        return out | {"grad_names": np.array(names), "grad_norms": np.array([tf.norm(g).numpy() for g in gradients])}

    @staticmethod
    def losses(images: tf.Tensor, mask: tf.Tensor, out: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = images.shape[0]
        labels = tf.constant([1] * batch + [0] * batch)
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
        cells = tf.reshape(mask, (batch, -1))
        targets = tf.concat([tf.ones_like(cells), cells], 0)
        pixels = tf.image.resize(mask, images.shape[1:3], "nearest") * tf.ones_like(images)
        squares = tf.reduce_sum(pixels * (images - out["repaired"]) ** 2) / tf.reduce_sum(pixels)
        return {
            "class_loss_discriminator": tf.reduce_mean(cross_entropy(labels, out["class_logits"])),
            "class_loss_repair": tf.reduce_mean(cross_entropy(1 - labels, out["class_logits"])),
            "mask_loss": tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, out["mask_logits"])),
            "repair_mse_loss": 30 * squares,
        }


def narrow_weights(rng: np.random.Generator, grid: int = 2, fc_units: int = 64) -> dict[str, np.ndarray]:
    """Random weights an eighth as wide as the authors', rounded to float16."""
    weights: dict[str, np.ndarray] = {}

    def add(scope: str, *shape: int, bias: bool = False, norm: bool = False, gamma: bool = True) -> None:
        fan_in = np.prod(shape[:-1])
        weights[f"{scope}/weights"] = rng.normal(0, np.sqrt(1.5 / fan_in), shape)
        if bias:
            weights[f"{scope}/biases"] = rng.normal(0.1, 0.1, shape[-1])
        if norm:
            scope += "/BatchNorm"
            weights[f"{scope}/beta"] = rng.normal(0, 0.2, shape[-1])
            weights[f"{scope}/moving_mean"] = rng.normal(0, 0.2, shape[-1])
            weights[f"{scope}/moving_variance"] = rng.uniform(0.5, 1.5, shape[-1])
            if gamma:
                weights[f"{scope}/gamma"] = rng.uniform(0.5, 1.5, shape[-1])

    channels = (8, 8, 16, 32, 64)
    add("encoder/conv_0", 3, 3, 3, channels[0], norm=True)
    for i in range(1, 5):
        add(f"encoder/conv_{i}", 2, 2, channels[i - 1], channels[i], norm=True)
    for i, number in enumerate((0, 1, 2, 4)):
        add(f"decoder/deconv_{number}", 3, 3, channels[4 - i], channels[3 - i], norm=True)
    add("decoder/deconv_5", 3, 3, channels[0], 3, bias=True)
    for i, c in enumerate(channels[::-1]):
        add(f"generator/repair_{i}/conv1", 3, 3, c + 1, c, norm=True)
        add(f"generator/repair_{i}/conv2", 3, 3, c, c, bias=True)
    add("discriminator/conv_1", 11, 11, 3, 16, bias=True)
    weights["discriminator/conv_1/weights"] /= 64  # its input runs to 128
    add("discriminator/conv_3", 3, 3, 32, 48, bias=True)
    for group in (0, 1):
        add(f"discriminator/conv_2/conv_{group}", 5, 5, 8, 16, bias=True)
        add(f"discriminator/conv_4/conv_{group}", 3, 3, 24, 24, bias=True)
        add(f"discriminator/conv_5/conv_{group}", 3, 3, 24, 16, norm=True, gamma=False)
    add("discriminator/drop_pred", 3, 3, 32, 1, bias=True)
    add("discriminator/fc_1", grid, grid, 32, fc_units, norm=True, gamma=False)
    add("discriminator/fc_2", 1, 1, fc_units, 2, bias=True)
    return {name: value.astype("float16") for name, value in weights.items()}


def main() -> None:
    rng = np.random.default_rng(0)
    weights = narrow_weights(rng)
    images = rng.uniform(-1, 1, (8, 8, 8, 3)).repeat(4, 1).repeat(4, 2).astype("float16")  # 4-pixel blocks
    mask = (rng.uniform(size=(8, 2, 2, 1)) < 0.3).astype("float32")
    out = Graph(weights).run(images.astype("float32"), mask)
    np.savez_compressed(NARROW, images=images, mask=mask, **{f"weights:{k}": v for k, v in weights.items()}, **out)


if __name__ == "__main__":
    main()

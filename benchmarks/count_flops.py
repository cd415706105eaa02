"""Count the floating-point operations of a graph, as its layers are defined, and the bytes that it moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.types.experimental import ConcreteFunction

from tf_spot.ops import hardware

# For `hardware.trial`: some operations are computed in other forms (ops/hardware.py).
_DEFINED = dict.fromkeys(("own_gradients", "kernel_before_upsampling", "upsample_by_products", "mask_apart"), False)


def as_defined(computed: Callable[..., Any], *inputs: Any) -> ConcreteFunction:
    """Return the graph of `computed(*inputs)`, every layer in the form in which it is defined."""
    with hardware.trial(**_DEFINED):
        return tf.function(computed, autograph=False).get_concrete_function(*inputs)


def flop(function: ConcreteFunction) -> int:
    """Return the floating-point operations of the convolutions and matrix products that the result depends on.

    A gradient tape also adds unused gradients to the graph, such as those of frozen kernels; they never run.

    Args:
        function: a concrete function of TensorFlow.
    """
    return sum(map(_work, needed_operations(function)))


def traffic(function: ConcreteFunction) -> int:
    """Return the bytes that the operations of a graph read and write, each its inputs and outputs.

    That is what TensorFlow's own kernels move; XLA fuses many into one. Operations that only name or reshape a tensor
    move nothing. Tensors of unknown size do not count.
    """
    return sum(map(_bytes, needed_operations(function)))


def needed_operations(function: ConcreteFunction) -> set[tf.Operation]:
    """Return the operations of a graph that its results depend on."""
    needed = [output.op for output in function.graph.outputs] + list(function.graph.control_outputs)
    reached = set(needed)
    while needed:
        operation = needed.pop()
        new = {tensor.op for tensor in operation.inputs} | set(operation.control_inputs)
        needed.extend(new - reached)
        reached |= new
    return reached


MOVES_NOTHING = frozenset({"Const", "Identity", "NoOp", "Placeholder", "ReadVariableOp", "Reshape", "StopGradient"})


def _bytes(operation: tf.Operation) -> int:
    if operation.type in MOVES_NOTHING:
        return 0
    tensors = [tensor for tensor in (*operation.inputs, *operation.outputs) if tensor.shape.is_fully_defined()]
    return sum(
        tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors if tensor.dtype.is_numpy_compatible
    )


def _work(operation: tf.Operation) -> int:
    """Return two operations per multiply-add: kernel size x positions x images."""
    if operation.type not in ("MatMul", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
        return 0
    # (inputs..., outputs...); kernels are (height, width, inputs, outputs), maps (batch, height, width, channels)
    shapes = [tuple(tensor.shape) for tensor in (*operation.inputs, *operation.outputs)]
    if operation.type == "MatMul":
        inner = shapes[0][0 if operation.get_attr("transpose_a") else 1]
        return 2 * inner * math.prod(shapes[2])  # (rows, columns) of the product
    kernel = shapes[3] if operation.type == "Conv2DBackpropFilter" else shapes[1]
    return 2 * math.prod(kernel) * math.prod(shapes[2][:3])

"""The work of a graph: its floating-point operations, as its layers are defined."""

from __future__ import annotations

import math
from typing import Any


def flop(function: Any) -> int:
    """Floating-point operations of the convolutions and matrix products that the function's result needs.

    A tape also writes gradients into the graph that nobody asks for, such as those of frozen kernels; they never run.
    """
    needed = [output.op for output in function.graph.outputs] + list(function.graph.control_outputs)
    found = set(needed)
    while needed:
        operation = needed.pop()
        new = {tensor.op for tensor in operation.inputs} | set(operation.control_inputs)
        needed.extend(new - found)
        found |= new
    return sum(_work(operation) for operation in found)


def _work(operation: Any) -> int:
    """Two for every product of two numbers: the kernel's size times the places and images where it is laid on."""
    if operation.type not in ("MatMul", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
        return 0
    shapes = [tuple(tensor.shape) for tensor in (*operation.inputs, *operation.outputs)]
    if operation.type == "MatMul":
        inner = shapes[0][0 if operation.get_attr("transpose_a") else 1]
        return 2 * inner * math.prod(shapes[2])
    kernel = shapes[3] if operation.type == "Conv2DBackpropFilter" else shapes[1]
    return 2 * math.prod(kernel) * math.prod(shapes[2][:3])

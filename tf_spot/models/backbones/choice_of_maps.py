"""Which five maps of a functional Keras model are conv1 to conv5: by stride, or by layers."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import keras

from tf_spot.errors import UserError

MAPS = 5
STRIDE = 16
REFERENCE = 224  # pixels: sizes of maps at every stride are told apart
# Ends of blocks, besides layers with an activation.
ENDS = (keras.layers.ReLU, keras.layers.Add, keras.layers.Concatenate)


def sizes(model: keras.Model, pixels: int) -> list[tuple[int, int]]:
    """Return height and width in cells of every output, for images of that many pixels per side.

    Raises:
        ValueError: what Keras says of a kernel that is larger than what is left, or of another size than its own.
    """
    maps = model.compute_output_spec(keras.KerasTensor((None, pixels, pixels, 3)))
    return [(int(each.shape[1]), int(each.shape[2])) for each in keras.tree.flatten(maps)]


def with_weights(net: keras.Model) -> list[set[int]]:
    """Return the `id` of every operation with weights that each output is computed with, output by output."""
    found, places = [], _places(net)
    for output in net.outputs:
        reached: dict[int, keras.Operation] = {}
        ahead = [output._keras_history.operation]
        while ahead:
            operation = ahead.pop()
            if id(operation) not in reached:
                reached[id(operation)] = operation
                for node in places[id(operation)]:
                    ahead += [tensor._keras_history.operation for tensor in node.arguments.keras_tensors]
        found.append({key for key, operation in reached.items() if getattr(operation, "weights", None)})
    return found


def _places(net: keras.Model) -> dict[int, list[Any]]:
    """Return where each operation stands in a model, by its `id`; it may stand in other models too."""
    found: dict[int, list[Any]] = {}
    for nodes in net._nodes_by_depth.values():
        for node in nodes:
            found.setdefault(id(node.operation), []).append(node)
    return found


def evenly_spread(model: keras.Model, name: str) -> list[keras.KerasTensor]:
    """Choose the five maps: conv5 is the last one of stride 16.

    conv1, conv2, ... are the last maps of the smaller strides; where these are fewer than four, maps of stride 16 from
    further down come between, spread evenly. All are ends of blocks: activations, sums or concatenations that nothing
    later bypasses. Levels that the model itself offers (`pyramid_outputs`, as those of KerasHub) come before others of
    the same stride.

    Args:
        model: functional, for images of any size or of one.
        name: of the model, for messages.

    Raises:
        UserError: too few maps of stride 16.
    """
    pyramid = {id(level._keras_history.operation) for level in getattr(model, "pyramid_outputs", {}).values()}
    bypassed_by_none = {id(end) for end in block_ends(model)}
    ends = [operation for operation in model.operations if id(operation) in bypassed_by_none | pyramid]
    pixels = model.inputs[0].shape[1] or REFERENCE
    by_stride: dict[int, list[Any]] = {}
    if ends:
        tapped = keras.Model(model.inputs, [end.output for end in ends])
        for end, (height, _) in zip(ends, sizes(tapped, pixels), strict=True):
            by_stride.setdefault(2 ** round(math.log2(pixels / height)), []).append(end)
    for stride, found in by_stride.items():
        levels = [end for end in found if id(end) in pyramid]
        by_stride[stride] = found[: 1 + found.index(levels[-1])] if levels else found
    deepest = by_stride.get(STRIDE, [])
    chosen = [found[-1] for stride, found in sorted(by_stride.items()) if stride < STRIDE]
    missing = MAPS - 1 - len(chosen)
    if len(deepest) <= missing:
        raise UserError(
            f"a backbone needs maps of stride {STRIDE}; received: {name}, which has too few; name five layers yourself"
        )
    chosen += [deepest[(i + 1) * len(deepest) // (missing + 1) - 1] for i in range(missing + 1)]
    return [end.output for end in chosen]


def block_ends(model: keras.Model) -> list[Any]:
    """Activations, sums and concatenations through which everything passes, in order."""
    operations = model.operations
    positions = {id(operation): index for index, operation in enumerate(operations)}
    last_use = list(range(len(operations)))
    for index, operation in enumerate(operations[1:], start=1):  # the first is the input
        for tensor in keras.tree.flatten(operation.input):
            source = positions[id(tensor._keras_history.operation)]
            last_use[source] = max(last_use[source], index)
    # Everything passes through an operation if no tensor made before it is used after it.
    found, furthest = [], 0
    for index, operation in enumerate(operations):
        if index and furthest <= index and _is_end(operation):
            found.append(operation)
        furthest = max(furthest, last_use[index])
    return found


def _is_end(operation: keras.Operation) -> bool:
    activation = getattr(operation, "activation", keras.activations.linear)
    # `x + y` of two maps; a constant that is added ends nothing.
    is_sum = type(operation).__name__ == "Add" and len(keras.tree.flatten(operation.input)) == 2
    return isinstance(operation, ENDS) or is_sum or activation is not keras.activations.linear


def named_maps(model: keras.Model, layers: Sequence[str], name: str) -> list[keras.KerasTensor]:
    """Return the outputs of five layers of a model by their names.

    Raises:
        UserError: not five different names, one that the model has not, or a layer that stands in several places.
    """
    known = [layer.name for layer in model.layers]
    if isinstance(layers, str) or len(layers) != MAPS or len(set(layers)) != MAPS:
        raise UserError(
            f"a backbone takes the names of {MAPS} different layers, for conv1 to conv{MAPS}; received: {layers!r}"
        )
    for layer in layers:
        if layer not in known:
            near = ", ".join(difflib.get_close_matches(str(layer), known, n=4, cutoff=0))
            raise UserError(f"{name} has {len(known)} layers, such as {near}; received: {layer!r}")
    places = _places(model)
    found = [places[id(model.get_layer(layer))] for layer in layers]
    for layer, nodes in zip(layers, found, strict=True):
        if len(nodes) != 1 or len(nodes[0].output_tensors) != 1:
            raise UserError(f"a map must be the one output of one place of {name}; received: {layer}, used twice")
    return [nodes[0].output_tensors[0] for nodes in found]


def cut_off(
    model: keras.Model, maps: Sequence[keras.KerasTensor], name: str, kept_name: str | None = None
) -> keras.Model:
    """Return a model from its photos to five maps, without the layers that these do not need.

    Args:
        model: functional.
        maps: of it.
        name: of the model, for messages.
        kept_name: of the model that is returned.

    Raises:
        UserError: they are no maps, or one is not made with what the one before is made with.
    """
    net = keras.Model(model.inputs, list(maps), name=kept_name)
    layers = layers_of(net)
    for layer, output in zip(layers, net.outputs, strict=True):
        if len(output.shape) != 4 or output.shape[-1] is None:
            raise UserError(
                f"a map is (batch, height, width, channels); received: {output.shape} of layer {layer} of {name}; "
                "tokens become a map by keras.layers.Reshape((height, width, channels)), without the class token"
            )
    needed = with_weights(net)
    for number in range(1, len(layers)):
        if not needed[number - 1] <= needed[number]:
            raise UserError(
                f"every map must lead to the next, as conv{number} to conv{number + 1}; received: layer "
                f"{layers[number - 1]} of {name}, some of whose weights {layers[number]} is not made with; choose "
                "layers in order, on one path"
            )
    return net


def layers_of(net: keras.Model) -> list[str]:
    """Return the names of the layers that make the outputs."""
    return [output._keras_history.operation.name for output in net.outputs]

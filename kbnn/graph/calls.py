"""Lists the calls of a model's layers, with the inputs, the outputs and the users of each call."""

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.nodes import nodes_of, tensors_given, tensors_taken

Shape = tuple[int | None, ...]


class Call:
    """One use of a layer.

    Attributes:
        layer: the layer.
        input_shapes: the shapes of its inputs, with the batch size first.
        input_dtypes: the types of its inputs, such as "float32".
        output_shapes: the shapes of its outputs.
        producers: the calls whose outputs it takes; None means an input of the model.
        users: the calls that take its outputs.
        is_output: whether an output of the call is an output of the model.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        input_shapes: list[Shape],
        input_dtypes: list[str],
        output_shapes: list[Shape],
        producers: "list[Call | None]",
    ) -> None:
        self.layer = layer
        self.input_shapes = input_shapes
        self.input_dtypes = input_dtypes
        self.output_shapes = output_shapes
        self.producers = producers
        self.users: list[Call] = []
        self.is_output = False


def calls_of(model: keras.Model) -> list[Call]:
    """List every call of a layer, in the order in which the model runs them.

    In place of a nested model, the list has the calls of its layers. If a layer is used twice, it
    has two calls; if a nested model is used twice, each of its layers has two.
    """
    found: list[Call] = []
    for call in _walk(model, [None] * len(model.inputs), found):
        if call is not None:
            call.is_output = True
    return found


def _walk(model: keras.Model, begin: list[Call | None], found: list[Call]) -> list[Call | None]:
    """Append the calls of a model's layers, and return the calls that produce its outputs."""
    producers = dict(zip(map(id, model.inputs), begin, strict=True))
    for node in nodes_of(model):
        inputs, outputs = tensors_taken(node), tensors_given(node)
        taken = [producers[id(tensor)] for tensor in inputs]
        if isinstance(node.layer, keras.Model):
            given = _walk(node.layer, taken, found)
        else:
            call = Call(
                node.layer,
                [tuple(tensor.shape) for tensor in inputs],
                [tf.as_dtype(tensor.dtype).name for tensor in inputs],
                [tuple(tensor.shape) for tensor in outputs],
                taken,
            )
            found.append(call)
            for producer in taken:
                if producer is not None:
                    producer.users.append(call)
            given = [call] * len(outputs)
        producers.update(zip(map(id, outputs), given, strict=True))
    return [producers[id(tensor)] for tensor in model.outputs]


def common_shape(calls: list[Call]) -> Shape:
    """The shape of a layer's input in all its calls, with None for sizes that differ."""
    axes = zip(*(call.input_shapes[0] for call in calls), strict=True)
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in axes)

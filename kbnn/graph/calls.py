"""A model as the list of its layers' calls: what each takes, gives, and who uses it."""

import tf_keras as keras

from kbnn.graph.nodes import nodes_of, tensors_given, tensors_taken

Shape = tuple[int | None, ...]


class Call:
    """One use of a layer.

    Attributes:
        layer: the layer.
        input_shapes: shapes of the tensors that it takes, the batch first.
        output_shapes: shapes of the tensors that it gives.
        producers: the calls whose outputs it takes; None stands for an input of the model.
        users: the calls that take its outputs.
        is_output: whether the model itself gives its output.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        input_shapes: list[Shape],
        output_shapes: list[Shape],
        producers: "list[Call | None]",
    ) -> None:
        self.layer = layer
        self.input_shapes = input_shapes
        self.output_shapes = output_shapes
        self.producers = producers
        self.users: list[Call] = []
        self.is_output = False


def calls_of(model: keras.Model) -> list[Call]:
    """Each call of a layer while the model runs, in order; a nested model is what it consists of.

    A layer that is used twice is called twice, and so is each layer of a nested model that is.
    """
    found: list[Call] = []
    for call in _walk(model, [None] * len(model.inputs), found):
        if call is not None:
            call.is_output = True
    return found


def _walk(model: keras.Model, begin: list[Call | None], found: list[Call]) -> list[Call | None]:
    """Append the calls that a model makes; returns those that give its outputs."""
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

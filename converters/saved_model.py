"""Writes a model as a SavedModel for a converter."""

import keyword

import tensorflow as tf
import tf_keras as keras


def save_for_conversion(model: keras.Model, folder: str) -> None:
    """Write a SavedModel for one image.

    Args:
        model: a frozen model.
        folder: the folder to write.
    """
    inputs, outputs = (list(names) for names in signature_names(model))
    specs = [
        tf.TensorSpec((tensor.shape[0] or 1, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in zip(inputs, model.inputs, strict=True)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def serve(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, list(given))))
        return dict(zip(outputs, taken, strict=True))

    module = tf.Module()
    function = serve.get_concrete_function()
    module.variables_of_model = list(function.graph.variables)
    handles = {id(variable.handle) for variable in module.variables_of_model}
    if any(x.dtype == tf.resource and id(x) not in handles for x in function.captured_inputs):
        # A lookup table, say, which the model knows. With a model, Keras traces every layer again,
        # several times, and that takes far longer than everything else.
        module.model = model
    tf.saved_model.save(module, folder, signatures={"serving_default": function})


def signature_names(model: keras.Model) -> tuple[dict[str, str], dict[str, str]]:
    """The Keras names of a model's inputs and outputs, by their names in the SavedModel.

    They are the same, unless TensorFlow cannot make parameters of a function from them.
    """
    named = []
    for kind, names in (("input", model.input_names), ("output", model.output_names)):
        usable = all(
            name.isascii() and name.isidentifier() and not keyword.iskeyword(name) for name in names
        )
        saved = names if usable else [f"{kind}_{number:03}" for number in range(len(names))]
        named.append(dict(zip(saved, names, strict=True)))
    return named[0], named[1]

"""Writes a model as a SavedModel for a converter."""

import tensorflow as tf
import tf_keras as keras


def save_for_conversion(model: keras.Model, folder: str) -> None:
    """Write a SavedModel for one image, with the Keras names of inputs and outputs as signature.

    Args:
        model: a frozen model.
        folder: the folder to write.
    """
    specs = [
        tf.TensorSpec((tensor.shape[0] or 1, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, list(inputs))))
        return dict(zip(model.output_names, outputs, strict=True))

    module = tf.Module()
    function = serve.get_concrete_function()
    module.variables_of_model = list(function.graph.variables)
    handles = {id(variable.handle) for variable in module.variables_of_model}
    if any(x.dtype == tf.resource and id(x) not in handles for x in function.captured_inputs):
        # A lookup table, say, which the model knows. With a model, Keras traces every layer again,
        # several times, and that takes far longer than everything else.
        module.model = model
    tf.saved_model.save(module, folder, signatures={"serving_default": function})

"""Run by .ci/check_larq_zoo, where Larq Zoo can be imported: its architectures, requantized."""

import kbnn  # before TensorFlow and Keras: selects Keras 2

import larq as lq
import larq_zoo
import numpy as np
import tf_keras as keras

from kbnn.graph import layers_of

# Built without weights. The first three have plain signs, so another sign gives the same outputs.
SAME_OUTPUTS = [
    larq_zoo.sota.QuickNetSmall,
    larq_zoo.literature.RealToBinaryNet,
    larq_zoo.literature.BinaryResNetE18,
]
# Its kernels are scaled by their magnitude.
OTHER_OUTPUTS = [larq_zoo.literature.BiRealNet]


def quantized(model: keras.Model, argument: str) -> list[keras.layers.Layer]:
    return [layer for layer in layers_of(model) if getattr(layer, argument, None) is not None]


def check(model: keras.Model, same_outputs: bool) -> None:
    other = kbnn.requantize(model, input_quantizer="approx_sign", kernel_quantizer="swish_sign")
    for argument, kind in [
        ("input_quantizer", lq.quantizers.ApproxSign),
        ("kernel_quantizer", lq.quantizers.SwishSign),
    ]:
        before, after = quantized(model, argument), quantized(other, argument)
        assert [layer.name for layer in after] == [layer.name for layer in before]
        assert before
        assert all(isinstance(getattr(layer, argument), kind) for layer in after)
    for old, new in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("f")
    expected, received = model(images).numpy(), other(images).numpy()
    assert np.array_equal(expected, received) == same_outputs, model.name
    other.compile("adam", "sparse_categorical_crossentropy")
    other.fit(images, np.array([0, 1]), verbose=0)
    print(f"{model.name}: {len(after)} binary layers")


if __name__ == "__main__":
    for build in [*SAME_OUTPUTS, *OTHER_OUTPUTS]:
        network = build(weights=None, input_shape=(64, 64, 3), num_classes=10)
        check(network, same_outputs=build in SAME_OUTPUTS)

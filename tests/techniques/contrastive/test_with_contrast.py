"""Contrastive terms added to a model: where, with which weight, and what the model becomes."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.layers import ContrastiveTerm
from kbnn.quantizers import ContrastiveSign, SmoothSign
from kbnn.techniques import (
    EmbeddingQueue,
    MemoryBank,
    SameBatch,
    contrastable_layers,
    with_contrast,
)
from kbnn.trainers import Trainer
from tests.techniques.short_training import SHAPE, chain, learnable_images


@pytest.fixture(scope="module")
def data():
    return learnable_images(64)


def term_weights(model):
    """Return the layers with a term, and its weight."""
    found = {}
    for layer in kbnn.graph.layers_of(model):
        for argument in ("input_quantizer", "activation"):
            quantizer = getattr(layer, argument, None)
            if isinstance(quantizer, ContrastiveSign):
                found[layer.name] = quantizer.contrast.weight
        if isinstance(layer, ContrastiveSign):
            found[layer.name] = layer.contrast.weight
        for argument in ("kernel_quantizer", "depthwise_quantizer"):
            assert not isinstance(getattr(layer, argument, None), ContrastiveSign)
    assert len(found) == sum(isinstance(module, ContrastiveTerm) for module in model.submodules)
    return found


def weights_without_terms(model):
    """Return the weights that do not belong to terms."""
    terms = [layer for layer in model.submodules if isinstance(layer, ContrastiveTerm)]
    of_terms = {id(weight) for layer in terms for weight in layer.weights}
    return [weight.numpy() for weight in model.weights if id(weight) not in of_terms]


def test_by_default_the_last_binary_layer_has_the_term():
    assert term_weights(with_contrast(chain())) == {"conv_3": 0.1}
    assert term_weights(with_contrast(chain(binary_classifier=True))) == {"classifier": 0.1}


def test_the_layer_that_provides_the_signs_has_the_term():
    binary = chain(normalization="binary", end_activation=None)
    # Behind conv_3, conv_3_bn gives signs that no binary layer takes.
    assert contrastable_layers(binary) == ["stem_bn", "conv_1_bn", "conv_2_bn", "conv_3_bn"]
    assert term_weights(with_contrast(binary)) == {"conv_2_bn": 0.1}
    image = keras.Input((8, 8, 4))
    x = lq.quantizers.SteSign(name="sign")(image)
    x = keras.layers.MaxPooling2D()(x)
    kernels = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    x = lq.layers.QuantConv2D(4, 3, name="conv", **kernels)(x)
    x = keras.layers.Activation(lq.quantizers.SteSign(name="a_sign"), name="behind")(x)
    assert term_weights(with_contrast(keras.Model(image, x))) == {"sign": 0.1}
    assert term_weights(with_contrast(keras.Model(image, x), ["behind"])) == {"behind": 0.1}


def test_without_binary_kernels_the_last_quantized_input_has_the_term():
    assert term_weights(with_contrast(chain(kernel_quantizer=None))) == {"conv_3": 0.1}


def test_layers_of_nested_models_and_shared_layers_get_terms(data):
    image = keras.Input(SHAPE)
    inner = chain()
    model = keras.Model(image, keras.layers.Add()([inner(image), inner(1.0 - image)]))
    copy = with_contrast(model)
    assert term_weights(copy) == {"conv_3": 0.1}
    copy(data[0], training=True)
    assert len([loss for loss in copy.losses if float(loss) > 0]) == 2


def test_several_terms_weigh_more_towards_the_end():
    model = with_contrast(chain(), "all", decay=0.3, weight=2.0)
    assert term_weights(model) == pytest.approx({"conv_1": 0.18, "conv_2": 0.6, "conv_3": 2.0})
    model = with_contrast(chain(), ["conv_3", "conv_1"])
    assert term_weights(model) == pytest.approx({"conv_1": 0.05, "conv_3": 0.1})
    model = with_contrast(chain(), (name for name in ("conv_1", "conv_3")))
    assert term_weights(model) == pytest.approx({"conv_1": 0.05, "conv_3": 0.1})
    model = with_contrast(chain(), lambda layer: layer.name != "conv_2", decay=1.0)
    assert term_weights(model) == pytest.approx({"conv_1": 0.1, "conv_3": 0.1})


def test_the_options_reach_the_term():
    options = {"negatives": MemoryBank(rows=9, count=4), "temperature": 0.3, "embedding": 7}
    term = with_contrast(chain(), **options).get_layer("conv_3").input_quantizer.contrast
    assert {name: getattr(term, name) for name in options} == options


@pytest.mark.parametrize("base", ["approx_sign", SmoothSign(2.0)])
def test_quantizers_weights_and_their_state_are_inside(base, data):
    model = chain(input_quantizer=base, kernel_quantizer=kbnn.quantizers.LearnedSign())
    for layer in ("conv_2", "conv_3"):
        quantizer = model.get_layer(layer).input_quantizer
        if isinstance(quantizer, SmoothSign):
            quantizer.sharpness.assign(5.0)
    for weight in model.trainable_weights:
        weight.assign_add(0.05 * tf.random.normal(weight.shape))
    before = model.get_weights()
    copy = with_contrast(model, ["conv_1", "conv_3"])
    assert copy.get_layer("conv_2").input_quantizer.name == "conv_2_input_quantizer"
    quantizer = copy.get_layer("conv_3").input_quantizer
    assert quantizer.name == "conv_3_input_quantizer"
    assert type(quantizer.base) is type(model.get_layer("conv_3").input_quantizer)
    if isinstance(base, SmoothSign):
        assert float(quantizer.base.sharpness) == 5.0
    np.testing.assert_array_equal(copy(data[0]), model(data[0]))
    own = weights_without_terms(copy)
    for one, other, old in zip(own, model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(other, old)
    again = with_contrast(copy, ["conv_2"])
    assert sorted(term_weights(again)) == ["conv_1", "conv_2", "conv_3"]


@pytest.mark.slow
def test_without_weight_the_model_trains_as_it_would_to_the_bit(data):
    batches = tf.data.Dataset.from_tensor_slices((*data, np.arange(64))).batch(16)
    plain = batches.map(lambda x, y, index: (x, y))

    def train(trainer, given):
        optimizer = keras.optimizers.Adam(0.01, global_clipnorm=1.0)
        trainer.compile(optimizer, "sparse_categorical_crossentropy")
        return trainer.fit(given, validation_data=plain, epochs=2, verbose=0).history

    model = chain()
    copies = [
        with_contrast(model, "all", weight=0.0, negatives=negatives)
        for negatives in (SameBatch(), EmbeddingQueue(40), MemoryBank(rows=64))
    ]
    expected = train(Trainer(model), plain)
    for copy in copies:
        assert train(Trainer(copy, with_index=True), batches) == expected
        for one, other in zip(model.get_weights(), weights_without_terms(copy), strict=True):
            np.testing.assert_array_equal(one, other)
        assert copy.get_layer("conv_3").input_quantizer.contrast.metric_results().loss > 0


@pytest.mark.parametrize("normalization", ["batch", "binary"])
def test_the_exported_file_is_the_same_byte_for_byte(normalization, data, tmp_path):
    plain = chain(normalization=normalization)
    copy = with_contrast(plain, "all", negatives=MemoryBank(rows=64))
    for name, model in {"plain": plain, "copy": copy}.items():
        keras.backend.clear_session()  # it numbers layers, and their numbers are in the file
        kbnn.converters.convert(model, tmp_path / f"{name}.tflite", verify_data=data)
    files = [(tmp_path / f"{name}.tflite").read_bytes() for name in ("plain", "copy")]
    assert files[0] == files[1]


def test_the_term_learns_what_it_measures(data):
    model = with_contrast(chain(), weight=1.0)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    monitor = kbnn.callbacks.ContrastMonitor()
    history = model.fit(*data, epochs=8, verbose=0, callbacks=[monitor]).history
    bounds = history["conv_3/contrast_bound"]
    assert bounds[-1] > bounds[0] + 0.3
    assert max(bounds) < np.log(32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["conv_9"]}, "names of conv_1, conv_2, conv_3. Received: 'conv_9'"),
        ({"layers": "first"}, "Expected `layers`"),
        ({"layers": "conv_3"}, "Expected `layers`"),
        ({"layers": 5}, "Expected `layers`"),
        ({"layers": ["conv_1", 5]}, "Expected `layers`"),
        ({"layers": lambda layer: False}, "a quantized input that `layers` selects"),
        ({"decay": 0.5}, "`decay` only for several layers. Received: decay=0.5, 1 layer"),
        ({"layers": "all", "decay": 0.0}, "Expected `decay` to be a number above 0"),
        ({"layers": "all", "decay": True}, "Expected `decay` to be a number above 0"),
        ({"layers": "all", "decay": 1.5}, "Expected `decay` to be a number above 0"),
        ({"temperature": 0.0}, "Expected `temperature`"),
        ({"negatives": "bank"}, "Expected `rows`"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        with_contrast(chain(), **options)


def test_a_model_without_signs_or_with_the_term_is_refused():
    with pytest.raises(ValueError, match="a quantized input that `layers` selects"):
        with_contrast(chain(input_quantizer=None))
    with pytest.raises(ValueError, match="'conv_3', whose quantizer has one"):
        with_contrast(with_contrast(chain()))
    with pytest.raises(TypeError, match="no_such"):
        with_contrast(chain(), no_such=1)

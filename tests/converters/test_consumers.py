import networks
import tf_keras as keras

from kbnn.converters.consumers import Consumers
from kbnn.training.rewrite import layers_of


def test_consumers_are_seen_across_the_borders_of_nested_models():
    model = networks.nested()  # block(block(image)), then flatten and logits
    layers = {layer.name: layer for layer in layers_of(model)}
    flatten = next(name for name in layers if name.startswith("flatten"))
    bn = next(name for name in layers if name.startswith("batch_norm"))
    consumers = Consumers(model)

    assert consumers.only(layers["inner_conv"]) is layers[bn]
    assert consumers.of(layers[bn]) == {layers["inner_conv"], layers[flatten]}
    assert consumers.only(layers[bn]) is None
    assert consumers.of(layers["logits"]) == set()


def test_an_output_of_the_model_has_no_only_consumer():
    x = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")
    last = keras.layers.Dense(2, name="last")
    y = hidden(x)
    both = Consumers(keras.Model(x, [y, last(y)]))

    assert both.of(hidden) == {last}
    assert both.only(hidden) is None
    assert not both.all_match(hidden, lambda layer: True)
    assert Consumers(keras.Model(x, last(y))).only(hidden) is last

"""The limits of Larq's CaseOptimizer with this Keras."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

from tests.table.small_network import images, network
from tests.table.table_rows import ROWS


def case_optimizer(default: keras.optimizers.Optimizer) -> lq.optimizers.CaseOptimizer:
    return lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()), default_optimizer=default
    )


def test_keras_newer_optimizers_are_refused():
    with pytest.raises(TypeError, match="Expected `Optimizer` for `default_optimizer` but got"):
        case_optimizer(keras.optimizers.Adam())


def test_a_loaded_model_trains_no_weight_until_it_is_compiled_again(tmp_path):
    """Larq identifies variables by numbers, which change when a model is loaded."""
    model = network(ROWS["ste_sign"])
    optimizer = case_optimizer(keras.optimizers.legacy.Adam(0.01))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    x, y = images()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before = [weight.numpy() for weight in loaded.trainable_weights]
    loaded.fit(x, y, verbose=0)
    for weight, value in zip(loaded.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    loaded.compile(case_optimizer(keras.optimizers.legacy.Adam(0.01)), loss)
    loaded.fit(x, y, verbose=0)
    assert (loaded.get_layer("stem").kernel.numpy() != before[0]).any()

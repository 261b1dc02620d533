"""The metrics of contrastive terms in the logs of `fit`."""

import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.techniques.contrastive.monitor import contrastive_terms


def test_each_term_has_its_metrics_of_the_epoch(rng):
    x, y = rng.normal(size=(48, 12, 12, 1)).astype("f"), rng.integers(0, 3, 48)
    model = kbnn.models.vgg_tiny((12, 12, 1), 3, 8)
    model = kbnn.techniques.with_contrast(
        model, ["conv_1", "conv_3"], negatives=kbnn.techniques.EmbeddingQueue(16)
    )
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    history = model.fit(
        x, y, batch_size=16, epochs=3, shuffle=False, verbose=0,
        callbacks=[kbnn.callbacks.ContrastMonitor()],
    ).history  # fmt: skip
    names = [
        f"{layer}/contrast_{metric}"
        for layer in ("conv_1", "conv_3")
        for metric in ("bound", "distinct_codes", "loss")
    ]
    assert list(history)[1:] == names
    # Nothing learns, so all epochs are equal, except the first one, which finds an empty queue.
    for name in names:
        assert history[name][1] == pytest.approx(history[name][2], rel=1e-4), name
        assert np.isfinite(history[name]).all()
    assert history["conv_1/contrast_distinct_codes"] == [1.0] * 3
    terms = [model.get_layer(name).input_quantizer.contrast for name in ("conv_1", "conv_3")]
    for term, name in zip(terms, ("conv_1", "conv_3"), strict=True):
        assert term.metric_results().loss == history[f"{name}/contrast_loss"][-1] > 0


def test_names_that_come_again_get_a_number():
    inner = kbnn.techniques.with_contrast(kbnn.models.vgg_tiny((12, 12, 1), 3, 8))
    image = keras.Input((12, 12, 1))
    other = kbnn.techniques.with_contrast(kbnn.models.vgg_tiny((12, 12, 1), 3, 8, name="other"))
    model = keras.Model(image, keras.layers.Add()([inner(image), other(image)]))
    assert list(contrastive_terms(model)) == [
        "conv_3",
        "conv_3#2",
    ]


def test_a_model_without_a_term_is_refused(rng):
    model = kbnn.models.vgg_tiny((12, 12, 1), 3, 8)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"contrastive term.*vgg_tiny"):
        model.fit(
            np.zeros((4, 12, 12, 1), "f"), np.zeros(4), verbose=0,
            callbacks=[kbnn.callbacks.ContrastMonitor()],
        )  # fmt: skip

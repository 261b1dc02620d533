"""The contrastive term against a real-valued path."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.losses import RealPathLoss, TeacherContrast
from kbnn.techniques import MemoryBank
from kbnn.techniques.latent_weights.terms import Paths
from kbnn.trainers import DistillationTrainer, LatentWeightTrainer
from kbnn.training import batch_context

SHAPE, CLASSES = (12, 12, 1), 3


def paths(binary, real, labels=None):
    features = [dict(features) for features in (binary, real)]
    return Paths(labels, None, None, None, None, *features, tf.zeros([]))


def test_it_is_the_term_of_the_last_features_without_a_gradient_to_the_real_ones(rng):
    b, r, other = (tf.constant(rng.normal(size=(6, 3, 3, 4)).astype("f")) for _ in range(3))
    labels = np.arange(6) % 3
    for labelled in (True, False):
        term = TeacherContrast(labelled=labelled, embedding=5, temperature=0.1)
        assert (term.weight, term.layers) == (0.1, None)
        with tf.GradientTape() as tape, batch_context.batch_scope(labels, None):
            tape.watch([b, r])
            found = term(paths({"a": other, "b": b}, {"a": other, "b": r}, labels))
        contrast = term.trainable_layers[0]
        of_b, of_r, *of_heads = tape.gradient(found, [b, r, *contrast.trainable_weights])
        assert of_r is None
        for gradient in (of_b, *of_heads):
            assert float(tf.reduce_max(tf.abs(gradient))) > 0
        expected = kbnn.losses.info_nce_loss(
            contrast.binary_head(b), contrast.real_head(r), labels if labelled else None
        )
        assert float(found) == pytest.approx(float(np.mean(expected)), rel=1e-5)


def under_its_twin(model, term, with_index):
    return LatentWeightTrainer(model, [RealPathLoss(), term], with_index=with_index)


def under_a_teacher(model, term, with_index):
    real = {"input_quantizer": None, "kernel_quantizer": None}
    teacher = kbnn.models.vgg_tiny(SHAPE, CLASSES, 8, **real)
    return DistillationTrainer(model, teacher, [term], with_index=with_index)


@pytest.mark.parametrize("trained", [under_its_twin, under_a_teacher])
@pytest.mark.parametrize("options", [{}, {"negatives": MemoryBank(rows=64, count=20)}])
def test_a_trainer_trains_its_heads_and_not_in_validation(rng, options, trained):
    x, y = rng.normal(size=(64, *SHAPE)).astype("f"), rng.integers(0, CLASSES, 64)
    term = TeacherContrast(layers=["conv_2_bn", "conv_3_bn"], embedding=8, **options)
    model = kbnn.models.vgg_tiny(SHAPE, CLASSES, 8)
    trainer = trained(model, term, bool(options))
    trainer.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    data = tf.data.Dataset.from_tensor_slices((x, y, np.arange(64)) if options else (x, y))
    history = trainer.fit(data.batch(16), epochs=1, verbose=0, validation_data=(x, y)).history
    assert history["teacher_contrast"][0] > 0
    assert history["val_teacher_contrast"] == [0.0]
    before = [contrast.get_weights() for contrast in term.trainable_layers]
    assert len(before) == 2
    owned = {id(weight) for weight in trainer.trainable_weights}
    assert owned >= {
        id(w) for contrast in term.trainable_layers for w in contrast.trainable_weights
    }
    trainer.evaluate(x, y, verbose=0)
    for contrast, weights in zip(term.trainable_layers, before, strict=True):
        for one, other in zip(contrast.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    trainer.fit(data.batch(16), epochs=1, verbose=0)
    assert (term.trainable_layers[0].get_weights()[0] != before[0][0]).any()


@pytest.mark.parametrize("trained", [under_its_twin, under_a_teacher])
def test_its_weights_are_there_before_the_first_step(rng, trained):
    model = kbnn.models.vgg_tiny(SHAPE, CLASSES, 8)
    trainer = trained(model, TeacherContrast(embedding=8), with_index=False)
    trainer.compile("adam", "sparse_categorical_crossentropy")
    weights = trainer.trainable_weights
    # As it is done to take back an optimizer's state.
    trainer.optimizer.build(weights)
    x, y = rng.normal(size=(16, *SHAPE)).astype("f"), rng.integers(0, CLASSES, 16)
    trainer.fit(x, y, epochs=1, verbose=0)
    assert len(trainer.trainable_weights) == len(weights)
    assert sum("teacher_contrast_0/" in weight.name for weight in weights) == 4


def test_paths_without_features_and_names_that_are_none_are_refused():
    with (
        batch_context.batch_scope(None, None),
        pytest.raises(ValueError, match="Expected features of both paths"),
    ):
        TeacherContrast()(paths({}, {}))
    for layers in ("conv_1", [], 5):
        with pytest.raises(ValueError, match="Expected `layers` to be a list of one or more names"):
            TeacherContrast(layers=layers)

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


def test_the_released_codes_settings():
    term = TeacherContrast.released_code(rows=50_000, classes=100)
    (contrast,) = term.trainable_layers
    assert (term.weight, term.layers, term.labelled) == (3.2, None, True)
    assert contrast.options() == {
        "negatives": {
            "source": "bank",
            "rows": 50_000,
            # 4,096 of other classes remain on average.
            "count": 4137,
            "momentum": 0.5,
            "per_anchor": False,
            "seed": 0,
        },
        "weight": 0.1,  # of a ContrastiveTerm without a trainer
        "temperature": 0.1,
        "embedding": 128,
        "pooling": "average",
        "train_heads": False,
        "normalize": True,
    }
    assert round(4137 * 0.99) == 4096
    each = TeacherContrast.released_code(50_000, 100, per_anchor=True).trainable_layers[0]
    assert each.negatives == MemoryBank(50_000, 4096, momentum=0.5, per_anchor=True)
    for classes in (1, 2.5, None):
        with pytest.raises(ValueError, match="`classes` to be an integer of at least 2"):
            TeacherContrast.released_code(50_000, classes)


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def released_anchors(features, kernels):
    return [
        unit((f - f.mean(axis=0)) / np.sqrt(f.var(axis=0) + 1e-5) @ kernel)
        for f, kernel in zip(features, kernels, strict=True)
    ]


def released_losses(features, kernels, memory, index, keep, scale):
    """The losses of the student's and of the teacher's anchors, and the scales of this batch."""
    count, losses, means = keep.sum(axis=1)[:, None], [], []
    anchors = released_anchors(features, kernels)
    for i, (anchor, rows) in enumerate(zip(anchors, memory[::-1], strict=True)):
        own = np.exp((anchor * rows[index]).sum(axis=1) / 0.1)
        others = np.exp(anchor @ rows.T / 0.1)
        means.append(np.concatenate([own, others[keep]]).mean())
        c = (scale or means)[i]
        h = others / (others + count * c)
        loss = -np.log(own / (own + count[:, 0] * c))
        losses.append((loss - np.where(keep, np.log(1 - h), 0).sum(axis=1)).mean())
    return losses, means


def test_the_released_codes_term_is_its_formula_and_only_the_student_gets_a_gradient(rng):
    """Against NumPy, for two batches of the same samples in a row."""
    rows, size, step = 30, 8, 1e-5
    term = TeacherContrast.released_code(rows, 4, per_anchor=True)
    (contrast,) = term.trainable_layers
    term.build({"pool": tf.TensorShape([None, 6])}, {"pool": tf.TensorShape([None, 7])})
    bank, heads = contrast.memory, (contrast.binary_head, contrast.real_head)
    kernels = [head.kernel.numpy().astype(float) for head in heads]
    memory = [np.asarray(each, float) for each in (bank.binary_rows, bank.real_rows)]
    index, labels = rng.permutation(rows)[:size], np.arange(size) % 4
    known, scale = np.full(rows, -1), None
    for _ in range(2):
        student, teacher = (rng.normal(size=(size, count)) * 3 + 1 for count in (6, 7))
        keep = (index[:, None] != np.arange(rows)) & (labels[:, None] != known)
        losses, means = released_losses((student, teacher), kernels, memory, index, keep, scale)
        scale = scale or means
        tensors = [tf.constant(features, tf.float32) for features in (student, teacher)]
        with tf.GradientTape() as tape, batch_context.batch_scope(labels, index):
            tape.watch(tensors)
            found = term(paths({"pool": tensors[0]}, {"pool": tensors[1]}, labels))
        assert float(found) == pytest.approx(sum(losses), rel=1e-4)
        of_student, of_teacher = tape.gradient(found, tensors)
        assert of_teacher is None
        assert contrast.trainable_weights == []
        # The gradient is that of one half, the student's anchors.
        direction = rng.normal(size=student.shape)
        ends = [
            released_losses(
                (student + sign * step * direction, teacher), kernels, memory, index, keep, scale
            )[0][0]
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float(np.sum(of_student * direction)) == pytest.approx(slope, rel=2e-3, abs=1e-4)
        anchors = released_anchors((student, teacher), kernels)
        for each, anchor in zip(memory, anchors, strict=True):
            each[index] = unit(0.5 * each[index] + 0.5 * anchor)
        known[index] = labels
        np.testing.assert_allclose(bank.binary_rows, memory[0], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(bank.real_rows, memory[1], rtol=1e-3, atol=1e-5)
    for head, kernel in zip(heads, kernels, strict=True):
        np.testing.assert_array_equal(head.kernel.numpy(), kernel.astype("f"))


def test_a_trainer_with_the_released_codes_term_trains_the_student_alone(rng):
    x, y = rng.normal(size=(64, *SHAPE)).astype("f"), rng.integers(0, CLASSES, 64)
    model = kbnn.models.vgg_tiny(SHAPE, CLASSES, 8)
    term = TeacherContrast.released_code(64, CLASSES)
    trainer = under_a_teacher(model, term, True)
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    trainer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    teacher = trainer.teacher.get_weights()
    (contrast,) = term.trainable_layers
    assert {id(w) for w in trainer.trainable_weights} == {id(w) for w in model.trainable_weights}
    before = contrast.binary_head.get_weights(), contrast.memory.real_rows.numpy()
    data = tf.data.Dataset.from_tensor_slices((x, y, np.arange(64))).batch(32)
    history = trainer.fit(data, epochs=2, verbose=0).history
    assert min(history["teacher_contrast"]) > 0
    for old, new in zip(teacher, trainer.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(before[0], contrast.binary_head.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (contrast.memory.real_rows.numpy() != before[1]).any(axis=1).all()
    # The term moves the student.
    plain.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    plain.fit(data.map(lambda x, y, index: (x, y)), epochs=2, verbose=0)
    kernels = [one.get_layer("conv_3").kernel.numpy() for one in (model, plain)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


def test_paths_without_features_and_names_that_are_none_are_refused():
    with (
        batch_context.batch_scope(None, None),
        pytest.raises(ValueError, match="Expected features of both paths"),
    ):
        TeacherContrast()(paths({}, {}))
    for layers in ("conv_1", [], 5):
        with pytest.raises(ValueError, match="Expected `layers` to be a list of one or more names"):
            TeacherContrast(layers=layers)

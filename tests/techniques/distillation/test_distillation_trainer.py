"""A network that learns from a separately trained one, which stays as it is."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.losses import Distillation, FeatureAlignment, LatentSupervision, RealPathLoss
from kbnn.trainers import DistillationTrainer, LatentWeightTrainer, Trainer
from tests.techniques import trainer_checks
from tests.techniques.short_training import (
    CLASSES,
    SHAPE,
    chain,
    compiled,
    differences,
    fit,
    learnable_images,
    nest,
)

REAL = {"input_quantizer": None, "kernel_quantizer": None}
USUAL = ["conv_1_pool", "conv_2_bn", "average_pool"]


def moved_statistics(model):
    """The model with moving statistics that are far from a batch's."""
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.5, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    return model


def teacher_of(seed=5, dropout=0.0, **options):
    model = moved_statistics(chain(seed, **{**REAL, **options}))
    if not dropout:
        return model
    x = keras.layers.Dropout(dropout)(model.get_layer("average_pool").output)
    return keras.Model(model.input, keras.layers.Dense(CLASSES, activation="softmax")(x))


@pytest.fixture(scope="module")
def data():
    return learnable_images()


@pytest.fixture
def batch(data):
    return [tf.constant(array[:32]) for array in data]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def divergence(student, teacher, temperature):
    """Hinton's term, in NumPy, of probabilities or logits for each sample."""
    one, other = (softmax(np.asarray(x, np.float64) / temperature) for x in (student, teacher))
    return temperature**2 * np.sum(other * np.log(other / one), axis=-1)


def with_dropout():
    base = chain()
    x = keras.layers.Dropout(0.3)(base.get_layer("average_pool").output)
    x = keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer="l2")(x)
    return keras.Model(base.input, x)


@pytest.mark.parametrize(
    "make",
    [
        chain,
        pytest.param(lambda: chain(kernel_quantizer="learned_sign"), marks=pytest.mark.slow),
        pytest.param(with_dropout, marks=pytest.mark.slow),
    ],
    ids=["chain", "learned", "dropout"],
)
def test_without_weights_the_training_is_the_plain_one_bit_for_bit(make, data):
    plain, model = compiled(make()), make()
    history = fit(plain, data)
    features = FeatureAlignment(0.0, layers=["conv_2_bn"])
    trainer = DistillationTrainer(model, teacher_of(), [Distillation(0.0), features])
    of_trainer = fit(compiled(trainer), data)
    assert max(differences(plain, model)) == 0.0
    # Of which the terms, all 0, may make a sum in another order.
    assert of_trainer["loss"] == pytest.approx(history["loss"], rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_the_labels_and_the_divergence_from_the_teacher(temperature, batch):
    x, y = batch
    model, teacher = chain(), teacher_of(dropout=0.5)
    trainer = compiled(DistillationTrainer(model, teacher, [Distillation(0.3, temperature)]))
    before = model.get_weights()
    student = np.log(model(x, training=True))
    model.set_weights(before)  # and the statistics
    # As in inference: no dropout, and the statistics of its training.
    taught = np.log(teacher(x, training=False))
    term = 0.3 * np.mean(divergence(student, taught, temperature))
    labels = float(keras.losses.SparseCategoricalCrossentropy()(y, tf.exp(student)))
    logs = trainer.train_on_batch(x, y, return_dict=True)
    assert term > 0.01
    assert logs["distillation"] == pytest.approx(term, rel=1e-4)
    assert logs["loss"] == pytest.approx(labels + term, rel=1e-4)


@pytest.mark.parametrize("label_weight", [0.0, 0.25, 1.0, 3])
def test_a_step_is_one_on_the_weighted_labels_the_divergence_and_the_regularizers(
    label_weight, batch
):
    """A step of SGD, against one that is written by hand."""
    x, y = batch

    def network():
        base = chain()
        x = base.get_layer("average_pool").output
        x = keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer="l2")(x)
        return keras.Model(base.input, x)

    by_hand, model, teacher = network(), network(), teacher_of()
    weights = tf.constant(np.linspace(0.5, 2.0, 32, dtype=np.float32))
    taught = tf.nn.softmax(tf.math.log(teacher(x, training=False)) / 2.0)
    with tf.GradientTape() as tape:
        probabilities = by_hand(x, training=True)
        student = tf.nn.log_softmax(tf.math.log(probabilities) / 2.0)
        divergences = 4.0 * tf.reduce_sum(taught * (tf.math.log(taught) - student), axis=-1)
        labels = keras.losses.sparse_categorical_crossentropy(y, probabilities)
        loss = 0.7 * tf.reduce_mean(weights * divergences) + tf.add_n(by_hand.losses)
        # Without the labels rather than with 0 times them.
        if label_weight:
            loss += label_weight * tf.reduce_mean(weights * labels)
    gradients = tape.gradient(loss, by_hand.trainable_variables)
    assert all(np.abs(gradient).max() > 1e-6 for gradient in gradients)
    for weight, gradient in zip(by_hand.trainable_variables, gradients, strict=True):
        weight.assign_sub(0.1 * gradient)
        if getattr(weight, "constraint", None) is not None:
            weight.assign(weight.constraint(weight))

    trainer = DistillationTrainer(
        model, teacher, [Distillation(0.7, 2.0)], label_weight=label_weight
    )
    trainer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    logs = trainer.train_on_batch(x, y, sample_weight=weights, return_dict=True)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert max(differences(by_hand, model)) < 1e-6


def test_validation_shows_the_loss_of_the_labels_whatever_their_weight(batch):
    x, y = batch
    model = chain()
    trainer = compiled(DistillationTrainer(model, teacher_of(), label_weight=0.0))
    logs = trainer.test_on_batch(x, y, return_dict=True)
    expected = float(keras.losses.SparseCategoricalCrossentropy()(y, model(x)))
    assert expected > 0.1
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_weight_of_the_labels_may_follow_a_schedule(data):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [1.0, 0.0])
    trainer = DistillationTrainer(chain(), teacher_of(), label_weight=schedule)
    history = fit(compiled(trainer, run_eagerly=True), data)  # 2 epochs of 4 steps
    assert history["loss"][0] > history["distillation"][0] + 0.1
    assert history["loss"][1] == pytest.approx(history["distillation"][1], rel=1e-6)


@pytest.mark.parametrize(
    ("terms", "label_weight", "message"),
    [
        (None, -0.1, "Expected `label_weight` to be a number of at least 0"),
        (None, True, "Expected `label_weight` to be a number of at least 0"),
        (None, "1", "Expected `label_weight` to be a number of at least 0"),
        ([], 0, "Expected `label_weight` above 0.*0 for the labels, and for no such term"),
        (
            [Distillation(0.0), FeatureAlignment(0)],
            0.0,
            "Expected `label_weight` above 0.*and for 'distillation', 'feature_alignment'",
        ),
    ],
)
def test_something_has_to_train_the_model(terms, label_weight, message):
    with pytest.raises(ValueError, match=message):
        DistillationTrainer(chain(), teacher_of(), terms, label_weight=label_weight)


def test_the_usual_terms_are_a_distillation(batch):
    x, y = batch
    model, teacher = chain(), teacher_of()
    trainer = compiled(DistillationTrainer(model, teacher), run_eagerly=True)
    (term,) = trainer.supervision
    assert (type(term), term.weight, term.temperature) == (Distillation, 1.0, 1.0)
    logs = trainer.test_on_batch(x, y, return_dict=True)
    expected = np.mean(divergence(np.log(model(x)), np.log(teacher(x)), 1.0))
    assert logs["distillation"] == pytest.approx(expected, rel=1e-4)


class _OfTheTeacher(LatentSupervision):
    """Terms that would pull at the teacher as well."""

    layers = ("conv_2_bn",)

    def __call__(self, paths):
        near = tf.square(paths.binary_logits - paths.real_logits)
        (ours,), (theirs,) = paths.binary_features.values(), paths.real_features.values()
        return tf.reduce_mean(near, -1) + tf.reduce_mean(tf.square(ours - theirs), [1, 2, 3])


def test_the_teacher_gets_no_gradient(batch):
    model, teacher = chain(), teacher_of()
    trainer = compiled(DistillationTrainer(model, teacher, [_OfTheTeacher()]))
    with tf.GradientTape() as tape:
        _, terms = trainer.forward(*batch, None)
        value = terms["_OfTheTeacher"]
    kernel, *rest = tape.gradient(
        value, [model.get_layer("conv_2").kernel, *teacher.trainable_weights]
    )
    assert np.abs(kernel).max() > 1e-5
    assert rest == [None] * len(teacher.trainable_weights)
    assert len(rest) > 5


def test_the_teacher_stays_as_it_is(data):
    model, teacher = chain(), teacher_of(dropout=0.5)
    before, config = teacher.get_weights(), teacher.get_config()
    of_model = [id(weight) for weight in model.weights]
    trainer = compiled(DistillationTrainer(model, teacher, [Distillation()]))
    assert trainer.teacher is teacher
    fit(trainer, data, validation_data=data)
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert teacher.get_config() == config
    assert teacher.trainable_weights
    assert teacher.compiled_loss is None
    # No part of the trainer, whose optimizer and checkpoints are the model's.
    assert [id(weight) for weight in model.weights] == of_model
    assert [id(weight) for weight in trainer.weights] == of_model
    assert len(trainer.trainable_weights) == len(model.trainable_weights)


def test_checkpoints_leave_the_teacher_out(data, tmp_path):
    def shapes(trainer, name):
        fit(compiled(trainer), data, epochs=1)
        checkpoint = tf.train.Checkpoint(model=trainer, optimizer=trainer.optimizer)
        path = checkpoint.write(str(tmp_path / name))
        return sorted(tuple(shape) for _, shape in tf.train.list_variables(path))

    plain = shapes(Trainer(chain()), "plain")
    with_teacher = shapes(DistillationTrainer(chain(), teacher_of()), "teacher")
    # The means of the term, of its two metrics and of the loss are three pairs of scalars at most.
    assert [shape for shape in with_teacher if shape] == [shape for shape in plain if shape]


def test_what_ships_is_the_model_to_the_byte(data, tmp_path):
    def make_trainer(model):
        return DistillationTrainer(model, teacher_of(), [Distillation(), FeatureAlignment()])

    trainer_checks.check_what_ships(make_trainer, data, tmp_path)


def test_a_good_teacher_makes_a_better_student(data):
    """With few labelled images, and more that only the teacher can name."""
    teacher = compiled(chain(5, **REAL))
    assert fit(teacher, data, epochs=8)["accuracy"][-1] > 0.95
    rng = np.random.default_rng(1)
    images, wrong = data[0], rng.permutation(data[1])
    model = chain()
    trainer = compiled(DistillationTrainer(model, teacher, [Distillation(10.0, 1.0)]))
    fit(trainer, (images, wrong), epochs=8)
    classes = model.predict(images, verbose=0).argmax(axis=-1)
    assert np.mean(classes == data[1]) > 0.9 > np.mean(wrong == data[1]) + 0.3


@pytest.mark.parametrize("of_model", ["softmax", None], ids=["probabilities", "logits"])
@pytest.mark.parametrize("of_teacher", ["softmax", None], ids=["probabilities", "logits"])
def test_logits_and_probabilities_may_stand_side_by_side(of_model, of_teacher, batch):
    x, y = batch
    model = chain(classifier_activation=of_model)
    teacher = teacher_of(classifier_activation=of_teacher)
    trainer = DistillationTrainer(model, teacher)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=of_model is None)
    trainer.compile("sgd", loss, run_eagerly=True)
    logs = trainer.test_on_batch(x, y, return_dict=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=of_teacher is None)
    teacher.compile("sgd", loss, run_eagerly=True)
    assert logs["real_loss"] == pytest.approx(teacher.test_on_batch(x, y), rel=1e-4)
    logits = [
        np.log(network(x)) if activation else network(x).numpy()
        for network, activation in ((model, of_model), (teacher, of_teacher))
    ]
    assert logs["distillation"] == pytest.approx(np.mean(divergence(*logits, 1.0)), rel=1e-3)


def unit(features):
    rows = np.asarray(features).reshape(len(features), -1)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("layers", "teacher_layers", "pairs"),
    [
        (None, None, list(zip(USUAL, USUAL, strict=True))),
        (["stem_bn", "conv_3_bn"], None, [("stem_bn", "stem_bn"), ("conv_3_bn", "conv_3_bn")]),
        # Behind the ReLU in place of in front of it.
        (["conv_2_bn"], {"conv_2_bn": "conv_3_relu"}, [("conv_2_bn", "conv_3_relu")]),
    ],
    ids=["usual", "named", "others"],
)
def test_features_are_compared_layer_by_layer(layers, teacher_layers, pairs, batch):
    x, y = batch
    model, teacher = chain(), teacher_of()
    terms = [FeatureAlignment(0.5, layers), Distillation()]
    trainer = compiled(DistillationTrainer(model, teacher, terms, teacher_layers=teacher_layers))
    trainer.run_eagerly = True
    assert trainer.feature_layers == [name for name, _ in pairs]
    distances = []
    for ours, theirs in pairs:
        of_model = keras.Model(model.input, model.get_layer(ours).output)(x)
        of_teacher = keras.Model(teacher.input, teacher.get_layer(theirs).output)(x)
        distances.append(np.sum((unit(of_model) - unit(of_teacher)) ** 2, axis=-1))
    logs = trainer.test_on_batch(x, y, return_dict=True)
    assert logs["feature_alignment"] == pytest.approx(0.5 * np.mean(distances), rel=1e-4)
    # Each term has its own name in the logs, whatever their order.
    expected = np.mean(divergence(np.log(model(x)), np.log(teacher(x)), 4.0))
    assert logs["distillation"] == pytest.approx(expected, rel=1e-4)


class _Seen(LatentSupervision):
    layers = ("conv_2_bn",)

    def __call__(self, paths):
        assert set(paths.binary_features) == {"conv_2_bn"} == set(paths.real_features)
        return tf.reduce_mean(tf.abs(paths.binary - paths.real), axis=-1)


def test_a_term_of_ones_own_sees_the_features_it_asks_for(data):
    terms = [_Seen(0.1), FeatureAlignment()]
    trainer = compiled(DistillationTrainer(chain(), teacher_of(), terms), run_eagerly=True)
    assert {"_Seen", "feature_alignment"} <= set(fit(trainer, data))


def test_a_term_of_ones_own_may_take_features_of_other_shapes(data):
    class Attention(LatentSupervision):
        layers = ("conv_2_bn",)

        def __call__(self, paths):
            (ours,), (theirs,) = paths.binary_features.values(), paths.real_features.values()
            maps = [tf.reduce_mean(tf.square(one), axis=-1) for one in (ours, theirs)]
            return tf.reduce_mean(tf.square(maps[0] - maps[1]), axis=[1, 2])

    wide = kbnn.models.vgg_tiny(SHAPE, CLASSES, width=12, **REAL)
    with pytest.raises(ValueError, match=r"features of the same shape.*'conv_1_pool'.*24\)"):
        DistillationTrainer(chain(), wide, [FeatureAlignment()])
    trainer = DistillationTrainer(chain(), wide, [Attention(), Distillation()])
    history = fit(compiled(trainer, run_eagerly=True), data)
    assert np.isfinite(history["Attention"]).all()


def test_both_are_in_the_logs(data):
    model, teacher = chain(), teacher_of()
    trainer = DistillationTrainer(model, teacher, [Distillation(), FeatureAlignment()])
    history = trainer_checks.check_logs(
        trainer, data, terms={"distillation", "feature_alignment"}, epochs=2
    )
    for network, prefix in ((model, "val_"), (teacher, "val_real_")):
        measured = compiled(network).evaluate(*data, verbose=0, return_dict=True)
        for name in ("accuracy", "loss"):
            assert history[prefix + name][-1] == pytest.approx(measured[name], rel=1e-5)
    # Every epoch the same: it does not learn.
    assert history["val_real_loss"][0] == history["val_real_loss"][1]


def test_sample_weights_count_in_each_term(batch):
    x, y = batch
    weights = np.repeat([1.0, 0.0], 16).astype(np.float32)
    model, teacher = chain(), teacher_of()
    trainer = compiled(DistillationTrainer(model, teacher), run_eagerly=True)
    logs = trainer.test_on_batch(x, y, sample_weight=tf.constant(weights), return_dict=True)
    divergences = divergence(np.log(model(x)), np.log(teacher(x)), 1.0)
    assert logs["distillation"] == pytest.approx(np.sum(divergences[:16]) / 32, rel=1e-4)


def test_weights_may_follow_a_schedule(data):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [1.0, 0.0])
    history = fit(
        compiled(
            DistillationTrainer(chain(), teacher_of(), [Distillation(schedule)]), run_eagerly=True
        ),
        data,
    )
    assert history["distillation"][0] > 0.01
    assert history["distillation"][1] == 0.0


def test_an_interrupted_training_goes_on(data, tmp_path):
    teacher = teacher_of()
    trainer_checks.check_interrupted_training_goes_on(
        lambda: DistillationTrainer(chain(), teacher, [Distillation(), FeatureAlignment()]),
        data,
        tmp_path,
    )


def test_mixed_precision_and_several_steps_at_once(data):
    teacher = teacher_of()
    trainer_checks.check_mixed_precision(
        lambda: DistillationTrainer(chain(), teacher, [Distillation(), FeatureAlignment()]), data
    )


@pytest.mark.slow
def test_xla(batch):
    # Without max pooling, of whose gradient XLA has no deterministic form: other tests of this
    # process may have made operations deterministic.
    def network(**options):
        return kbnn.models.resnet((1, 1), SHAPE, CLASSES, width=8, **options)

    values = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        trainer = DistillationTrainer(
            network(), network(**REAL), [Distillation(), FeatureAlignment()]
        )
        compiled(trainer, jit_compile=jit_compile)
        values.append(trainer.train_on_batch(*batch, return_dict=True))
    assert values[0] == pytest.approx(values[1], rel=1e-3)


@pytest.mark.slow
def test_two_replicas_do_one_step_of_the_whole_batch():
    trainer_checks.check_two_replicas("teacher")


MODELS = {
    "real": lambda: chain(**REAL),
    "nested": lambda: nest(chain()),
    **trainer_checks.MODELS,
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_all_kinds_train(name, data):
    model = MODELS[name]()
    trainer = DistillationTrainer(model, nest(teacher_of(), "photograph"))
    compiled(trainer, run_eagerly=name != "nested")
    trainer_checks.check_training_moves_weights(trainer, data)


def test_features_of_residual_networks(data):
    networks = [
        kbnn.models.resnet((2, 2, 2), SHAPE, CLASSES, width=4, **options) for options in ({}, REAL)
    ]
    trainer = compiled(DistillationTrainer(*networks, [FeatureAlignment()]), run_eagerly=True)
    assert len(trainer.feature_layers) > 10
    history = fit(trainer, [array[:32] for array in data], epochs=2)
    assert np.isfinite(history["feature_alignment"]).all()


def test_a_batch_by_input_names_reaches_the_teacher_too(data):
    images, labels = data
    teacher = nest(teacher_of(), "photograph")
    trainer = compiled(DistillationTrainer(chain(), teacher))
    history = fit(trainer, ({"image": images}, labels), epochs=1)
    expected = compiled(teacher, run_eagerly=True).evaluate(images, labels, verbose=0)
    assert [history["real_loss"][0], history["real_accuracy"][0]] == pytest.approx(expected)


def test_inputs_go_to_the_teacher_in_order(rng):
    def network(first, second, seed):
        keras.utils.set_random_seed(seed)
        inputs = [keras.Input((4,), name=first), keras.Input((4,), name=second)]
        x = keras.layers.Dense(3)(inputs[0]) - 2 * keras.layers.Dense(3)(inputs[1])
        return keras.Model(inputs, keras.layers.Softmax()(x))

    model, teacher = network("left", "right", 1), network("b", "a", 2)
    x = [rng.normal(size=(8, 4)).astype("f") for _ in range(2)]
    found = DistillationTrainer(model, teacher).paths({"left": x[0], "right": x[1]})
    np.testing.assert_allclose(found["real"], teacher(x), rtol=1e-5)
    np.testing.assert_allclose(found["binary"], model(x), rtol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_networks_without_classes_learn_from_features(activation, data):
    def network(base, activation):
        x = base.get_layer("average_pool").output
        return keras.Model(base.input, keras.layers.Dense(1, activation=activation)(x))

    model, teacher = network(chain(), activation), network(teacher_of(), activation)
    with pytest.raises(ValueError, match="two or more classes for 'distillation'"):
        DistillationTrainer(model, teacher)
    trainer = DistillationTrainer(model, teacher, [FeatureAlignment()])
    trainer.compile("adam", "binary_crossentropy" if activation else "mse", run_eagerly=True)
    images, labels = data
    assert np.isfinite(fit(trainer, (images, (labels > 0).astype("f")))["loss"]).all()
    other = network(teacher_of(), "tanh")
    with pytest.raises(ValueError, match=r"end with the same activation.* and tanh"):
        DistillationTrainer(model, other, [FeatureAlignment()])


def sized(shape=SHAPE, classes=CLASSES, dtype="float32", before=()):
    """A small network, for what is refused."""
    image = keras.Input(shape, dtype=dtype)
    x = image
    for layer in before:
        x = layer(x)
    return keras.Model(image, keras.layers.Dense(classes)(keras.layers.Flatten()(x)))


RESCALING = keras.layers.Rescaling


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda: sized((14, 14, 1)), "for the model's inputs, .*12, 12.*a teacher for .*14, 14"),
        (lambda: sized(dtype="uint8"), "float32. Received: a teacher for .*uint8"),
        (lambda: sized(classes=4), r"with the model's outputs, \(None, 3\).*\(None, 4\)"),
        (lambda: sized(before=[RESCALING(1 / 255)]), "a teacher that starts with a Rescaling"),
        (
            lambda: nest(sized(before=[RESCALING(1 / 255)])),
            "a teacher that starts with a Rescaling",
        ),
    ],
    ids=["shape", "bytes", "classes", "rescaled", "rescaled inside"],
)
def test_teachers_of_other_inputs_and_classes_are_refused(teacher, message):
    with pytest.raises(ValueError, match=message):
        DistillationTrainer(chain(), teacher())


def test_a_model_that_takes_bytes_has_a_teacher_that_does():
    layers = [kbnn.data.normalization_layer() for _ in range(2)]
    model = chain(preprocessing=layers[0])
    DistillationTrainer(model, teacher_of(preprocessing=layers[1]))
    # Whichever way each of them reads the bytes.
    DistillationTrainer(model, sized(dtype="uint8", before=[RESCALING(1 / 255)]))
    with pytest.raises(ValueError, match=r"uint8\. Received: a teacher for .*float32"):
        DistillationTrainer(model, teacher_of())
    scaled = sized(before=[RESCALING(1 / 255)])
    with pytest.raises(ValueError, match="a model that starts with a Rescaling"):
        DistillationTrainer(scaled, teacher_of())
    DistillationTrainer(scaled, sized(before=[RESCALING(1.0)]))


class _Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_bad_arguments():
    model, teacher = chain(), teacher_of()
    with pytest.raises(TypeError, match="`teacher` to be a Keras 2 model"):
        DistillationTrainer(model, "teacher")
    with pytest.raises(TypeError, match=r"teacher=.*, a subclassed model \(_Subclassed"):
        DistillationTrainer(model, _Subclassed())
    with pytest.raises(TypeError, match="its `model`"):
        DistillationTrainer(model, LatentWeightTrainer(chain()))
    with pytest.raises(TypeError, match="its `model`"):
        DistillationTrainer(LatentWeightTrainer(model), teacher)
    for same in (model, keras.Model(model.input, model.output), nest(model)):
        with pytest.raises(ValueError, match="shares no weights with the model"):
            DistillationTrainer(model, same)
    with pytest.raises(ValueError, match="Received: 'real_path', the loss of the teacher"):
        DistillationTrainer(model, teacher, [Distillation(), RealPathLoss()])
    with pytest.raises(TypeError, match="LatentSupervision"):
        DistillationTrainer(model, teacher, ["kl"])
    with pytest.raises(TypeError, match="a list of terms"):
        DistillationTrainer(model, teacher, Distillation())
    with pytest.raises(ValueError, match="different names"):
        DistillationTrainer(model, teacher, [Distillation(), Distillation()])
    with pytest.raises(ValueError, match=r"layers of the model that .*Received: 'no_such'"):
        DistillationTrainer(model, teacher, [FeatureAlignment(layers=["no_such"])])
    aligned = [FeatureAlignment(layers=["conv_2_bn"])]
    with pytest.raises(ValueError, match=r"layers of the teacher that .*Received: 'no_such'"):
        DistillationTrainer(model, teacher, aligned, teacher_layers={"conv_2_bn": "no_such"})
    with pytest.raises(ValueError, match=r"\['conv_2_bn'\]\. Received: 'conv_3_bn'"):
        DistillationTrainer(model, teacher, aligned, teacher_layers={"conv_3_bn": "conv_2_bn"})
    with pytest.raises(ValueError, match="Received: layers=None"):
        DistillationTrainer(chain(**REAL), teacher, [FeatureAlignment()])


def test_a_callback_looks_at_the_model_alone(data):
    signs = {"input_quantizer": "smooth_sign", "kernel_quantizer": "smooth_sign"}
    teacher = teacher_of(**signs)
    trainer = compiled(DistillationTrainer(chain(**signs), teacher))
    before = teacher.get_weights()
    trainer_checks.check_callbacks_see_the_model(trainer, data)
    # A teacher's own sharpness stays, too.
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

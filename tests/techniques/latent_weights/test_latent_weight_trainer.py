"""A binary network and its real-valued twin on the same latent weights."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.graph.roles import ROLES
from kbnn.losses import Distillation, FeatureAlignment, LatentSupervision, RealPathLoss
from kbnn.trainers import LatentGradientTrainer, LatentMixtureTrainer, LatentWeightTrainer, Trainer
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

TERMS = (RealPathLoss, Distillation, FeatureAlignment)


@pytest.fixture(scope="module")
def data():
    return learnable_images()


def named(model, name):
    return [layer for layer in kbnn.graph.layers_of(model) if layer.name == name]


def with_dropout(**dense):
    """A chain with dropout, regularizers and, by request, another classifier."""
    base = chain()
    x = keras.layers.Dropout(0.3)(base.get_layer("conv_2_bn").output)
    x = lq.layers.QuantConv2D(
        8, 3, padding="same", use_bias=False, input_quantizer="ste_sign", name="conv_4",
        kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
    )(x)  # fmt: skip
    x = keras.layers.BatchNormalization(gamma_regularizer=keras.regularizers.L2(0.1))(x)
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(x))
    dense = {"units": CLASSES, "activation": "softmax", "kernel_regularizer": "l2", **dense}
    return keras.Model(base.input, keras.layers.Dense(**dense)(x))


TRAINERS = {
    "trainer": Trainer,
    "twin": lambda model: LatentWeightTrainer(model, [term(0.0) for term in TERMS]),
    "label weight": lambda model: LatentWeightTrainer(
        model, [term(0.0) for term in TERMS], label_weight=1
    ),
    "gradient": lambda model: LatentGradientTrainer(model, 0.0),
}


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
    plain = compiled(make())
    expected = fit(plain, data)["loss"]
    for name, trainer in TRAINERS.items():
        model = make()
        assert fit(compiled(trainer(model)), data)["loss"] == expected, name
        assert max(differences(plain, model)) == 0.0, name


def test_without_labels_the_twin_teaches(data):
    """What both paths give to the kernels, without the loss of the binary path's outputs."""
    x, y = (tf.constant(array[:32]) for array in data)

    def trained(label_weight):
        terms = [RealPathLoss(), Distillation(0.5)]
        trainer = LatentWeightTrainer(chain(), terms, label_weight=label_weight)
        trainer.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
        return trainer, trainer.train_on_batch(x, y, return_dict=True)

    trainer = LatentWeightTrainer(chain(), [RealPathLoss(), Distillation(0.5)])
    compiled(trainer)
    with tf.GradientTape() as tape:
        _, terms = trainer.forward(x, y, None)
        total = tf.add_n(list(terms.values()))
    kernel = trainer.model.get_layer("conv_2").kernel
    gradient = tape.gradient(total, kernel)
    expected = np.clip(kernel.latent_variable - 0.05 * gradient, -1, 1)
    without, logs = trained(0)
    found = without.model.get_layer("conv_2").kernel.latent_variable.numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert logs["loss"] == pytest.approx(float(total), rel=1e-5)
    usual, _ = trained(1)
    assert np.abs(usual.model.get_layer("conv_2").kernel.latent_variable - found).max() > 1e-4


def test_something_has_to_train_the_binary_path():
    # The loss of the twin reaches neither the normalizations nor the classifier.
    with pytest.raises(ValueError, match=r"`label_weight` above 0.*for no such term"):
        LatentWeightTrainer(chain(), [RealPathLoss()], label_weight=0)


@pytest.mark.parametrize("balanced", [False, True])
def test_latent_weights_get_the_gradients_of_both_paths(balanced, data):
    model = chain()
    trainer = LatentWeightTrainer(model, [RealPathLoss(0.5)], balance_gradient=balanced)
    compiled(trainer)
    x, y = (tf.constant(array[:32]) for array in data)
    loss = keras.losses.SparseCategoricalCrossentropy()
    kernel = model.get_layer("conv_2").kernel
    with tf.GradientTape() as tape:
        outputs, terms = trainer.forward(x, y, None)
        total = loss(y, outputs) + tf.add_n(list(terms.values()))
    both = tape.gradient(total, kernel)
    with tf.GradientTape() as tape:
        value = loss(y, model(x, training=True))
    of_binary = tape.gradient(value, kernel)
    with tf.GradientTape() as tape:
        value = 0.5 * loss(y, trainer.twin(x, training=True))
    of_real = tape.gradient(value, kernel)
    assert np.abs(of_binary).max() > 1e-5
    assert np.abs(of_real).max() > 1e-5
    np.testing.assert_allclose(both, of_binary + of_real, rtol=1e-4, atol=1e-7)


def test_a_balanced_gradient_is_that_times_the_mean_size_of_the_kernel(data):
    def of_twin(balanced):
        model = chain()
        twin = LatentWeightTrainer(model, [RealPathLoss()], balance_gradient=balanced).twin
        with tf.GradientTape() as tape:
            loss = keras.losses.SparseCategoricalCrossentropy()(data[1], twin(data[0]))
        names = ("stem", "conv_1", "conv_2", "conv_3")
        kernels = [model.get_layer(name).kernel for name in names]
        return [np.abs(kernel).mean() for kernel in kernels], tape.gradient(loss, kernels), loss

    sizes, plain, loss = of_twin(False)
    _, balanced, same = of_twin(True)
    assert float(loss) == float(same)
    # The stem is real in both paths.
    for size, one, other in zip([1.0, *sizes[1:]], plain, balanced, strict=True):
        assert np.abs(one).max() > 1e-5
        np.testing.assert_allclose(other, one * size, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("term", [Distillation(), FeatureAlignment()])
def test_what_the_real_path_teaches_does_not_change_it(term, data):
    model = chain()
    trainer = compiled(LatentWeightTrainer(model, [term], share=()))
    x, y = (tf.constant(array[:32]) for array in data)
    own = [
        weight
        for weight in trainer.twin.trainable_weights
        if not any(weight is one for one in model.trainable_weights)
    ]
    assert len(own) > 5
    with tf.GradientTape() as tape:
        _, terms = trainer.forward(x, y, None)
        value = terms[term.name]
    of_model = tape.gradient(value, [model.get_layer("conv_2").kernel, *own])
    assert of_model[0] is not None
    assert of_model[1:] == [None] * len(own)


def test_the_statistics_of_each_path_are_its_own(data):
    plain, model = chain(), chain()
    trainer = compiled(LatentWeightTrainer(model))
    x, y = (tf.constant(array[:32]) for array in data)
    plain(x, training=True)
    trainer.forward(x, y, None)
    for name in ("stem_bn", "conv_1_bn", "conv_3_bn"):
        one, other = model.get_layer(name), plain.get_layer(name)
        np.testing.assert_array_equal(one.moving_mean, other.moving_mean)
    (twin,) = named(trainer.twin, "conv_1_bn_real")
    assert np.abs(twin.moving_mean - model.get_layer("conv_1_bn").moving_mean).max() > 1e-3
    # The stem runs once, for both.
    names = [layer.name for layer in kbnn.graph.layers_of(trainer.twin)]
    assert names.count("stem_bn") == 1
    assert "stem_bn_real" not in names


def test_what_ships_is_the_model_to_the_byte(data, tmp_path):
    def make_trainer(model):
        return LatentWeightTrainer(model, [term() for term in TERMS])

    model = trainer_checks.check_what_ships(make_trainer, data, tmp_path)
    assert model.get_layer("conv_2").output.shape == (None, 3, 3, 16)


def test_the_real_path_alone_learns(data):
    model = chain()
    before = model.get_layer("conv_2").get_weights()[0]
    twin = compiled(LatentWeightTrainer(model).twin)
    history = fit(twin, data, epochs=8)
    assert history["accuracy"][-1] > 0.95
    assert np.abs(model.get_layer("conv_2").get_weights()[0] - before).max() > 1e-3


def test_both_paths_are_in_the_logs(data):
    model = chain()
    trainer = LatentWeightTrainer(model, [term() for term in TERMS])
    terms = {"real_path", "distillation", "feature_alignment"}
    history = trainer_checks.check_logs(trainer, data, terms=terms, epochs=3)
    assert history["real_path"] == pytest.approx(history["real_loss"], rel=1e-5)
    measured = compiled(model).evaluate(*data, verbose=0, return_dict=True)
    assert history["val_accuracy"][-1] == pytest.approx(measured["accuracy"])
    assert history["val_loss"][-1] == pytest.approx(measured["loss"], rel=1e-5)
    with_terms = sum(np.array(history[name]) for name in sorted(terms))
    assert (np.array(history["loss"]) > with_terms).all()
    values = trainer.evaluate(*data, verbose=0)
    by_name = trainer.evaluate(*data, verbose=0, return_dict=True)
    assert dict(zip(trainer.metrics_names, values, strict=True)) == pytest.approx(by_name)


def test_sample_weights_count_in_each_term(data):
    x, y = (tf.constant(array[:32]) for array in data)
    weights = np.repeat([1.0, 0.0], 16).astype(np.float32)
    trainer = compiled(LatentWeightTrainer(chain(), [term() for term in TERMS]))
    _, weighted = trainer.forward(x, y, tf.constant(weights))
    outputs = trainer.paths(x, training=True)
    probabilities = [np.log(outputs[path][:16]) for path in ("binary", "real")]
    divergences = kbnn.losses.distillation(*probabilities, temperature=4.0)
    assert float(weighted["distillation"]) == pytest.approx(np.sum(divergences) / 32, rel=1e-4)


def test_weights_may_follow_a_schedule(data):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [1.0, 0.0])
    trainer = compiled(LatentWeightTrainer(chain(), [RealPathLoss(schedule)]), run_eagerly=True)
    history = fit(trainer, data, epochs=2)  # of 4 steps
    assert history["real_path"][0] > 0.1
    assert history["real_path"][1] == 0.0


class _Entropy(LatentSupervision):
    layers = ("conv_3_bn",)

    def __call__(self, paths):
        assert set(paths.binary_features) == {"conv_3_bn"} == set(paths.real_features)
        return -tf.reduce_sum(tf.nn.softmax(paths.real_logits) * paths.real_logits, axis=-1)


def test_a_term_of_ones_own(data):
    trainer = compiled(
        LatentWeightTrainer(chain(), [_Entropy(0.1), FeatureAlignment()]), run_eagerly=True
    )
    history = fit(trainer, data)
    assert {"_Entropy", "feature_alignment"} <= set(history)


@pytest.mark.parametrize("features", [None, ["conv_2_bn", "conv_1_pool"]])
def test_usual_features_stand_before_binary_layers_and_the_classifier(features, data):
    trainer = LatentWeightTrainer(chain(), [FeatureAlignment(layers=features)])
    usual = ["conv_1_pool", "conv_2_bn", "average_pool"]
    found = trainer.paths(data[0][:2])
    assert set(found["binary_features"]) == set(usual if features is None else features)
    for name, value in found["binary_features"].items():
        assert found["real_features"][name].shape == value.shape


def nested():
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE)
    inner_in = keras.Input((12, 12, 8))
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    signs["kernel_constraint"] = "weight_clip"
    x = lq.layers.QuantConv2D(8, 3, padding="same", pad_values=1.0, use_bias=False, **signs)(
        inner_in
    )
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.PReLU(shared_axes=[1, 2])(x)
    x = keras.layers.MaxPooling2D(2)(x)
    block = keras.Model(inner_in, x, name="block")
    x = keras.layers.Conv2D(8, 3, padding="same")(image)
    x = block(keras.layers.BatchNormalization()(x))
    x = lq.layers.QuantDepthwiseConv2D(
        3,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
    )(x)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    x = lq.layers.QuantDense(16, **signs)(x)
    x = keras.layers.Dropout(0.1)(keras.layers.BatchNormalization()(x))
    return keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))


LINEAR = keras.optimizers.schedules.PolynomialDecay(0.0, 6, 1.0)
MODELS = {
    "nested": nested,
    **trainer_checks.MODELS,
    "binary ends": lambda: chain(binary_stem=True, binary_classifier=True),
    "vgg_small": lambda: kbnn.models.vgg_small((16, 16, 1), CLASSES, width=4),
    "plain shortcuts": lambda: kbnn.models.resnet((1, 1), SHAPE, CLASSES, 4, shortcuts="plain"),
}


@pytest.mark.parametrize("kind", ["twin", "mixture", "gradient"])
@pytest.mark.parametrize("name", MODELS)
def test_models_of_all_kinds_train(name, kind, data):
    model = MODELS[name]()
    images = tf.image.resize(data[0], model.input_shape[1:3]).numpy()
    make = {
        "twin": lambda: LatentWeightTrainer(model, [term() for term in TERMS]),
        "mixture": lambda: LatentMixtureTrainer(model, LINEAR),
        "gradient": lambda: LatentGradientTrainer(model),
    }[kind]
    # Tracing takes most of the time of a short training; one model is traced for each trainer.
    trainer = compiled(make(), run_eagerly=name != "nested")
    trainer_checks.check_training_moves_weights(trainer, (images, data[1]))
    ids = [id(weight) for weight in trainer.trainable_weights]
    assert len(ids) == len(set(ids))


def test_a_twin_computes_with_latent_weights_and_pads_as_its_host(rng):
    image = keras.Input((5, 5, 2))
    layer = lq.layers.QuantConv2D(
        3, 3, padding="same", pad_values=1.0, strides=2, name="conv", kernel_quantizer="ste_sign",
        input_quantizer="ste_sign", kernel_constraint="weight_clip", bias_initializer="ones",
    )  # fmt: skip
    model = keras.Model(image, keras.layers.Flatten()(layer(image)))
    twin = LatentWeightTrainer(model, [RealPathLoss()]).twin
    x = rng.normal(0, 2, (4, 5, 5, 2)).astype(np.float32)
    padded = np.pad(np.clip(x, -1, 1), [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1.0)
    kernel = layer.get_weights()[0]
    expected = tf.nn.conv2d(padded, kernel, 2, "VALID").numpy() + 1
    np.testing.assert_allclose(twin(x), expected.reshape(4, -1), rtol=1e-5, atol=1e-6)


def test_what_is_shared_is_a_choice():
    model = chain()
    counts = {
        share: len(LatentWeightTrainer(model, [RealPathLoss()], share=share).trainable_weights)
        for share in [(), ("stem",), ("stem", "shortcuts", "classifier")]
    }
    # gamma and beta of three normalizations; and kernel and bias of the classifier; and the stem's.
    assert counts == {
        ("stem", "shortcuts", "classifier"): len(model.trainable_weights) + 6,
        ("stem",): len(model.trainable_weights) + 8,
        (): len(model.trainable_weights) + 11,
    }


@pytest.mark.slow
def test_an_interrupted_training_goes_on(data, tmp_path):
    trainer_checks.check_interrupted_training_goes_on(
        lambda: LatentWeightTrainer(chain()), data, tmp_path
    )


@pytest.mark.parametrize("name", ["weights", "weights.weights.h5"])
def test_weights_of_the_whole_trainer_are_saved(name, data, tmp_path):
    first, second = (compiled(LatentWeightTrainer(chain()), run_eagerly=True) for _ in range(2))
    fit(first, data)
    assert max(differences(first, second)) > 0
    first.save_weights(tmp_path / name)
    second.load_weights(tmp_path / name)
    assert max(differences(first, second)) == 0.0


def test_mixed_precision_and_several_steps_at_once(data):
    trainer_checks.check_mixed_precision(
        lambda: LatentWeightTrainer(chain(), [term() for term in TERMS]), data
    )


def test_gradient_clipping_and_xla(data):
    # Without max pooling, of whose gradient XLA has no deterministic form: other tests of this
    # process may have made operations deterministic.
    trainer = LatentWeightTrainer(kbnn.models.resnet((1, 1), SHAPE, CLASSES, width=8))
    trainer.compile(
        keras.optimizers.SGD(0.1, global_clipnorm=1e-3),
        "sparse_categorical_crossentropy",
        jit_compile=True,
    )
    before = trainer.get_weights()
    trainer.train_on_batch(*(tf.constant(array[:32]) for array in data))
    trainable = {id(weight) for weight in trainer.trainable_weights}
    moved = [
        np.sum((new - old) ** 2)
        for weight, old, new in zip(trainer.weights, before, trainer.get_weights(), strict=True)
        if id(weight) in trainable
    ]
    assert np.sqrt(sum(moved)) == pytest.approx(1e-4, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["twin", "mixture", "gradient"])
def test_two_replicas_do_one_step_of_the_whole_batch(kind):
    trainer_checks.check_two_replicas(kind)


class _Scale(keras.layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight("scale", ())

    def call(self, inputs):
        return inputs * self.scale


def test_unknown_layers_are_named_and_may_be_given(data):
    base = chain()
    x = _Scale(name="mine")(base.get_layer("conv_3_bn").output)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(base.input, keras.layers.Dense(CLASSES, activation="softmax")(x))
    with pytest.raises(ValueError, match=r"twin of layer 'mine' \(_Scale\)"):
        LatentWeightTrainer(model)
    given = LatentWeightTrainer(
        model, replace=lambda layer: _Scale(name="ours") if layer.name == "mine" else None
    )
    assert len(named(given.twin, "ours")) == 1
    fit(compiled(given, run_eagerly=True), [array[:32] for array in data], epochs=1)


def test_bad_arguments():
    model = chain()
    real = chain(input_quantizer=None, kernel_quantizer=None)
    for make in (LatentWeightTrainer, LatentGradientTrainer):
        with pytest.raises(ValueError, match="without one"):
            make(real)
        with pytest.raises(TypeError, match="Keras 2 model"):
            make("model")
    with pytest.raises(TypeError, match="LatentSupervision"):
        LatentWeightTrainer(model, ["kl"])
    with pytest.raises(ValueError, match="different names"):
        LatentWeightTrainer(model, [Distillation(), Distillation()])
    with pytest.raises(ValueError, match="of stem, shortcuts, classifier"):
        LatentWeightTrainer(model, share="stem")
    with pytest.raises(ValueError, match="Received: 'no_such'"):
        LatentWeightTrainer(model, [FeatureAlignment(layers=["no_such"])])
    with pytest.raises(ValueError, match=r"weights\.h5"):
        LatentWeightTrainer(model).save_weights("trainer.h5")
    with pytest.raises(ValueError, match="Expected `weight`"):
        LatentGradientTrainer(model, -1.0)
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        LatentMixtureTrainer(model, 0.5)
    for term, arguments in [(Distillation, (-1.0,)), (RealPathLoss, ("much",))]:
        with pytest.raises(ValueError, match="Expected `weight`"):
            term(*arguments)
    for temperature in (0.0, float("nan")):
        with pytest.raises(ValueError, match="`temperature` to be a number above 0"):
            Distillation(temperature=temperature)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("make", [LatentWeightTrainer, LatentGradientTrainer])
def test_what_is_frozen_in_the_model_stays(make, when, data):
    model = chain()
    names = ["stem", "conv_2", "conv_1_bn", "classifier"]
    frozen = [model.get_layer(name) for name in names if name in [one.name for one in model.layers]]
    frozen += [model.layers[-1]] if model.layers[-1] not in frozen else []
    if when == "after":
        trainer = make(model)
    for layer in frozen:
        layer.trainable = False
    if when == "before":
        trainer = make(model)
    before = [layer.get_weights() for layer in frozen]
    moving = model.get_layer("conv_3").get_weights()[0]
    fit(compiled(trainer, run_eagerly=True), data)
    for layer, weights in zip(frozen, before, strict=True):
        for one, other in zip(layer.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.abs(model.get_layer("conv_3").get_weights()[0] - moving).max() > 0
    if make is LatentWeightTrainer:
        (twin,) = named(trainer.twin, "conv_1_bn_real")
        assert np.abs(twin.moving_mean).max() > 0


def test_regularizers_and_added_losses_are_the_models_own(data):
    model = with_dropout()
    trainer = compiled(LatentWeightTrainer(model, [RealPathLoss()], share=()))
    history = fit(trainer, data, validation_data=data)
    measured = compiled(model).evaluate(*data, verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(measured["loss"], rel=1e-5)
    x, y = (tf.constant(array[:32]) for array in data)
    loss = keras.losses.SparseCategoricalCrossentropy()
    expected = float(loss(y, model(x)) + tf.add_n(model.losses))
    assert trainer.test_on_batch(x, y)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "softmax"),
    [
        (chain, True),
        (lambda: nest(chain()), True),
        (lambda: with_dropout(activation=tf.nn.softmax), True),
        (lambda: chain(classifier_activation=None), False),
    ],
)
def test_logits_are_those_before_the_softmax(make, softmax, data):
    model = make()
    trainer = LatentWeightTrainer(model, [Distillation()])
    outputs = model(data[0][:4])
    logits = trainer._logits(outputs)
    probabilities = tf.nn.softmax(logits) if softmax else logits
    np.testing.assert_allclose(probabilities, outputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_models_without_classes_are_not_distilled(activation, data):
    model = with_dropout(units=1, activation=activation)
    with pytest.raises(ValueError, match="two or more classes for 'distillation'"):
        LatentWeightTrainer(model, [Distillation()])
    trainer = LatentWeightTrainer(model)
    assert [term.name for term in trainer.supervision] == ["real_path"]
    trainer.compile("adam", "binary_crossentropy" if activation else "mse", run_eagerly=True)
    images, labels = data
    assert np.isfinite(fit(trainer, (images, (labels > 0).astype("f")))["loss"]).all()


def test_models_of_several_outputs(data):
    base = chain()
    other = keras.layers.Dense(1, name="other")(base.get_layer("average_pool").output)
    model = keras.Model(base.input, {"classes": base.output, "other": other})
    losses = {"classes": "sparse_categorical_crossentropy", "other": "mse"}
    images, labels = data
    labels = {"classes": labels, "other": labels.astype("f")}
    histories = []
    for network in (model, LatentWeightTrainer(model)):
        options = {"metrics": {"classes": ["accuracy"]}, "loss_weights": {"other": 0.5}}
        options["run_eagerly"] = True
        network.compile("adam", losses, **options)
        histories.append(fit(network, (images, labels)))
    plain, with_twin = map(set, histories)
    assert len(plain) == 4
    assert with_twin == plain | {f"real_{name}" for name in plain} | {"real_path"}


class _Column(LatentSupervision):
    def __call__(self, paths):
        return paths.real_logits[:, :1]


def test_a_term_of_another_shape_is_refused(data):
    trainer = compiled(LatentWeightTrainer(chain(), [_Column()]))
    with pytest.raises(ValueError, match=r"scalar or `\(batch,\)`"):
        trainer.forward(*(tf.constant(array[:32]) for array in data), None)


@keras.utils.register_keras_serializable("tests")
class _OwnBinary(keras.layers.Layer):
    kernel_quantizer = staticmethod(lq.quantizers.SteSign())

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (input_shape[-1], 4))

    def call(self, inputs):
        return tf.matmul(inputs, self.kernel_quantizer(self.kernel))


def test_models_that_no_twin_can_be_made_of_are_refused():
    with_loss = chain()
    with_loss.add_loss(tf.reduce_mean(with_loss.get_layer("conv_2").output))
    words = keras.Input((5,))
    x = keras.layers.Embedding(10, 4, mask_zero=True)(words)
    x = lq.layers.QuantDense(4, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(x)
    masked = keras.Model(words, keras.layers.GlobalAveragePooling1D()(x))
    vector = keras.Input((6,))
    own = keras.Model(vector, _OwnBinary(name="mine")(vector))
    for make in (LatentWeightTrainer, LatentGradientTrainer):
        with pytest.raises(ValueError, match="losses or metrics of its tensors"):
            make(with_loss)
        with pytest.raises(ValueError, match="a mask from 'embedding"):
            make(masked)
        with pytest.raises(ValueError, match=r"'mine'.*_OwnBinary"):
            make(own)
    with pytest.raises(ValueError, match="Received: layers=None"):
        LatentWeightTrainer(nest(chain()), [FeatureAlignment()])
    with pytest.raises(ValueError, match="the model's layer 'conv_2'"):
        LatentWeightTrainer(
            chain(), replace=lambda layer: layer if layer.name == "conv_2" else None
        )


def test_a_trainer_is_no_model_to_ship_or_to_train(tmp_path):
    trainer = Trainer(chain())
    for make in (Trainer, LatentWeightTrainer, LatentGradientTrainer):
        with pytest.raises(TypeError, match=r"`(trainer\.)?model`"):
            make(trainer)
    with pytest.raises(TypeError, match="its `model`"):
        kbnn.requantize(trainer, kernel_quantizer="ste_sign")
    with pytest.raises(NotImplementedError, match=r"trainer\.save"):
        keras.models.save_model(trainer, tmp_path / "trainer.keras")
    with pytest.raises(ValueError, match="other than loss"):
        Trainer(chain(), terms=["loss"])


class _Forgetful(Trainer):
    def forward(self, x, y, sample_weight):
        return self.model(x, training=True), {"other": tf.constant(1.0)}


def test_terms_have_the_names_that_were_said(data):
    trainer = compiled(_Forgetful(chain(), terms=["extra"]), run_eagerly=True)
    with pytest.raises(ValueError, match=r"\['extra'\]\. Received: \['other'\]"):
        fit(trainer, data)


def test_callbacks_look_at_the_model(data):
    model = chain(input_quantizer="smooth_sign", kernel_quantizer="smooth_sign")
    trainer = compiled(LatentWeightTrainer(model))
    trainer_checks.check_callbacks_see_the_model(trainer, data)
    with pytest.raises(ValueError, match="Expected `images`"):
        fit(trainer, data, callbacks=[kbnn.callbacks.BinarizationMonitor(np.zeros((4, 3)))])


@pytest.mark.parametrize(
    ("metric", "terms"),
    [
        (keras.metrics.SparseCategoricalAccuracy("real_loss"), [RealPathLoss()]),
        (keras.metrics.SparseCategoricalAccuracy("same"), [RealPathLoss(name="same")]),
        (keras.metrics.SparseCategoricalAccuracy("same"), [RealPathLoss(name="real_same")]),
    ],
)
def test_metrics_and_terms_of_one_name_are_refused(metric, terms, data):
    trainer = compiled(LatentWeightTrainer(chain(), terms), metrics=[metric], run_eagerly=True)
    with pytest.raises(ValueError, match=f"different names.*{terms[0].name}|real_loss, twice"):
        fit(trainer, data)


def test_a_metric_that_is_called_real_has_its_own_value(data):
    trainer = compiled(
        LatentWeightTrainer(chain(), [RealPathLoss()]),
        metrics=[keras.metrics.SparseCategoricalAccuracy("real_one")],
        run_eagerly=True,
    )
    fit(trainer, data)
    found = trainer.evaluate(*data, verbose=0, return_dict=True)
    outputs = trainer.paths(data[0])
    for name, path in (("real_one", "binary"), ("real_real_one", "real")):
        expected = np.mean(np.argmax(outputs[path], axis=-1) == data[1])
        assert found[name] == pytest.approx(expected, abs=1e-6)


class _Gated(keras.layers.Dense):
    """A dense layer with an additional weight."""

    def build(self, input_shape):
        super().build(input_shape)
        self.gate = self.add_weight("gate", (self.units,), initializer="ones")

    def call(self, inputs):
        return super().call(inputs) * self.gate


class _GatedBinary(lq.layers.QuantDense):
    def build(self, input_shape):
        super().build(input_shape)
        self.gate = self.add_weight("gate", (self.units,), initializer="ones")


@pytest.mark.parametrize(
    "layer",
    [
        lambda: _Gated(8, name="mine"),
        lambda: _GatedBinary(8, kernel_quantizer="ste_sign", name="mine"),
    ],
)
def test_weights_that_the_twin_would_have_anew_are_no_silence(layer):
    vector = keras.Input((6,))
    x = lq.layers.QuantDense(8, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(
        vector
    )
    model = keras.Model(vector, keras.layers.Dense(3, activation="softmax")(layer()(x)))
    with pytest.raises(
        ValueError, match=r"real-valued twin of layer 'mine' \(_Gated.*Pass `replace=`"
    ):
        LatentWeightTrainer(model, share=ROLES)


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_the_twins_own_trains_whatever_is_frozen_in_the_model(when, data):
    model = chain(normalization="binary", input_quantizer="smooth_sign")
    names = [layer.name for layer in model.layers if layer.weights]
    if when == "after":
        trainer = LatentWeightTrainer(model, share=())
    for name in names:
        model.get_layer(name).trainable = False
    if when == "before":
        trainer = LatentWeightTrainer(model, share=())
    model.get_layer("conv_3").trainable = True
    kept = {id(weight) for weight in model.weights}
    own = [weight for weight in trainer.twin.weights if id(weight) not in kept]
    before = [weight.numpy() for weight in own]
    fit(compiled(trainer, run_eagerly=True), data)
    still = [
        weight.name
        for weight, old in zip(own, before, strict=True)
        if (weight.numpy() == old).all()
    ]
    assert len(own) > 10
    assert still == []


def test_what_is_not_shared_begins_with_the_models_numbers():
    for share, names in [((), ["stem", "dense"]), (("stem",), ["dense"])]:
        model = with_dropout(name="dense")
        trainer = LatentWeightTrainer(model, [RealPathLoss()], share=share)
        for name in names:
            (copy,) = named(trainer.twin, f"{name}_real")
            for one, other in zip(
                copy.get_weights(), model.get_layer(name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("share", [(), ("stem",), ("shortcuts",), ("classifier",)])
def test_each_role_is_shared_by_itself(share):
    image = keras.Input(SHAPE)
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "padding": "same"}
    x = keras.layers.Conv2D(8, 3, padding="same", name="stem")(image)
    y = lq.layers.QuantConv2D(8, 3, use_bias=False, **signs)(x)
    x = keras.layers.add([keras.layers.Conv2D(8, 1, name="shortcuts")(y), y])
    x = lq.layers.QuantConv2D(8, 3, use_bias=False, **signs)(x)
    x = keras.layers.Dense(CLASSES, name="classifier")(keras.layers.Flatten()(x))
    model = keras.Model(image, x)
    trainer = LatentWeightTrainer(model, [RealPathLoss()], share=share)
    inside = {id(weight) for weight in trainer._real.weights}
    for role in ("shortcuts", "classifier"):
        assert (id(model.get_layer(role).kernel) in inside) == (role in share), role
    assert ("stem" in share) == (named(trainer.twin, "stem_real") == [])


def test_signs_that_are_layers_or_activations_are_real_in_the_twin(rng):
    vector = keras.Input((6,))
    x = keras.layers.Activation(lq.quantizers.SteSign())(vector)
    x = keras.layers.Dense(5, use_bias=False)(x)
    x = keras.layers.Activation(lq.quantizers.ste_sign)(x)
    options = {
        "kernel_quantizer": "ste_sign",
        "use_bias": False,
        "activation": lq.quantizers.ste_sign,
    }
    x = lq.layers.QuantDense(4, kernel_constraint="weight_clip", **options)(x)
    model = keras.Model(vector, x)
    twin = LatentWeightTrainer(model, [RealPathLoss()], activation="softsign", share=()).twin
    x = rng.normal(size=(8, 6)).astype("f")

    def softsign(x):
        return x / (1 + np.abs(x))

    first, second = model.get_weights()
    expected = softsign(softsign(softsign(x) @ first) @ second)
    np.testing.assert_allclose(twin(x), expected, rtol=1e-4, atol=1e-6)


def test_losses_and_metrics_of_the_twin_are_weighted_as_those_of_the_model(data):
    base = chain()
    other = keras.layers.Dense(1, name="other")(base.get_layer("average_pool").output)
    model = keras.Model(base.input, {"classes": base.output, "other": other})
    trainer = LatentWeightTrainer(model, [RealPathLoss()])
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    trainer.compile(
        "adam",
        {"classes": "sparse_categorical_crossentropy", "other": "mse"},
        loss_weights={"classes": 1.0, "other": 0.25},
        weighted_metrics={"classes": [accuracy]},
    )
    images, labels = (array[:32] for array in data)
    weights = np.linspace(0, 1, 32).astype("f")
    targets = {"classes": labels, "other": labels.astype("f")}
    each = {"classes": weights, "other": weights}
    logs = trainer.test_on_batch(images, targets, sample_weight=each, return_dict=True)
    found = {name: value.numpy() for name, value in trainer.paths(images)["real"].items()}
    likelihood = np.log(found["classes"][np.arange(32), labels])
    squares = (found["other"][:, 0] - labels) ** 2
    expected = np.mean(weights * (-likelihood + 0.25 * squares))
    assert logs["real_path"] == pytest.approx(expected, rel=1e-4)
    assert logs["real_loss"] == pytest.approx(expected, rel=1e-4)
    (name,) = [name for name in logs if name.startswith("real_") and name.endswith("accuracy")]
    right = (np.argmax(found["classes"], axis=1) == labels) * weights
    assert logs[name] == pytest.approx(right.sum() / weights.sum(), rel=1e-5)


@pytest.mark.parametrize(
    "end",
    [
        tf.nn.softmax,
        lambda x: keras.layers.Activation("linear", dtype="float32")(keras.layers.Softmax()(x)),
        lambda x: keras.layers.Reshape((CLASSES,))(keras.layers.Softmax()(x)),
    ],
)
def test_a_softmax_is_found_behind_what_keeps_its_values(end, data):
    base = chain(classifier_activation=None)
    model = keras.Model(base.input, end(base.output))
    trainer = LatentWeightTrainer(model, [Distillation()])
    outputs = model(data[0][:4])
    np.testing.assert_allclose(tf.nn.softmax(trainer._logits(outputs)), outputs, rtol=1e-4)


def test_losses_that_are_not_of_classes_go_without_distillation(data):
    model = with_dropout(units=4, activation=None)
    targets = np.eye(4, dtype="f")[data[1]]
    for loss in ("mse", keras.losses.BinaryCrossentropy(from_logits=True), keras.losses.huber):
        with pytest.raises(ValueError, match="loss of classes for 'distillation'"):
            LatentWeightTrainer(model).compile("adam", loss)
        trainer = LatentWeightTrainer(model, [RealPathLoss()])
        trainer.compile("adam", loss, run_eagerly=True)
        fit(trainer, (data[0], targets), epochs=1)
    for loss in ("sparse_categorical_crossentropy", "squared_hinge", lambda y, z: z):
        LatentWeightTrainer(model).compile("adam", loss)


def test_a_training_without_a_loss_is_refused(data):
    trainer = LatentWeightTrainer(chain())
    trainer.compile("adam")
    with pytest.raises(ValueError, match="No loss found"):
        trainer.fit(*data, verbose=0)
    with pytest.raises(ValueError, match="Target data is missing"):
        compiled(trainer).fit(data[0], verbose=0)


def test_scaling_with_adapted_numbers_is_copied(data):
    scaling = keras.layers.Normalization()
    scaling.adapt(data[0])
    image = keras.Input(SHAPE)
    model = keras.Model(image, chain()(scaling(image)))
    x = keras.layers.Conv2D(8, 3)(scaling(image))
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    x = lq.layers.QuantConv2D(8, 3, kernel_constraint="weight_clip", **signs)(x)
    x = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.Flatten()(x))
    model = keras.Model(image, x)
    trainer = compiled(LatentWeightTrainer(model, share=()), run_eagerly=True)
    (copy,) = [layer for layer in trainer.twin.submodules if layer.name == f"{scaling.name}_real"]
    np.testing.assert_array_equal(copy(data[0]), scaling(data[0]))
    fit(trainer, data, epochs=1)


def test_a_scalar_that_is_used_behind_binary_layers(data):
    image = keras.Input(SHAPE)
    x = lq.layers.QuantConv2D(8, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(
        keras.layers.Conv2D(8, 3)(image)
    )
    x = tf.reshape(x, (tf.shape(image)[0], 8 * 8 * 8))
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))
    with pytest.raises(ValueError, match=r'a scalar from .*without "stem"'):
        LatentWeightTrainer(model)
    fit(compiled(LatentWeightTrainer(model, share=())), data, epochs=1)


class _OwnStep(keras.Model):
    def train_step(self, data):
        return {}


def test_more_bad_arguments():
    model = chain()
    with pytest.raises(TypeError, match="a _OwnStep, which has a `train_step`"):
        Trainer(_OwnStep(model.input, model.output))
    with pytest.raises(ValueError, match="Received: share=None"):
        LatentWeightTrainer(model, share=None)
    with pytest.raises(ValueError, match="balance_gradient='no'"):
        LatentWeightTrainer(model, balance_gradient="no")
    with pytest.raises(ValueError, match="replace=1"):
        LatentWeightTrainer(model, replace=1)
    with pytest.raises(ValueError, match="weight=True"):
        RealPathLoss(True)

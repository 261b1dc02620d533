"""The sidecar that kbnn writes is the one that kbnn-runtime reads."""

import json

import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn import converters
from kbnn.converters import convert, write_sidecar
from kbnn_runtime import Interpreter, Sidecar
from tests.converters.networks import randomised, small_chain

NAMES = [f"class {i}" for i in range(10)]


def test_the_runtime_classifies_images_by_it_as_keras_does(tmp_path):
    model = small_chain()  # softmax
    path = convert(model, tmp_path / "model.tflite").path
    assert write_sidecar(path, model, labels=NAMES, scale=1 / 127.5, offset=-1.0) == (
        tmp_path / "model.json"
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    expected = model.predict(kbnn.data.normalization_layer()(images), verbose=0)
    found = Interpreter(path).classify(images, top=1)
    for (best,), row in zip(found, expected, strict=True):
        assert best.label == NAMES[row.argmax()]
        assert best.score == pytest.approx(row.max(), abs=1e-4)


def test_logits_bytes_and_classes_without_names(tmp_path):
    image = keras.Input((8, 8, 3), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image))
    model = randomised(keras.Model(image, keras.layers.Dense(4)(x)))
    path = convert(model, tmp_path / "model.tflite").path
    write_sidecar(path, model)
    assert json.loads((tmp_path / "model.json").read_text()) == {
        "format": 1,
        "preprocessing": {"dtype": "uint8", "scale": 1.0, "offset": 0.0},
        "scores": "logits",
    }
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    logits = model.predict(images, verbose=0)
    for (best,), row in zip(Interpreter(path).classify(images, top=1), logits, strict=True):
        assert best.index == row.argmax()
        assert best.score == pytest.approx(np.exp(row - row.max()).max() / _sum(row), abs=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": ["a", "b", "c", "d"]},
        {"scale": 0.5, "offset": -1.0},
        {"scale": [1.0, 2.0, 3.0], "offset": [0.0, -1.0, 1.0]},
    ],
)
def test_the_runtime_reads_every_kind_of_document(tmp_path, dtype, activation, options):
    image = keras.Input((2, 2, 3), dtype=dtype)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(image))
    model = keras.Model(image, keras.layers.Dense(4, activation)(x))
    written = Sidecar.read(write_sidecar(tmp_path / "model.tflite", model, **options))
    scores = "logits" if activation is None else "probabilities"
    assert written == Sidecar(dtype, scores=scores, **options)


def _sum(row):
    return np.exp(row - row.max()).sum()


def test_another_file_in_its_place_stays(tmp_path, plain_chain):
    (tmp_path / "model.json").write_text('{"accuracy": 0.9}')
    with pytest.raises(ValueError, match="which is another file"):
        write_sidecar(tmp_path / "model.tflite", plain_chain.model)
    assert (tmp_path / "model.json").read_text() == '{"accuracy": 0.9}'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["a"]}, "Expected 10 labels"),
        ({"labels": "0123456789"}, "Expected 10 labels"),
        (
            {"scale": [1.0, 2.0]},
            "Expected `scale` to be a finite number, or one for each of 1",
        ),
        ({"offset": float("nan")}, "Expected `offset`"),
        ({"offset": None}, "Expected `offset` .* offset=None"),
        ({"scale": True}, "Expected `scale` .* scale=True"),
        ({"scale": 1e37}, "Expected `scale` and `offset` that keep the input within float32"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, plain_chain, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_sidecar(tmp_path / "model.tflite", plain_chain.model, **arguments)
    assert not list(tmp_path.iterdir())


def test_models_that_classify_no_images_are_refused(tmp_path, plain_chain):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(image)
    for outputs in (image, keras.layers.Dense(1)(x), [keras.layers.Dense(3)(x)] * 2):
        with pytest.raises(ValueError, match="Expected a model with one input `"):
            write_sidecar(tmp_path / "model.tflite", keras.Model(image, outputs))
    with pytest.raises(ValueError, match=r"Expected `path` to be a file that ends in \.tflite"):
        write_sidecar(tmp_path / "model.json", plain_chain.model)
    half = keras.Input((8, 8, 3), dtype="float16")
    model = keras.Model(half, keras.layers.Dense(2)(keras.layers.Flatten()(half)))
    with pytest.raises(ValueError, match="Expected a model whose input is uint8"):
        converters.write_sidecar(tmp_path / "model.tflite", model)

"""The sidecar: preprocessing of images, and classes from outputs."""

import json

import models
import numpy as np
import pytest
from PIL import Image

from kbnn_runtime import Interpreter, Prediction, Sidecar
from kbnn_runtime.images import convert_channels, resize_image

LABELS = ["cat", "dog", "bird"]


def document(**changes) -> dict:
    made = {"format": 1, "preprocessing": {"dtype": "uint8"}, "labels": LABELS}
    made.update(changes)
    return made


def image(height: int = 4, width: int = 6, channels: int = 1, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, channels), np.uint8)


def logits(pixels: np.ndarray) -> np.ndarray:
    return models.weights() @ pixels.reshape(-1)


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def test_the_file_beside_the_model_is_applied(tmp_path):
    (tmp_path / "model.tflite").write_bytes(models.classifier())
    (tmp_path / "model.json").write_text(json.dumps(document()))
    interpreter = Interpreter(tmp_path / "model.tflite")
    shown = image()
    ((best,),) = interpreter.classify(shown[None], top=1)
    expected = int(np.argmax(logits(shown)))
    assert (best.label, best.index) == (LABELS[expected], expected)
    assert best.score == pytest.approx(softmax(logits(shown))[expected])


def test_all_classes_in_their_order(tmp_path):
    interpreter = Interpreter(models.classifier(), sidecar=Sidecar.from_dict(document()))
    shown = [image(seed=seed) for seed in range(5)]
    for given, found in zip(shown, interpreter.classify(shown, top=9), strict=True):
        order = np.argsort(-logits(given))
        assert [entry.index for entry in found] == list(order)
        assert sum(entry.score for entry in found) == pytest.approx(1)


def test_without_a_sidecar_scores_are_the_outputs():
    shown = image()
    (found,) = Interpreter(models.classifier()).classify([shown[..., 0]], top=2)
    order = np.argsort(-logits(shown))[:2]
    assert found == [Prediction(str(i), int(i), float(logits(shown)[i])) for i in order]


def test_sidecar_none_ignores_the_file(tmp_path):
    (tmp_path / "model.tflite").write_bytes(models.classifier())
    (tmp_path / "model.json").write_text("{}")
    assert Interpreter(tmp_path / "model.tflite", sidecar=None).sidecar is None
    with pytest.raises(ValueError, match=r"Expected an object with format 1.*model\.json"):
        Interpreter(tmp_path / "model.tflite")


def test_scale_and_offset_of_real_inputs():
    sidecar = Sidecar.from_dict(
        document(
            preprocessing={"dtype": "float32", "scale": [0.5, 0.25, 2], "offset": [-1, 0, 3]},
            scores="raw",
        )
    )
    interpreter = Interpreter(models.classifier("float32", channels=3), sidecar=sidecar)
    shown = image(channels=3)
    pixels = (shown * np.array([0.5, 0.25, 2]) + [-1, 0, 3]).mean(axis=-1)
    (found,) = interpreter.classify([shown], top=3)
    scores = {entry.index: entry.score for entry in found}
    np.testing.assert_allclose([scores[i] for i in range(3)], logits(pixels), rtol=1e-5)


def test_integers_are_rounded_to_even_and_clipped():
    sidecar = Sidecar(dtype="int8", scale=(0.5,), offset=(-120.0,))
    (tensor,) = Interpreter(models.classifier("int8"), sidecar=sidecar).inputs
    pixels = np.zeros((4, 6), np.uint8)
    pixels[0] = [0, 1, 3, 5, 254, 255]
    stored = sidecar.preprocess([pixels], tensor)
    assert stored.dtype == np.int8
    # 0.5 - 120 = -119.5 is rounded to the even -120.
    np.testing.assert_array_equal(stored[0, 0, :, 0], [-120, -120, -118, -118, 7, 8])
    bright = Sidecar(dtype="int8", scale=(4.0,), offset=(0.0,)).preprocess([pixels], tensor)
    np.testing.assert_array_equal(bright[0, 0, :, 0], [0, 4, 12, 20, 127, 127])


def test_probabilities_are_not_changed():
    rows = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]], np.float32)
    found = Sidecar(dtype="uint8", scores="probabilities").best(rows, 2)
    assert [[entry.index for entry in best] for best in found] == [[1, 2], [0, 1]]
    assert found[0][0].score == pytest.approx(0.5)


def test_the_softmax_of_large_logits():
    ((first, second),) = Sidecar(dtype="uint8").best(np.array([[5000, 4999]], np.float32), 2)
    assert first.score == pytest.approx(1 / (1 + np.exp(-1)))
    assert second.score == pytest.approx(1 - first.score)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_gray_and_colour_are_converted_as_pillow_does(mode):
    shown = image(channels=3 if mode == "L" else 1)
    converted = convert_channels(shown, 1 if mode == "L" else 3)
    picture = Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown).convert(mode)
    np.testing.assert_array_equal(converted.squeeze(), np.asarray(picture))


def test_other_sizes_are_stretched_or_cropped():
    # The central part has the right proportions; a crop removes the gray margins.
    shown = np.full((12, 6, 1), 128, np.uint8)
    shown[4:8] = image()
    np.testing.assert_array_equal(resize_image(shown, 4, 6, "crop"), image())
    turned = shown.transpose(1, 0, 2)
    np.testing.assert_array_equal(resize_image(turned, 6, 4, "crop"), image().transpose(1, 0, 2))
    shown[3:9] = 255
    stretched = resize_image(shown, 4, 6, "stretch")
    assert stretched.shape == (4, 6, 1)
    assert stretched[0].max() < 160 < 240 < stretched[1:3].min()
    same = image()
    assert resize_image(same, 4, 6, "crop") is same


def test_images_of_different_sizes_in_one_call():
    interpreter = Interpreter(models.classifier(), sidecar=Sidecar.from_dict(document()))
    shown = [image(40, 60, 3), image(4, 6, 1), image(7, 5, 3)[..., 0]]
    assert len(interpreter.classify(shown)) == 3


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "Expected at least one image"),
        (3, TypeError, "Expected an array or a list of images"),
        ([[1]], TypeError, "uint8 arrays. Received: list"),
        ([image().astype(float)], TypeError, "uint8 arrays. Received: float64"),
        ([image(channels=2)], ValueError, r"Received: \(4, 6, 2\)"),
        ([image()[0, 0]], ValueError, "Received"),
        ([image(0)], ValueError, r"Received: \(0, 6, 1\)"),
        (image(), ValueError, r"pass a single one as \[image\]. Received: \(4, 6, 1\)"),
        (image(channels=3), ValueError, r"pass a single one as \[image\]. Received: \(4, 6, 3\)"),
        (image()[..., 0], ValueError, r"Received: \(6,\)"),
    ],
)
def test_wrong_images_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        Interpreter(models.classifier()).classify(images)


def test_a_model_of_any_size_takes_images_of_one_size():
    interpreter = Interpreter(models.any_size(), sidecar=Sidecar("float32", scores="raw"))
    shown = [image(3, 5, seed=0), image(3, 5, seed=1)]
    found = interpreter.classify(shown)
    np.testing.assert_allclose(
        [best[0].score for best in found], [given.mean() for given in shown], rtol=1e-5
    )
    with pytest.raises(ValueError, match="Expected images of the same size"):
        interpreter.classify([image(3, 5), image(5, 3)])


@pytest.mark.parametrize("top", [0, True, 1.5])
def test_a_wrong_top_is_refused(top):
    with pytest.raises(ValueError, match="Expected top to be an integer from 1"):
        Interpreter(models.classifier()).classify([image()], top=top)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Expected an object with format 1"),
        (document(format=2), "Expected an object with format 1. Received: 2"),
        (document(format=True), "Expected an object with format 1. Received: True"),
        (document(label=LABELS), r"Received: \['label'\]"),
        (document(preprocessing=None), "Expected preprocessing to be an object"),
        (document(preprocessing={"dtype": "uint8", "mean": 0}), r"Received: \['mean'\]"),
        (document(preprocessing={}), "Expected dtype to be one of"),
        (document(preprocessing={"dtype": "float64"}), "Received: dtype='float64'"),
        (document(preprocessing={"dtype": "uint8", "scale": "1"}), "Received: scale='1'"),
        (document(preprocessing={"dtype": "uint8", "scale": []}), "Expected scale"),
        (document(preprocessing={"dtype": "uint8", "offset": True}), "Expected offset"),
        (document(preprocessing={"dtype": "uint8", "offset": float("nan")}), "finite"),
        (document(preprocessing={"dtype": "uint8", "offset": [0, 10**400]}), "finite"),
        (document(preprocessing={"dtype": "uint8", "scale": 3e38}), "within float32"),
        (document(preprocessing={"dtype": "uint8", "resize": "fit"}), "Expected resize"),
        (document(labels="cat"), "Expected labels to be a list of names"),
        (document(labels=[]), "Expected labels to be a list of names"),
        (document(scores="softmax"), "Expected scores to be one of"),
    ],
)
def test_wrong_documents_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Sidecar.from_dict(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dtype": "float64"}, "Expected dtype"),
        ({"scale": (float("nan"),)}, "finite"),
        ({"offset": ()}, "Expected offset"),
        ({"resize": "fit"}, "Expected resize"),
        ({"scores": "softmax"}, "Expected scores"),
        ({"labels": "cat"}, "Expected labels"),
    ],
)
def test_wrong_values_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Sidecar(**{"dtype": "uint8", **given})


def test_numbers_and_lists_are_accepted():
    sidecar = Sidecar("uint8", scale=2, offset=[0, 1, 2], labels=["a", "b"])
    assert (sidecar.scale, sidecar.offset) == ((2.0,), (0.0, 1.0, 2.0))
    assert sidecar.labels == ("a", "b")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe\xfd"])
def test_invalid_json_is_refused_with_the_file_name(text, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"Expected a JSON document.*sidecar .*model\.json"):
        Sidecar.read(path)


@pytest.mark.parametrize(
    ("model", "sidecar", "message"),
    [
        (models.classifier(), Sidecar("float32"), "Expected a sidecar with dtype 'uint8'"),
        (models.classifier(), Sidecar("uint8", labels=("cat", "dog")), "Expected 3 labels"),
        (models.classifier(), Sidecar("uint8", scale=(1.0, 2.0)), "Expected scale to be"),
        (models.pairs(), Sidecar("float32"), "Expected a model with one input of images"),
        (models.flattened(), Sidecar("float32"), "Expected a model with one input of images"),
    ],
)
def test_a_sidecar_of_another_model_is_refused(model, sidecar, message):
    with pytest.raises(ValueError, match=message):
        Interpreter(model, sidecar=sidecar)


def test_classify_refuses_a_float_model_without_a_sidecar():
    with pytest.raises(ValueError, match="or a sidecar that says how to"):
        Interpreter(models.classifier("float32")).classify([image()])

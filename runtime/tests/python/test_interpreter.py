"""`Interpreter`: accepted and refused arguments, and results."""

import pathlib
import threading

import models
import numpy as np
import pytest

from kbnn_runtime import Interpreter


def images(count: int, dtype: str = "uint8", channels: int = 1) -> np.ndarray:
    shape = (count, models.HEIGHT, models.WIDTH, channels)
    return np.random.default_rng(count).integers(0, 256, shape).astype(dtype)


def expected_logits(batch: np.ndarray) -> np.ndarray:
    return batch.mean(axis=-1).reshape(len(batch), -1) @ models.weights().T


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "model.tflite"
    file.write_bytes(models.classifier())
    return file


def test_a_path_a_string_and_bytes_are_the_same_model(path):
    batch = images(3)
    for model in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(Interpreter(model).predict(batch), expected_logits(batch))


def test_tensors_have_the_names_of_the_signature():
    interpreter = Interpreter(models.classifier())
    (image,), (logits,) = interpreter.inputs, interpreter.outputs
    assert (image.name, image.shape, image.dtype) == ("image", (None, 4, 6, 1), np.uint8)
    assert (logits.name, logits.shape, logits.dtype) == ("logits", (None, 3), np.float32)
    assert logits.scale is None


def test_without_a_signature_tensors_have_the_names_of_the_graph():
    interpreter = Interpreter(models.pairs())
    assert [tensor.name for tensor in interpreter.inputs] == ["a", "b"]
    assert [tensor.name for tensor in interpreter.outputs] == ["total", "product"]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 20])
@pytest.mark.parametrize("reshape_batch", [-1, 1], ids=["resizable", "one by one"])
def test_any_batch_size(count, reshape_batch):
    interpreter = Interpreter(models.classifier(reshape_batch=reshape_batch))
    batch = images(count)
    for _ in range(2):
        np.testing.assert_array_equal(interpreter.predict(batch), expected_logits(batch))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_nothing(batch_size):
    batch = images(10)
    outputs = Interpreter(models.classifier()).predict(batch, batch_size=batch_size)
    np.testing.assert_array_equal(outputs, expected_logits(batch))


def test_batches_of_changing_sizes():
    interpreter = Interpreter(models.classifier())
    for count in (5, 1, 8, 2):
        batch = images(count)
        np.testing.assert_array_equal(interpreter.predict(batch), expected_logits(batch))


def test_a_failed_batch_does_not_affect_smaller_ones(monkeypatch):
    """A batch may fail because memory is exhausted."""
    interpreter = Interpreter(models.classifier())
    session, sizes = interpreter._session, []
    resize = session._resize

    def resized(shapes):
        sizes.append(shapes[0][0])
        if shapes[0][0] > 4:
            raise ValueError("too large")
        resize(shapes)

    monkeypatch.setattr(session, "_resize", resized)
    batch = images(6)
    for batch_size, tried in ((6, [6, 1]), (6, [1]), (3, [3, 3]), (5, [5, 1, 1])):
        sizes.clear()
        outputs = interpreter.predict(batch, batch_size=batch_size)
        np.testing.assert_array_equal(outputs, expected_logits(batch))
        assert sizes == tried


def test_a_model_with_one_row_for_all_runs_one_by_one():
    batch = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(Interpreter(models.flattened()).predict(batch), batch)


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("content", [models.halves(), models.total()], ids=["rows", "scalar"])
def test_outputs_without_a_row_per_example_are_refused(content, count, batch_size):
    interpreter = Interpreter(content)
    for _ in range(2):
        with pytest.raises(ValueError, match="Expected a model whose outputs have a row per ex"):
            interpreter.predict(np.ones((count, 4), np.float32), batch_size=batch_size)


@pytest.mark.parametrize("count", [1, 4, 6])
def test_a_fixed_batch_of_four(count):
    batch = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
    outputs = Interpreter(models.fixed_pairs(4)).predict(batch)
    np.testing.assert_array_equal(outputs, 2 * batch.reshape(count, 2, 2))


def test_several_inputs_and_outputs_go_by_name():
    a, b = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    outputs = Interpreter(models.pairs()).predict({"b": b, "a": a})
    assert list(outputs) == ["total", "product"]
    np.testing.assert_array_equal(outputs["total"], a + b)
    np.testing.assert_array_equal(outputs["product"], a * b)


def test_a_dict_for_one_input():
    batch = images(2)
    outputs = Interpreter(models.classifier()).predict({"image": batch})
    np.testing.assert_array_equal(outputs, expected_logits(batch))


def test_free_sizes():
    interpreter = Interpreter(models.any_size())
    assert interpreter.inputs[0].shape == (None, None, None, 1)
    for height, width in ((2, 3), (5, 4)):
        batch = np.random.default_rng(0).random((3, height, width, 1), np.float32)
        np.testing.assert_allclose(interpreter.predict(batch), batch.mean(axis=(1, 2)), rtol=1e-6)


def test_free_sizes_that_must_not_be_1():
    interpreter = Interpreter(models.any_size_from_3())
    assert interpreter.inputs[0].shape == (None, None, None, 1)
    assert interpreter.outputs[0].shape == (None, 1)
    for _ in range(2):
        for count in (1, 3):
            with pytest.raises(ValueError, match="Expected sizes that the model can be resized"):
                interpreter.predict(np.zeros((count, 2, 1, 1), np.float32))
        batch = np.random.default_rng(0).random((3, 4, 5, 1), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(batch[..., 0], (3, 3), axis=(1, 2))
        sums = windows.sum(axis=(3, 4))
        np.testing.assert_allclose(
            interpreter.predict(batch)[:, 0], sums.mean(axis=(1, 2)), rtol=1e-6
        )
    assert len(interpreter.profile(batch, runs=1).operators) == 2


def test_an_empty_batch_gives_no_rows():
    assert Interpreter(models.classifier()).predict(images(0)).shape == (0, 3)
    assert Interpreter(models.flattened()).predict(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_a_quantized_output():
    interpreter = Interpreter(models.quantized())
    (output,) = interpreter.outputs
    assert (output.dtype, output.scale, output.zero_point) == (np.int8, 0.5, -3)
    batch = np.array([[0, 1, -2.5, 10]], np.float32)
    stored = interpreter.predict(batch)
    np.testing.assert_array_equal(stored, [[-3, -1, -8, 17]])
    np.testing.assert_array_equal(output.dequantize(stored), batch)


def test_inputs_may_be_strided():
    batch = images(6)[::2]
    np.testing.assert_array_equal(
        Interpreter(models.classifier()).predict(batch), expected_logits(batch)
    )


def test_progress_reaches_the_end(capsys):
    seen = []
    interpreter = Interpreter(models.classifier())
    interpreter.predict(images(10), batch_size=4, progress=lambda *step: seen.append(step))
    assert seen == [(4, 10), (8, 10), (10, 10)]
    interpreter.predict(images(10), progress=True)
    captured = capsys.readouterr()
    assert captured.err.endswith("] 10/10\n")
    assert captured.out == ""


def test_a_progress_function_may_predict():
    interpreter = Interpreter(models.classifier())
    batch, other = images(10), images(3)
    results = []

    def report(done: int, total: int) -> None:
        results.append(interpreter.predict(other))

    def work() -> None:
        results.append(interpreter.predict(batch, batch_size=5, progress=report))

    # A daemon thread, so that a deadlock does not keep the process from exiting.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=60)
    for result, given in zip(results, (other, other, batch), strict=True):
        np.testing.assert_array_equal(result, expected_logits(given))


def test_threads_of_the_caller_do_not_mix():
    interpreter = Interpreter(models.classifier())
    batches = [images(count) for count in range(1, 9)]
    results = {}

    def work(i: int) -> None:
        for _ in range(20):
            results[i] = interpreter.predict(batches[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, batch in enumerate(batches):
        np.testing.assert_array_equal(results[i], expected_logits(batch))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([[1]], TypeError, "Expected an array for the input 'image'. Received: list"),
        (None, TypeError, "Received: NoneType"),
        (
            images(1)[0],
            ValueError,
            r"pass a single example as array\[None\]. Received: \(4, 6, 1\)",
        ),
        (images(1)[:, :3], ValueError, r"Expected shape \(n, 4, 6, 1\).*Received: \(1, 3, 6, 1\)"),
        (images(1, "float32"), ValueError, "Expected uint8, .* Received: float32"),
        (images(1, ">f4"), ValueError, "Expected uint8, .* Received: >f4"),
        ({"images": images(1)}, ValueError, r"inputs \['image'\]. Received: \['images'\]"),
    ],
)
def test_a_wrong_batch_is_refused(batch, error, message):
    with pytest.raises(error, match=message):
        Interpreter(models.classifier()).predict(batch)


def test_wrong_dicts_are_refused():
    interpreter = Interpreter(models.pairs())
    row = np.zeros((1, 4), np.float32)
    with pytest.raises(TypeError, match="Expected a dict of arrays"):
        interpreter.predict(row)
    with pytest.raises(ValueError, match=r"Expected arrays for the inputs \['a', 'b'\]"):
        interpreter.predict({"a": row})
    with pytest.raises(ValueError, match="Expected one batch size"):
        interpreter.predict({"a": row, "b": np.zeros((2, 4), np.float32)})


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "8"])
def test_a_wrong_batch_size_is_refused(batch_size):
    with pytest.raises(ValueError, match="Expected batch_size to be an integer from 1"):
        Interpreter(models.classifier()).predict(images(1), batch_size=batch_size)


def test_a_wrong_progress_is_refused():
    with pytest.raises(TypeError, match="Expected progress"):
        Interpreter(models.classifier()).predict(images(1), progress="yes")


@pytest.mark.parametrize(
    "content",
    [b"", b"12345678", b"\0" * 100, models.classifier()[:200], b"\x1c\0\0\0TFL3" + b"\xff" * 64],
)
def test_an_invalid_model_is_a_value_error(content, tmp_path):
    with pytest.raises(ValueError, match="Expected a model"):
        Interpreter(content)
    file = tmp_path / "broken.tflite"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.tflite"):
        Interpreter(file)


def test_a_missing_file_and_other_types(tmp_path):
    with pytest.raises(FileNotFoundError):
        Interpreter(tmp_path / "none.tflite")
    with pytest.raises(TypeError, match="Received: int"):
        Interpreter(3)


def test_wrong_options_are_refused():
    for threads in (0, -1, 129):
        with pytest.raises(ValueError, match="Expected num_threads to be from 1 to 128"):
            Interpreter(models.classifier(), num_threads=threads)
    with pytest.raises(TypeError, match="Expected num_threads to be an integer"):
        Interpreter(models.classifier(), num_threads="2")
    with pytest.raises(ValueError, match="Expected kernels to be one of"):
        Interpreter(models.classifier(), kernels="fastest")

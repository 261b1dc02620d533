"""`import kbnn` selects Keras 2 or says how to; each case runs in a separate process."""

import os
import subprocess
import sys

import pytest
import tf_keras as keras

import kbnn


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL")
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kbnn_first_gives_keras_2_and_a_quiet_start():
    result = python(
        "import kbnn, tensorflow as tf, larq; tf.zeros(1) + 1; print(tf.keras.Model.__module__)"
    )
    assert result.stdout.startswith("tf_keras.")
    assert result.stderr == ""


def test_tensorflow_before_with_the_variable_set_works():
    result = python("import tensorflow, kbnn; print('fine')", TF_USE_LEGACY_KERAS="1")
    assert result.stdout == "fine\n"


@pytest.mark.parametrize(
    "first",
    [
        "import keras",
        pytest.param("import tensorflow", marks=pytest.mark.slow),
        pytest.param("import tf_keras", marks=pytest.mark.slow),
    ],
)
def test_keras_3_before_is_refused_with_the_remedy(first):
    result = python(f"{first}; import kbnn")
    assert result.returncode == 1
    assert "ImportError: Expected TensorFlow to use Keras 2. Received:" in result.stderr
    assert "write `import kbnn` before" in result.stderr
    assert 'import os; os.environ["TF_USE_LEGACY_KERAS"] = "1"' in result.stderr


@pytest.mark.slow
def test_the_notebook_line_works():
    line = 'import os; os.environ["TF_USE_LEGACY_KERAS"] = "1"'
    assert python(f"{line}\nimport tensorflow\nimport kbnn\nprint('fine')").stdout == "fine\n"


def test_a_variable_that_asks_for_keras_3_is_refused():
    result = python("import kbnn", TF_USE_LEGACY_KERAS="0")
    assert 'Received: TF_USE_LEGACY_KERAS="0"' in result.stderr


def test_a_missing_tf_keras_is_named():
    result = python("import sys; sys.modules['tf_keras'] = None; import kbnn")
    assert "pip install tf-keras" in result.stderr


@pytest.mark.parametrize("package", ["larq", "terminaltables"])
def test_a_missing_larq_is_named_with_the_command_that_installs_it(package):
    result = python(f"import sys; sys.modules[{package!r}] = None; import kbnn")
    assert "ImportError: Expected Larq to be installed. Received:" in result.stderr
    assert package in result.stderr
    assert "Run `pip install --no-deps larq==0.14.0 terminaltables`." in result.stderr


def test_real_errors_are_not_swallowed_with_the_notes():
    result = python(
        "import os, sys\n"
        "from kbnn import _environment\n"
        "with _environment._drop_native_notes():\n"
        "    os.write(2, b'I0000 00:00:17.1 1 a.cc:1] a note\\nE0000 00:00:17.1 1 a.cc:1] real\\n')"
    )
    assert result.stderr == "E0000 00:00:17.1 1 a.cc:1] real\n"


@pytest.mark.parametrize(
    "closing",
    [
        "import os; os.close(2)",
        pytest.param("import sys; sys.stderr = None", marks=pytest.mark.slow),
    ],
)
def test_a_process_without_standard_error_can_import_kbnn(closing):
    assert python(f"{closing}; import kbnn; print('fine')").stdout == "fine\n"


class FromKeras3:
    """Replaces an object of Keras 3, which cannot be loaded in the same process as Keras 2."""


FromKeras3.__module__ = "keras.src.models.functional"


@pytest.mark.parametrize(
    "call",
    [
        lambda model: kbnn.graph.rewrite(model, lambda layer: None),
        kbnn.converters.freeze,
        kbnn.converters.lint,
        lambda model: kbnn.converters.convert(model, "model.tflite"),
        lambda model: kbnn.converters.verify(model, "model.tflite", None),
        lambda layer: kbnn.models.vgg_tiny(preprocessing=layer),
    ],
)
def test_objects_of_keras_3_are_refused_with_the_way_out(call):
    with pytest.raises(TypeError, match=r"Received: \w+=keras\.src.*Build it with tf_keras"):
        call(FromKeras3())
    with pytest.raises(TypeError, match="Expected `"):
        call(keras.backend)

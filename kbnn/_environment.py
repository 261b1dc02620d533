"""Selects Keras 2, which Larq needs, and keeps TensorFlow quiet while it is imported.

TensorFlow reads `TF_USE_LEGACY_KERAS` once, while it is imported. A later change does not affect
TensorFlow and breaks Larq. This module therefore sets the variable in time, or raises an error that
says what to do.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_VARIABLE = "TF_USE_LEGACY_KERAS"
_REMEDY = f"""kbnn needs Keras 2 (tf-keras), because Larq does. Do one of these:
  - write `import kbnn` before `import tensorflow` and `import keras`;
  - set {_VARIABLE}=1 in the environment before Python starts;
  - in a notebook, restart the kernel and make this the first line of the first cell:
      import os; os.environ["{_VARIABLE}"] = "1\""""


# Lines like "I0000 00:00:1795236411.891791 3362 file.cc:31] ...", and the line in which absl
# announces them. They are written before TF_CPP_MIN_LOG_LEVEL has any effect.
_NOTE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:\d\d:")


def select_legacy_keras() -> None:
    """Select Keras 2 as TensorFlow's `tf.keras`, and import both.

    Raises:
        ImportError: TensorFlow is already loaded with Keras 3, the environment asks for Keras 3,
            or the package tf-keras or Larq is missing.
    """
    if "tensorflow" in sys.modules:
        # Larq uses tf.keras, which stays Keras 3 if the user has only imported tf_keras.
        if not sys.modules["tensorflow"].keras.Model.__module__.startswith("tf_keras."):
            raise ImportError(
                "Expected TensorFlow to use Keras 2. Received: TensorFlow was imported before "
                f"kbnn and uses Keras 3.\n{_REMEDY}"
            )
    elif os.environ.setdefault(_VARIABLE, "1").lower() not in ("1", "true"):
        raise ImportError(
            f'Expected {_VARIABLE} to be unset or "1". '
            f'Received: {_VARIABLE}="{os.environ[_VARIABLE]}".\n{_REMEDY}'
        )
    # Hides the notes on CPU features and missing GPUs, unless the user has set the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _drop_native_notes():
        try:
            import tf_keras  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "tf_keras":
                raise
            raise ImportError(
                "Expected tf-keras to be installed, with the same minor version as TensorFlow. "
                "Received: no such package. Run `pip install tf-keras`."
            ) from error
        from kbnn import _larq  # noqa: F401


@contextlib.contextmanager
def _drop_native_notes() -> Iterator[None]:
    """Drop the informational lines that native code writes to standard error, and no others.

    Native code bypasses `sys.stderr` and writes to the file descriptor, so the descriptor points to
    a temporary file inside this context. Set TF_CPP_MIN_LOG_LEVEL=0 to see every line.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    try:
        saved = os.dup(2)
    except OSError:  # a process without standard error (some services)
        yield
        return
    _flush()
    try:
        with tempfile.TemporaryFile() as captured:
            os.dup2(captured.fileno(), 2)
            try:
                yield
            finally:
                _flush()
                os.dup2(saved, 2)
                captured.seek(0)
                for line in captured:
                    if not _NOTE.match(line):
                        os.write(2, line)
    finally:
        os.close(saved)


def _flush() -> None:
    # It is None under pythonw, and a notebook or a logger may have replaced it.
    if sys.stderr is not None:
        sys.stderr.flush()

"""Selects Keras 2, which Larq needs, and keeps TensorFlow quiet while it is imported.

TensorFlow reads `TF_USE_LEGACY_KERAS` once, while it is imported. A later change has no effect on
TensorFlow and breaks Larq, so the choice is made here or refused with the remedy.
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


# "I0000 00:00:1795236411.891791 3362 file.cc:31] ..." and absl's announcement of such lines.
# They are written before TF_CPP_MIN_LOG_LEVEL has any effect.
_NOTE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:\d\d:")


def select_legacy_keras() -> None:
    """Make TensorFlow's `tf.keras` Keras 2, and import both.

    Raises:
        ImportError: TensorFlow is loaded with Keras 3 already, the environment asks for Keras 3,
            or the package tf-keras is missing.
    """
    if "tensorflow" in sys.modules:
        # `import tf_keras` alone leaves TensorFlow's own Keras, which Larq takes, at 3.
        if not sys.modules["tensorflow"].keras.Model.__module__.startswith("tf_keras."):
            raise ImportError(
                "Expected TensorFlow to use Keras 2. Received: TensorFlow was imported before "
                f"kbnn and is bound to Keras 3.\n{_REMEDY}"
            )
    elif os.environ.setdefault(_VARIABLE, "1").lower() not in ("1", "true"):
        raise ImportError(
            f'Expected {_VARIABLE} to be unset or "1". '
            f'Received: {_VARIABLE}="{os.environ[_VARIABLE]}".\n{_REMEDY}'
        )
    # The notes on CPU features and missing GPUs. A user who sets the variable sees them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _drop_native_notes():
        try:
            import tf_keras  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "tf_keras":
                raise
            raise ImportError(
                "Expected the package tf-keras, of TensorFlow's minor version, to be installed. "
                "Received: it is missing. Run `pip install tf-keras`."
            ) from error
        import larq  # noqa: F401


@contextlib.contextmanager
def _drop_native_notes() -> Iterator[None]:
    """Drop native informational lines written to standard error; everything else comes through.

    The native code writes to the file descriptor, past `sys.stderr`, so the descriptor itself is
    turned into a file for the while. Set TF_CPP_MIN_LOG_LEVEL=0 to see every line.
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
    # None under pythonw; a notebook or a logger may have put something else there.
    if sys.stderr is not None:
        sys.stderr.flush()

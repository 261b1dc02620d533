"""Selects Keras 2, which Larq needs, before TensorFlow is imported.

TensorFlow reads `TF_USE_LEGACY_KERAS` once, while it is imported; a later change only breaks
Larq further down. So the choice is made here, or refused with the remedy.
"""

import os
import sys

from kbnn import _quiet

_VARIABLE = "TF_USE_LEGACY_KERAS"
_REMEDY = f"""kbnn needs Keras 2 (tf-keras), because Larq does. Do one of these:
  - write `import kbnn` before `import tensorflow` and `import keras`;
  - set {_VARIABLE}=1 in the environment before Python starts;
  - in a notebook, restart the kernel and make this the first line of the first cell:
      import os; os.environ["{_VARIABLE}"] = "1\""""


def select() -> None:
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
    with _quiet.native_notes_dropped():
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

"""Functions of the tests that run in other processes, which serve all tests.

A model that loads there needs no custom_objects. Two replicas train there, under the only strategy
that a process can have. XLA optimizes there as it does for users, because XLA_FLAGS is not set.

`call_in_fresh_process` is the tests' side; `main` is what the processes run. A process reads one
JSON request a line from standard input. It answers each with a line: null, or the error.
"""

import kbnn  # noqa: F401

# isort: split
import functools
import importlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.child_process import ChildProcess
from tests.table.rows import Row

_DETERMINISTIC = "deterministic"
_PROCESSES = {
    name: ChildProcess(__name__, *arguments, without=["XLA_FLAGS"])
    for name, arguments in {"usual": (), _DETERMINISTIC: (_DETERMINISTIC,)}.items()
}


def call_in_fresh_process(
    function: Callable[..., None], *, is_deterministic: bool = False, **arguments: Any
) -> None:
    """Call a function in a process that serves all calls.

    Args:
        function: A function of a module.
        is_deterministic: Whether to call it in the process whose operations are deterministic from
            its start, as those of `kbnn train` are.
        arguments: Rows, or what JSON can hold.

    Raises:
        AssertionError: The function failed, or its process ended.
    """
    rows = {name: value for name, value in arguments.items() if isinstance(value, Row)}
    error = _PROCESSES[_DETERMINISTIC if is_deterministic else "usual"].call(
        module=function.__module__,
        function=function.__name__,
        rows={name: [row.module, row.name] for name, row in rows.items()},
        arguments={name: value for name, value in arguments.items() if name not in rows},
    )
    if error:
        raise AssertionError(f"In a fresh process:\n{error}")


@functools.cache
def strategy() -> tf.distribute.Strategy:
    """Return the only strategy of the process, because a second one crashes."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def assert_equal_replicas(model: keras.Model) -> None:
    for weight in model.weights:
        # Replicas have different moving statistics, which are combined when they are read.
        if weight.synchronization != tf.VariableSynchronization.ON_READ:
            first, second = (value.numpy() for value in weight.values)
            np.testing.assert_array_equal(first, second, err_msg=weight.name)


def _answer(request: dict[str, Any]) -> str | None:
    """Call the function of a request; return its error."""
    try:
        rows = {
            name: importlib.import_module(module).ROWS[row]
            for name, (module, row) in request["rows"].items()
        }
        function = getattr(importlib.import_module(request["module"]), request["function"])
        # Larq leaves its scope open when a layer fails inside it. This closes it.
        with lq.context.quantized_scope(False):
            function(**rows, **request["arguments"])
    except Exception:
        return traceback.format_exc()
    return None


def main() -> None:
    # Native code prints to standard output too: answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("error")
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if sys.argv[1:] == [_DETERMINISTIC]:
        tf.config.experimental.enable_op_determinism()
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()

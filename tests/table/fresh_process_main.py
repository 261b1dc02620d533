"""The process of `fresh_process.py`: it loads files and trains rows under a strategy.

It reads one JSON request a line from standard input. It answers each with a line: null, or the
error.
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
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from tests.table.callback_training import train_with_callback
from tests.table.description import assert_same, describe
from tests.table.small_network import network, train


def load(module: str, path: str, description: str) -> None:
    """Load a model without custom_objects and compare it with its description."""
    importlib.import_module(module)
    model = keras.models.load_model(path)
    with np.load(description) as before:
        assert_same(describe(model), dict(before))


@functools.cache
def strategy() -> tf.distribute.Strategy:
    """Return the only strategy of the process, because a second one crashes."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def mirrored(module: str, row: str) -> None:
    """Train on two replicas, whose weights must stay equal."""
    with strategy().scope():
        model = network(rows_of(module)[row])
        history = train(model).history
    assert np.isfinite(history["loss"]).all(), history
    assert_equal_replicas(model)


def mirrored_callback(module: str, row: str) -> None:
    """Train a callback's model on two replicas, whose weights must stay equal."""
    with strategy().scope():
        model = train_with_callback(rows_of(module)[row], epochs=1)
    assert_equal_replicas(model)


def assert_equal_replicas(model: keras.Model) -> None:
    for weight in model.weights:
        # Replicas have different moving statistics, which are combined when they are read.
        if weight.synchronization != tf.VariableSynchronization.ON_READ:
            first, second = (value.numpy() for value in weight.values)
            np.testing.assert_array_equal(first, second, err_msg=weight.name)


def rows_of(module: str) -> dict[str, Any]:
    return importlib.import_module(module).ROWS


def main() -> None:
    # Native code prints to standard output too: answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("error")
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    functions = [load, mirrored, mirrored_callback]
    commands = {function.__name__: function for function in functions}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            # Larq leaves its scope open when a layer fails inside it. This closes it.
            with lq.context.quantized_scope(False):
                commands[request.pop("command")](**request)
            answer = None
        except Exception:
            answer = traceback.format_exc()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""The files of a network and its twins, which are converted once, and what they compute."""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import warnings

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import converters
from kbnn._files import replace_file
from kbnn.converters import flatbuffer
from kbnn.runs.folder import versions
from research import provenance
from runtime.benchmarks import networks

CACHE = provenance.ROOT / "runs" / "runtime"
KINDS = ("binary", "float", "int8")
_CALIBRATION_IMAGES = 4


@dataclasses.dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of an image.

    Attributes:
        binary: multiply-accumulates of one bit.
        real: multiply-accumulates of floats or int8.
    """

    binary: int
    real: int


def files(name: str, cache: pathlib.Path | None = None) -> dict[str, pathlib.Path]:
    """Return the files of a network by kind, and convert those that are missing.

    "binary" is converted by kbnn. "float" and "int8" are the float twin, converted by TensorFlow
    Lite; int8 by post-training quantization on random images, with int8 inputs and outputs. A file
    is converted again if the network or the version of a package has changed.

    Raises:
        RuntimeError: a binary layer was not recognised, or a converter failed.
    """
    return {kind: _device_file(name, kind, cache or CACHE) for kind in KINDS}


def macs(content: bytes) -> Macs:
    """Count multiply-accumulates in a file's convolutions and dense layers, for its batch size."""
    binary = real = 0
    for operator in flatbuffer.read(content).operators:
        if operator.name == "LceBconv2d":
            binary += macs_of(operator)
        else:
            real += macs_of(operator)
    return Macs(binary, real)


def macs_of(operator: flatbuffer.Operator) -> int:
    """Count the multiply-accumulates of an operator; 0 if it has no weights."""
    if operator.name == "LceBconv2d":
        packed = operator.inputs[1]
        if packed is None:
            raise ValueError("Expected an LceBconv2d with filters. Received one without.")
        # A filter has the channels of one group, in whole words; the option counts all groups.
        words = packed.shape[-1]
        channels = int(operator.options["channels_in"])
        groups = max(1, math.ceil(channels / 32) // words)
        height, width = packed.shape[1:3]
        return _positions(operator) * packed.shape[0] * height * width * channels // groups
    if operator.name in ("CONV_2D", "FULLY_CONNECTED"):
        filters = operator.inputs[1]
        output = operator.outputs[0].shape
        return math.prod(output[:-1]) * math.prod(filters.shape) if filters is not None else 0
    if operator.name == "DEPTHWISE_CONV_2D":
        filters = operator.inputs[1]
        return _positions(operator) * math.prod(filters.shape) if filters is not None else 0
    return 0


def binary_filter_bytes(content: bytes) -> int:
    """Return the size of a file's binary filters, which have one bit per weight in whole words."""
    return sum(
        4 * math.prod(operator.inputs[1].shape)
        for operator in flatbuffer.read(content).operators
        if operator.name == "LceBconv2d" and operator.inputs[1] is not None
    )


def _positions(operator: flatbuffer.Operator) -> int:
    return math.prod(operator.outputs[0].shape[:3])


def _device_file(name: str, kind: str, cache: pathlib.Path) -> pathlib.Path:
    # Keras numbers layers through, so the same network would get other names.
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = networks.MODELS[name](kind == "binary")
    identity = json.dumps([model.to_json(), versions(), kind, _CALIBRATION_IMAGES])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    path = cache / f"{name}-{kind}-{digest}.tflite"
    if not path.exists():
        networks.randomize_statistics(model)
        cache.mkdir(parents=True, exist_ok=True)
        if kind == "binary":
            converters.convert(model, path)
        else:
            content = _tensorflow_lite(model, int8=kind == "int8")
            with replace_file(path) as temporary:
                temporary.write_bytes(content)
    return path


def _tensorflow_lite(model: keras.Model, *, int8: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if int8:
        draw = np.random.default_rng(0)
        shape = (1, *model.input_shape[1:])
        images = [draw.uniform(-1, 1, shape).astype(np.float32) for _ in range(_CALIBRATION_IMAGES)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return _convert_quietly(converter)


def _convert_quietly(converter: "tf.lite.TFLiteConverter") -> bytes:
    """Convert without standard error, where the converter reports its progress."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            # A warning that the int8 input has no statistics; calibration finds its range.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
            return converter.convert()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

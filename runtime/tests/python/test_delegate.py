"""The shared library, and loading it into LiteRT's own interpreter."""

import models
import numpy as np
import pytest
from cases import residual_blocks
from check_wheels import check_library
from run_cases import FIRST_CONVOLVED, is_fused

from kbnn_runtime import available_kernels, library_path, load_delegate
from kbnn_runtime.litert import LiteRTInterpreter
from shared_library import read_shared_library


def test_the_library_exports_only_the_entry_points():
    library = read_shared_library(library_path().read_bytes())
    # It was built for this machine, so its glibc may be newer than a wheel's.
    problems = [text for text in check_library(library) if "GLIBC" not in text]
    assert problems == []


def test_the_delegate_works_in_an_interpreter_of_litert():
    delegate = load_delegate(num_threads=2)
    interpreter = LiteRTInterpreter(
        model_content=models.flattened(), experimental_delegates=[delegate]
    )
    interpreter.allocate_tensors()
    row = np.arange(4, dtype=np.float32)[None]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(output, row)


def test_portable_kernels_run_everywhere():
    kernels = available_kernels()
    assert "portable" in kernels
    assert "auto" not in kernels
    for name in kernels:
        load_delegate(kernels=name)


def test_kernels_of_another_processor_are_refused():
    (missing, *_) = set(("neon", "avx2")) - set(available_kernels())
    with pytest.raises(ValueError, match="Expected"):
        load_delegate(kernels=missing)


def test_the_largest_number_of_threads():
    load_delegate(num_threads=128)


@pytest.mark.parametrize("threads", [0, -3, 129])
def test_a_wrong_number_of_threads_is_refused(threads):
    with pytest.raises(ValueError, match="Expected num_threads to be from 1 to 128"):
        load_delegate(num_threads=threads)


@pytest.mark.parametrize("threads", ["1", 1.0, True, None])
def test_a_non_integer_number_of_threads_is_refused(threads):
    with pytest.raises(TypeError, match="Expected num_threads to be an integer"):
        load_delegate(num_threads=threads)


def test_fusion_gives_the_same_outputs_without_intermediate_tensors(tmp_path):
    model, images = residual_blocks()
    outputs = []
    for fusion in (True, False):
        interpreter = LiteRTInterpreter(
            model_content=model, experimental_delegates=[load_delegate(fusion=fusion)]
        )
        interpreter.resize_tensor_input(0, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(0, images)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    interpreter.get_tensor(FIRST_CONVOLVED)
    (tmp_path / "model.tflite").write_bytes(model)
    assert is_fused(tmp_path / "model.tflite")


@pytest.mark.parametrize("fusion", ["on", 1, None])
def test_a_non_boolean_fusion_is_refused(fusion):
    with pytest.raises(TypeError, match="Expected fusion to be True or False"):
        load_delegate(fusion=fusion)

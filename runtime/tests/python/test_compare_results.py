"""The comparison of two platforms' results finds every difference."""

import json
import pathlib

import numpy as np
import pytest
from compare_results import compare


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Write equal results for two platforms."""
    for name, machine, kernels in (
        ("here", "x86_64", ["portable", "avx2"]),
        ("there", "aarch64", ["portable", "neon"]),
    ):
        document = {
            "kbnn-runtime": "1",
            "machine": machine,
            "kernels": kernels,
            "operators": ["LceBconv2d"],
            "classes": [3, 1],
            "fused": True,
        }
        for folder in kernels:
            (tmp_path / name / folder).mkdir(parents=True)
            np.save(tmp_path / name / folder / "max_pool.npy", np.arange(4, dtype=np.int32))
            np.save(tmp_path / name / folder / "fashion_mnist.npy", np.ones((2, 3), np.float32))
        (tmp_path / name / "platform.json").write_text(json.dumps(document))
    return tmp_path / "here", tmp_path / "there"


def test_equal_results_have_no_problems(folders):
    assert compare(*folders) == []


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("max_pool", np.array([0, 1, 2, 4], np.int32)),
        ("max_pool", np.arange(4, dtype=np.int64)),
        ("max_pool", np.arange(5, dtype=np.int32)),
        ("fashion_mnist", np.full((2, 3), 1.001, np.float32)),
        ("fashion_mnist", np.full((2, 3), np.nan, np.float32)),
    ],
)
@pytest.mark.parametrize("kernels", ["portable", "neon"])
def test_another_output_is_reported(folders, file, values, kernels):
    np.save(folders[1] / kernels / f"{file}.npy", values)
    (problem,) = compare(*folders)
    assert file in problem
    assert kernels in problem


def test_the_network_may_differ_by_rounding(folders):
    np.save(folders[1] / "neon" / "fashion_mnist.npy", np.full((2, 3), 1.00001, np.float32))
    assert compare(*folders) == []


@pytest.mark.parametrize(
    ("entry", "value"),
    [("classes", [3, 2]), ("operators", []), ("kbnn-runtime", "2"), ("fused", False)],
)
def test_other_classes_operators_versions_and_fusion_are_reported(folders, entry, value):
    path = folders[1] / "platform.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
    (problem,) = compare(*folders)
    assert entry in problem


@pytest.mark.parametrize(
    ("machine", "kernels"),
    [("aarch64", "neon"), ("arm64", "neon"), ("x86_64", "avx2"), ("AMD64", "avx2")],
)
def test_missing_kernels_are_reported(folders, machine, kernels):
    path = folders[1] / "platform.json"
    about = {**json.loads(path.read_text()), "machine": machine, "kernels": ["portable"]}
    path.write_text(json.dumps(about))
    (problem,) = compare(*folders)
    assert f"Expected {kernels} kernels" in problem

"""The installed package: its requirements and its content."""

import importlib.resources
import pkgutil
import re
import subprocess
import sys
from importlib import metadata

import kbnn_runtime


def test_requirements_are_numpy_and_one_litert():
    needed = [text for text in metadata.requires("kbnn-runtime") if "extra ==" not in text]
    names = {re.match(r"[\w-]+", text)[0] for text in needed}
    assert names == {"numpy", "ai-edge-litert", "tflite-runtime"}
    assert all("armv7l" in text and "armv8l" in text for text in needed)


def test_the_version_equals_the_distribution_s():
    assert metadata.version("kbnn-runtime") == kbnn_runtime.__version__


def test_every_public_name_has_a_docstring():
    for name in kbnn_runtime.__all__:
        value = getattr(kbnn_runtime, name)
        assert isinstance(value, str) or value.__doc__, name


def test_it_imports_neither_tensorflow_nor_pillow():
    found = pkgutil.walk_packages(kbnn_runtime.__path__, prefix="kbnn_runtime.")
    # The delegate looks like an extension module.
    modules = [name for _, name, _ in found if not name.endswith("kbnn_delegate")]
    assert "kbnn_runtime.cli.benchmark" in modules
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "assert not {'tensorflow', 'PIL', 'kbnn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_typing_marker_is_installed():
    assert (importlib.resources.files("kbnn_runtime") / "py.typed").is_file()

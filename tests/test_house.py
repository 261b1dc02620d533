"""The house in order: which way imports point, what is documented, which versions are supported."""

import ast
import configparser
import importlib
import pathlib
import re
from importlib import metadata

import pytest

import kbnn

ROOT = pathlib.Path(__file__).parent.parent

# A package may import those before it (DESIGN: math <- quantizers, losses <- ...).
ORDER = [
    {"_legacy_keras", "_quiet", "_version", "_keras_check", "_batch_context"},
    {"math"},
    {"losses"},
    {"plots"},
    {"data"},
    # A layer can have a quantizer (binary batch normalization) and a quantizer a layer (that with a
    # contrastive term); between their modules imports point one way all the same.
    {"quantizers", "layers"},
    {"callbacks"},
    {"training"},
    {"models"},
    {"converters"},
    {"cli"},
]
INTERTWINED = {"quantizers", "layers"}
PUBLIC = [
    "callbacks",
    "converters",
    "data",
    "layers",
    "losses",
    "math",
    "models",
    "plots",
    "quantizers",
    "training",
]


def imported_packages(file: pathlib.Path) -> set[str]:
    """The packages of kbnn that a file imports, at its top or in functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kbnn":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "kbnn" and len(name) > 1}
    return found


def modules() -> list[tuple[str, pathlib.Path]]:
    inside = [
        (file.relative_to(ROOT / "kbnn").parts[0], file)
        for file in sorted((ROOT / "kbnn").rglob("*.py"))
        if file.parent != ROOT / "kbnn"
    ]
    return inside + [("converters", file) for file in sorted((ROOT / "converters").glob("*.py"))]


@pytest.mark.parametrize(("package", "file"), modules(), ids=lambda value: str(value)[-40:])
def test_imports_point_one_way(package, file):
    (level,) = (i for i, packages in enumerate(ORDER) if package in packages)
    allowed = set().union(*ORDER[:level]) | {package, "__version__"}
    if package in INTERTWINED:
        allowed |= INTERTWINED
    assert imported_packages(file) <= allowed


def test_modules_of_packages_that_import_each_other_have_an_order():
    """They name each other's modules, not the packages, and no import leads back."""
    imports = {}
    for package, file in modules():
        if package in INTERTWINED and file.name != "__init__.py":
            own = f"kbnn.{package}.{file.stem}"
            imports[own] = imported_modules(file)
            assert not imports[own] & {f"kbnn.{name}" for name in INTERTWINED}, own
    imports = {name: found & imports.keys() for name, found in imports.items()}
    while imports:
        free = {name for name, found in imports.items() if not found}
        assert free, f"these import each other in a circle: {sorted(imports)}"
        imports = {name: found - free for name, found in imports.items() if name not in free}


def imported_modules(file: pathlib.Path) -> set[str]:
    """What a file's `from ... import` names, of kbnn."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kbnn":
            is_root = node.module == "kbnn"
            found |= {f"kbnn.{alias.name}" for alias in node.names} if is_root else {node.module}
    return found


def test_the_import_test_sees_imports(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("from kbnn import cli\ndef f():\n    import kbnn.converters.lce\n")
    assert imported_packages(file) == {"cli", "converters"}


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_has_a_docstring_and_stands_in_the_documentation(package):
    documentation = "\n".join(file.read_text() for file in sorted((ROOT / "docs").glob("*.md")))
    module = importlib.import_module(f"kbnn.{package}")
    for name in module.__all__:
        value = getattr(module, name)
        assert re.search(rf"\bkbnn\.{package}\.{name}\b", documentation), name
        if callable(value):
            assert value.__doc__, name


def test_the_table_of_versions_is_what_setup_cfg_says_and_what_is_installed():
    rows = re.findall(r"^\| `([\w-]+)` \| `(.+?)` \|", (ROOT / "docs/install.md").read_text(), re.M)
    table = dict(rows)
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    required = dict(
        re.fullmatch(r"([\w-]+)(.*)", line).groups()
        for line in lines
        if line and not line.startswith("#")
    )
    assert table.pop("python") == config["options"]["python_requires"]
    assert table == required
    minors = {name: metadata.version(name).split(".")[:2] for name in ("tensorflow", "tf-keras")}
    assert minors["tensorflow"] == minors["tf-keras"]


def test_every_package_is_in_the_wheel():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    found = {
        ".".join(file.parent.relative_to(ROOT).parts) for file in ROOT.glob("kbnn/**/__init__.py")
    }
    assert set(config["options"]["packages"].split()) == {*found, "kbnn.converters"}


def test_no_lambda_layer_and_no_pickle():
    for _, file in modules():
        text = file.read_text()
        assert "layers.Lambda" not in text, file
        assert not re.search(r"^import pickle|allow_pickle=True", text, re.M), file


def test_the_version_is_the_installed_one():
    assert metadata.version("kbnn") == kbnn.__version__

"""The house in order: which way imports point, what is documented, which versions are supported."""

import ast
import configparser
import importlib
import pathlib
import re
from importlib import metadata

import pytest

import kbnn
from kbnn import _larq

ROOT = pathlib.Path(__file__).parent.parent

# What a module imports comes before its own line here. A name is a package, or a module of kbnn.
ORDER = [
    {"_larq"},
    {"_version", "_environment", "_checks", "_files", "math"},
    {"_settings"},
    {"graph"},
    {"training", "data"},
    {"techniques"},
    {"quantizers", "layers", "losses", "callbacks", "trainers"},
    {"models"},
    {"converters"},
    {"runs"},
    {"cli"},
]
PUBLIC = [
    "callbacks",
    "converters",
    "data",
    "graph",
    "layers",
    "losses",
    "math",
    "models",
    "quantizers",
    "runs",
    "techniques",
    "trainers",
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
    """Every module with the name that ORDER has for it. `kbnn/__init__.py` imports everything."""
    files = sorted((ROOT / "kbnn").rglob("*.py"))
    inside = [
        (file.relative_to(ROOT / "kbnn").parts[0].removesuffix(".py"), file) for file in files
    ]
    inside.remove(("__init__", ROOT / "kbnn" / "__init__.py"))
    return inside + [("converters", file) for file in sorted((ROOT / "converters").glob("*.py"))]


@pytest.mark.parametrize(("package", "file"), modules(), ids=lambda value: str(value)[-40:])
def test_imports_point_one_way(package, file):
    (level,) = (i for i, packages in enumerate(ORDER) if package in packages)
    allowed = set().union(*ORDER[:level]) | {package, "__version__"}
    assert imported_packages(file) <= allowed


KERAS_PRIVATE = re.compile(
    r"\b(_nodes_by_depth|_keras_history|_keras_mask|_is_graph_network|_network_nodes|inbound_nodes"
    r"|outbound_nodes|inbound_layers|keras_inputs|input_tensors|call_args|call_kwargs)\b"
)
LARQ = re.compile(r"^\s*(import|from) larq\b", re.MULTILINE)
HOOKS = (
    *("frozen_layer", "frozen_quantizer", "outputs_are_binary", "check_kernel", "base"),
    *("carry_to", "activation_must_be_sign", "add_no_loss"),
)


def test_only_graph_touches_keras_s_private_graph():
    outside = [file for package, file in modules() if package != "graph"]
    assert not [file for file in outside if KERAS_PRIVATE.search(file.read_text())]
    assert KERAS_PRIVATE.search((ROOT / "kbnn/graph/nodes.py").read_text())


def test_only_graph_hooks_looks_for_hooks():
    lookup = re.compile(rf"(getattr|hasattr)\([^()]+, \"({'|'.join(HOOKS)})\"")
    found = {
        str(file.relative_to(ROOT)) for _, file in modules() if lookup.search(file.read_text())
    }
    assert not found
    assert lookup.search('getattr(layer, "frozen_layer", None)')


def test_only_one_module_imports_larq():
    found = {str(file.relative_to(ROOT)) for _, file in modules() if LARQ.search(file.read_text())}
    assert found == {"kbnn/_larq.py"}


def test_each_imported_name_of_larq_is_used():
    imported = set()
    for _, file in modules():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "kbnn._larq":
                imported |= {alias.name for alias in node.names}
    assert imported == set(_larq.__all__)


@pytest.mark.parametrize("door", ["quantizers", "layers", "losses", "callbacks", "trainers"])
def test_doors_only_re_export(door):
    tree = ast.parse((ROOT / "kbnn" / f"{door}.py").read_text())
    docstring, *statements = tree.body
    assert isinstance(docstring, ast.Expr)
    *imports, exported = statements
    assert all(isinstance(statement, ast.ImportFrom) for statement in imports)
    assert ast.unparse(exported).startswith("__all__ = ")
    names = [alias.name for statement in imports for alias in statement.names]
    assert sorted(names) == sorted(importlib.import_module(f"kbnn.{door}").__all__)


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
    files = [*ROOT.glob("kbnn/**/__init__.py"), *ROOT.glob("converters/**/__init__.py")]
    found = {".".join(file.parent.relative_to(ROOT).parts) for file in files}
    packages = config["options"]["packages"].split()
    assert {name.replace("kbnn.converters", "converters") for name in packages} == found


def test_no_lambda_layer_and_no_pickle():
    for _, file in modules():
        text = file.read_text()
        assert "layers.Lambda" not in text, file
        assert not re.search(r"^import pickle|allow_pickle=True", text, re.M), file


def test_the_version_is_the_installed_one():
    assert metadata.version("kbnn") == kbnn.__version__

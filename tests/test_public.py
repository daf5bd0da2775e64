"""The public face: names, docstrings, the size of modules and what an import costs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

import bemsweep

FOLDER = Path(bemsweep.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "__main__"))
HEAVY = ("dask", "distributed", "xarray", "zarr", "pandas", "pydantic", "numpy", "idfkit", "fsspec", "rich")


def tree_of(module):
    return ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))


def definitions():
    """Yield every public function and class, and the public methods of the classes."""
    for module in MODULES:
        names = import_module(f"bemsweep.{module}").__all__
        for node in tree_of(module).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
                yield module, node.name, node
                if isinstance(node, ast.ClassDef):
                    for method in node.body:
                        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                            yield module, f"{node.name}.{method.name}", method


DEFINITIONS = [pytest.param(module, name, node, id=f"{module}.{name}") for module, name, node in definitions()]
FUNCTIONS = [
    entry
    for entry in DEFINITIONS
    if isinstance(entry.values[2], ast.FunctionDef) and not entry.values[0].startswith("cli_")  # their help tells it
]
CLASSES = [entry for entry in DEFINITIONS if isinstance(entry.values[2], ast.ClassDef)]


def sections(docstring):
    """Return the titles of a docstring's sections."""
    lines = docstring.splitlines()
    return {line.strip() for line, below in pairwise(lines) if line.strip() and set(below.strip()) == {"-"}}


def decorators(node):
    return {ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list}


# Names


def test_names_are_sorted_few_and_there():
    assert list(bemsweep.__all__) == sorted(bemsweep.__all__)
    assert len(bemsweep.__all__) <= 20
    for name in bemsweep.__all__:
        assert getattr(bemsweep, name).__name__ == name
        assert name in dir(bemsweep)
    assert set(bemsweep._HOME) == set(bemsweep.__all__)


def test_a_name_that_is_not_there_is_told_as_python_does():
    with pytest.raises(AttributeError, match="module 'bemsweep' has no attribute 'Studdy'"):
        bemsweep.Studdy  # noqa: B018 - looking is what is tested
    assert not hasattr(bemsweep, "__path_of_nothing__")


@pytest.mark.parametrize("module", MODULES)
def test_every_name_of_a_module_is_there(module):
    loaded = import_module(f"bemsweep.{module}")
    assert list(loaded.__all__), "say what is public"
    for name in loaded.__all__:
        assert hasattr(loaded, name)
        assert not name.startswith("_")


def test_the_version_is_that_of_the_package():
    text = (FOLDER.parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{bemsweep.__version__}"\n' in text


# Imports


def test_importing_bemsweep_loads_nothing_heavy():
    code = "import sys; before = set(sys.modules); import bemsweep; print(*(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in found.stdout.split()}
    assert "bemsweep" in loaded
    assert not loaded & set(HEAVY)


def test_errors_can_be_caught_without_anything_heavy():
    code = "import sys, bemsweep; bemsweep.BemsweepError; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {name.partition(".")[0] for name in found.stdout.split()} & set(HEAVY)


# Modules


@pytest.mark.parametrize("module", ["__init__", *MODULES])
def test_modules_are_short_and_say_what_they_do(module):
    text = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    assert text.count("\n") <= 700
    told = ast.get_docstring(ast.parse(text)) or ""
    assert len(told) >= 80, "what it decides or does, and what it never does"


# Docstrings


@pytest.mark.parametrize(("module", "name", "node"), DEFINITIONS)
def test_everything_public_has_a_docstring(module, name, node):
    told = ast.get_docstring(node)
    assert told
    assert told.splitlines()[0].rstrip().endswith((".", "::")) or "\n" in told.split("\n\n")[0]


@pytest.mark.parametrize(("module", "name", "node"), FUNCTIONS)
def test_functions_tell_what_they_take_and_raise(module, name, node):
    told = ast.get_docstring(node)
    found = sections(told)
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if "." in name:
        arguments = arguments[0 if "staticmethod" in decorators(node) else 1 :]
    if "property" in decorators(node) or "cached_property" in decorators(node):
        assert not arguments
        return
    if "Parameters" in found:
        assert all(argument.arg in told for argument in arguments)
    else:
        # A few are told by the sentence, as in "Return True if `key` matches the pattern".
        assert len(arguments) <= 3, "a section Parameters"
    raised = {
        child.exc.func.id
        for child in ast.walk(node)
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call) and isinstance(child.exc.func, ast.Name)
    }
    for error in raised:
        if not error.startswith("_") and "; as `" not in told:
            assert "Raises" in found, f"a section Raises: {error}"
            assert error in told


@pytest.mark.parametrize("name", [name for name in bemsweep.__all__ if inspect.isfunction(getattr(bemsweep, name))])
def test_the_functions_of_the_public_face_have_every_section(name):
    function = getattr(bemsweep, name)
    told = inspect.getdoc(function)
    assert {"Parameters", "Returns", "Raises"} <= sections(told)
    assert all(f"\n{argument}\n" in told for argument in inspect.signature(function).parameters)


@pytest.mark.parametrize(("module", "name", "node"), CLASSES)
def test_fields_of_dataclasses_and_models_are_told(module, name, node):
    loaded = getattr(import_module(f"bemsweep.{module}"), name)
    is_data = "dataclass" in decorators(node) or hasattr(loaded, "model_fields")
    if not is_data:
        return
    class_doc = inspect.getdoc(loaded) or ""
    told = [line.strip() for line in class_doc.splitlines()] if "Parameters" in sections(class_doc) else []
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and not statement.target.id.startswith("_"):
            has_own = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert has_own or statement.target.id in told, f"a docstring after the field {statement.target.id}"

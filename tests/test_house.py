"""The rules of the house that a machine can see: import direction, file length, the eight packages,
docstrings."""

import ast
import re
import sys

import pytest

from tests.conftest import ROOT

SCRIPTS = ("generate", "train", "simulate", "judge", "analyze")
MAY_IMPORT = {
    "kernels": {"kernels"},
    "act/model": {"kernels", "act.model", "act.records", "act.files", "act.cli"},
    "act/training": {"kernels", "act.training", "act.model", "act.records", "act.files"},
    "act/dialogue": {"act.dialogue", "act.model", "act.records"},
    "act/statistics": {"act.statistics", "act.audit", "act.forms", "act.records"},
    "act/audit": {"act.audit", "act.forms", "act.records"},
    "act/judging": {
        "act.judging",
        "act.model",
        "act.training",
        "act.dialogue",
        "act.statistics",
        "act.forms",
        "act.records",
    },
    "act/report": {
        "act.report",
        "act.statistics",
        "act.audit",
        "act.forms",
        "act.records",
        "act.files",
    },
}


def imports(path):
    """What a file imports; of `from package import name` both, since the name may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("wing", MAY_IMPORT)
def test_imports_point_one_way(wing):
    files = sorted((ROOT / wing).glob("*.py"))
    assert len(files) > 1
    for path in files:
        for name in imports(path):
            assert name.split(".")[0] not in SCRIPTS, f"{path} imports a script"
            if name.split(".")[0] in ("act", "kernels"):
                assert any(name.startswith(allowed) for allowed in MAY_IMPORT[wing]), (
                    f"{path} imports {name}"
                )


def test_kernels_import_torch_alone():
    for path in (ROOT / "kernels").glob("*.py"):
        found = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
        assert found <= {"torch", "kernels"} | (
            {"liger_kernel"} if path.name == "bench.py" else set()
        )


def test_no_script_imports_another():
    for script in SCRIPTS:
        assert not set(imports(ROOT / f"{script}.py")) & set(SCRIPTS)


def module_files():
    """Module name -> file of every file of the product."""
    paths = [*ROOT.glob("*.py"), *ROOT.glob("act/**/*.py"), *ROOT.glob("kernels/*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def test_no_file_and_no_function_is_long():
    """A file holds at most 350 lines, a function 60, where it does not list a script's flags."""
    for path in module_files().values():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and "add_argument" not in ast.unparse(node):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


def test_no_circles():
    """Files that import nothing of what is left are taken away, until none is left."""
    files = module_files()
    left = {name: set(imports(path)) & set(files) for name, path in files.items()}
    while left:
        free = [name for name, needed in left.items() if not needed & set(left)]
        assert free, f"a circle among {', '.join(sorted(left))}"
        for name in free:
            del left[name]


def test_the_requirements_are_the_eight_packages():
    lines = (ROOT / "requirements.txt").read_text().split()
    names = {re.split("[=<>]", line)[0] for line in lines}
    assert names == {
        "torch",
        "tokenizers",
        "safetensors",
        "sentencepiece",
        "numpy",
        "scipy",
        "httpx",
        "tqdm",
    }
    assert "torch==2.13.0" in lines


DOCUMENTED = (*MAY_IMPORT, "act", ".")


@pytest.mark.parametrize("wing", DOCUMENTED)
def test_files_and_public_functions_say_what_they_are(wing):
    """A file opens with three lines at least; every public function, class and property has a
    docstring.

    `forward` and a script's `main` may go without: the class or the file says what they do.
    """
    paths = sorted((ROOT / wing).glob("*.py"))
    assert len(paths) > 1
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not tree.body:
            continue
        assert len((ast.get_docstring(tree) or "").splitlines()) >= 3, (
            f"{path} opens with less than three lines"
        )
        unsaid = {"forward", "main"} if path.stem in SCRIPTS else {"forward"}
        for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
            for node in scope.body:
                public = isinstance(
                    node, ast.FunctionDef | ast.ClassDef
                ) and not node.name.startswith("_")
                if (
                    public
                    and not getattr(scope, "name", "").startswith("_")
                    and node.name not in unsaid
                ):
                    assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"

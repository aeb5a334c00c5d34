"""The rules of the house that a machine can see: import direction, file length, the eight packages, README commands."""

import ast
import re
import sys

import pytest

from tests.conftest import ROOT

SCRIPTS = ("generate", "train", "simulate", "judge", "analyze")
MAY_IMPORT = {
    "kernels": {"kernels"},
    "act/model": {"kernels", "act.model", "act.records", "act.cli"},
    "act/training": {"kernels", "act.training", "act.model", "act.records"},
    "act/dialogue": {"act.dialogue", "act.model", "act.records"},
    "act/measure": {"act.measure", "act.records"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("wing", MAY_IMPORT)
def test_imports_point_one_way(wing):
    files = sorted((ROOT / wing).glob("*.py"))
    assert len(files) > 1
    for path in files:
        for name in imports(path):
            assert name.split(".")[0] not in SCRIPTS, f"{path} imports a script"
            if name.split(".")[0] in ("act", "kernels"):
                assert any(name.startswith(allowed) for allowed in MAY_IMPORT[wing]), f"{path} imports {name}"


def test_kernels_import_torch_alone():
    for path in (ROOT / "kernels").glob("*.py"):
        found = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
        assert found <= {"torch", "kernels"} | ({"liger_kernel"} if path.name == "bench.py" else set())


def test_no_script_imports_another():
    for script in SCRIPTS:
        assert not set(imports(ROOT / f"{script}.py")) & set(SCRIPTS)


def test_no_file_is_long():
    for path in [*ROOT.glob("*.py"), *ROOT.glob("act/**/*.py"), *ROOT.glob("kernels/*.py")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path


def test_the_requirements_are_the_eight_packages():
    lines = (ROOT / "requirements.txt").read_text().split()
    names = {re.split("[=<>]", line)[0] for line in lines}
    assert names == {"torch", "tokenizers", "safetensors", "sentencepiece", "numpy", "scipy", "httpx", "tqdm"}
    assert "torch==2.13.0" in lines


@pytest.mark.slow
def test_every_flag_of_a_command_in_the_readme_and_the_makefile_exists(script):
    text = (ROOT / "README.md").read_text() + (ROOT / "Makefile").read_text().replace("\\\n", " ")
    commands = re.findall(rf"(?:python|\$\(PY\)) ((?:{'|'.join(SCRIPTS)})\.py.*)", text)
    assert len(commands) >= 17
    manuals = {}
    for command in commands:
        words = command.split()
        parts = words[0] in ("generate.py", "judge.py") or words[1] == "plan"
        name = tuple(words[:2] if parts else words[:1])
        if name not in manuals:
            manuals[name] = script(*name, "--help").stdout
        for flag in re.findall(r"--[a-z-]+", command):
            assert flag in manuals[name], command

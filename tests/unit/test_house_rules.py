"""The sizes and shapes that docs/decisions/0001-layout.md promises."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "server").rglob("*.py"), *(ROOT / "operator").rglob("*.py")])
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines_and_no_function_than_40(path: Path) -> None:
    assert lines(path) <= 400
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring_lines = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            length = (node.end_lineno or 0) - node.lineno + 1 - docstring_lines
            assert length <= 40, f"{path.name}:{node.lineno} {node.name} has {length} lines without its docstring"


def test_the_median_file_is_at_most_150_lines_long() -> None:
    assert statistics.median(lines(path) for path in SOURCES if path.name != "__init__.py") <= 150


def test_no_file_or_folder_is_named_after_nothing() -> None:
    names = {part for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & BANNED_NAMES


def test_operator_is_no_package_since_it_would_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("operator")), "a test folder of that name would shadow it too"


def test_every_module_says_what_it_is_for() -> None:
    silent = [p for p in SOURCES if p.name != "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))]
    assert not silent

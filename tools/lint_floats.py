"""Fail on floats in money paths: a float cannot hold 0.10 and must never carry money.

Looked for: float literals, `float` as a type or a call, `round()`, true division, FloatField and
the floating-point types of SQL. Durations, chances and metrics may be floats; they are known by
their names (`_s`, `seconds`, `random` ...), or by a comment `# float: <why>` on the line or above.

    tools/lint_floats.py [FILE_OR_FOLDER ...]        default: src and tests
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# In these, not even a division of anything by anything: all of it is about money.
MONEY_PATHS = (
    "nexustrade/core/",
    "nexustrade/orders/",
    "nexustrade/matching/",
    "nexustrade/kernel/chain.py",
    "nexustrade/kernel/flow.py",
    "nexustrade/kernel/routing.py",
    "nexustrade/kernel/stage.py",
    "nexustrade/adapters/postgres/rows.py",
    "/messages.py",
)
# In a money path, but an edge that reckons in exact Decimals, whose division looks the same.
EDGES = ("nexustrade/matching/conformance.py",)
NOT_MONEY = re.compile(
    r"(^|_)(s|ms|ns|seconds?|timeout|deadline|elapsed|interval|delay|hz|mb|random|dice|chance)"
    r"(_max|_min)?$",
    re.IGNORECASE,
)
TAKES_SECONDS = {
    "advance",
    "call_at",
    "call_later",
    "sleep",
    "timeout",
    "timeout_at",
    "wait",
    "wait_for",
}
FLOAT_CLASSES = {"FLOAT", "Float", "FloatField", "REAL", "DOUBLE", "DOUBLE_PRECISION", "Double"}
FLOAT_SQL = re.compile(r"\b(DOUBLE PRECISION|double precision|FLOAT[48]?|float[48]|REAL)\b")
# Real clients, whose interfaces take and give floats; what they send is JSON, read exactly.
CLIENTS = re.compile(r"tests/e2e/\w*(alpaca|ccxt)\w*\.py$")
EXEMPT = re.compile(r"# float: \w+")


class Finder(ast.NodeVisitor):
    """Collects (line, what) of one file; remembers whether it is inside something not money."""

    def __init__(self, *, money_path: bool) -> None:
        self.money_path = money_path
        self.found: list[tuple[int, str]] = []
        self.depth = 0

    def add(self, node: ast.expr, what: str) -> None:
        if not self.depth:
            self.found.append((node.lineno, what))

    def within(self, exempt: object, *nodes: ast.AST | None) -> None:
        """Visit nodes, exempt when something not money takes them."""
        self.depth += bool(exempt)
        for node in nodes:
            if node is not None:
                self.visit(node)
        self.depth -= bool(exempt)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.within(all(_not_money(target) for target in node.targets), *node.targets, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        exempt = _not_money(node.target)
        if isinstance(node.op, ast.Div) and self.money_path and not exempt:
            self.add(node.target, "true division")
        self.within(exempt, node.target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.within(_not_money(node.target), node.annotation, node.value)

    def visit_arg(self, node: ast.arg) -> None:
        self.within(NOT_MONEY.search(node.arg), node.annotation)

    def visit_arguments(self, node: ast.arguments) -> None:
        args = [*node.posonlyargs, *node.args]
        defaults = [*([None] * (len(args) - len(node.defaults))), *node.defaults]
        for arg, default in [
            *zip(args, defaults, strict=True),
            *zip(node.kwonlyargs, node.kw_defaults, strict=True),
        ]:
            self.visit(arg)
            self.within(NOT_MONEY.search(arg.arg), default)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        exempt = NOT_MONEY.search(node.name)
        for child in ast.iter_child_nodes(node):
            self.within(exempt and child is node.returns, child)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the name ast asks for

    def visit_keyword(self, node: ast.keyword) -> None:
        self.within(NOT_MONEY.search(node.arg or ""), node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        self.within(any(_not_money(side) for side in sides), *sides)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        exempt = _not_money(node.left) or _not_money(node.right)
        if isinstance(node.op, ast.Div) and self.money_path and not exempt:
            self.add(node, "true division")
        self.within(exempt, node.left, node.right)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name == "round" and self.money_path:
            self.add(node, "round()")
        if name == "isinstance":
            return  # to refuse a float one has to name it
        named = any(_names_seconds(argument) for argument in node.args)
        self.visit(node.func)
        named = named or _not_money(node)
        self.within(named or name in TAKES_SECONDS, *node.args, *node.keywords)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id == "float":
            self.add(node, "float")
        elif node.id in FLOAT_CLASSES:
            self.add(node, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in FLOAT_CLASSES:
            self.add(node, node.attr)
        self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # else a docstring
            self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, (float, complex)):
            self.add(node, f"float literal {node.value}")
        elif isinstance(node.value, str) and FLOAT_SQL.search(node.value):
            self.add(node, "floating-point type of SQL")


def _name(node: ast.expr) -> str:
    """The last name of a call's or an assignment's target."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _not_money(node: ast.expr) -> bool:
    """Whether an expression is, by its name, a duration, a rate or a metric."""
    if isinstance(node, ast.Call):
        inner = node.func
        of_container = isinstance(inner, ast.Attribute) and inner.attr in {"get", "setdefault"}
        node = inner.value if isinstance(inner, ast.Attribute) and of_container else inner
    return bool(NOT_MONEY.search(_name(node)))


def _names_seconds(node: ast.expr) -> bool:
    """Whether an argument is such a name in quotes, as in `setattr(module, "WAIT_S", 0.1)`."""
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and value.isidentifier() and bool(NOT_MONEY.search(value))


def floats_in(source: str, path: str) -> list[tuple[int, str]]:
    """The forbidden uses of floats in a file's text, as (line, what); sorted by line."""
    if CLIENTS.search(path):
        return []
    inside = any(part in path for part in MONEY_PATHS)
    finder = Finder(money_path=inside and not path.endswith(EDGES))
    finder.visit(ast.parse(source))
    lines = source.split("\n")
    exempt = {number for number, text in enumerate(lines, 1) if EXEMPT.search(text)}
    return sorted(found for found in finder.found if not {found[0], found[0] - 1} & exempt)


def python_files(roots: list[str]) -> Iterator[Path]:
    """Every Python file below files or folders."""
    for root in map(Path, roots):
        yield from [root] if root.is_file() else sorted(root.rglob("*.py"))


def main(roots: list[str]) -> int:
    """Print every finding as FILE:LINE and return the exit code."""
    faults = 0
    for path in python_files(roots or [str(ROOT / "src"), str(ROOT / "tests")]):
        for line, what in floats_in(path.read_text(encoding="utf-8"), path.as_posix()):
            print(f"{path}:{line}: {what} in a money path")
            faults += 1
    print(f"floats: {faults} found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

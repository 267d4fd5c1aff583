"""Build with the hot modules compiled by mypyc, or without them where there is no C compiler.

pyproject.toml has everything else. NEXUSTRADE_NO_COMPILE=1 asks for the uncompiled build. An
uncompiled build calls itself `0.1.0+uncompiled`, which pip shows in the last line of an install.
"""

import ast
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import setup

PACKAGE = Path("src/nexustrade")


def constant(module: str, name: str) -> Any:
    """The literal a module assigns to a name, read without importing the package."""
    for node in ast.parse((PACKAGE / module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and target.id == name and node.value is not None:
            return ast.literal_eval(node.value)
    raise SystemExit(f"{PACKAGE / module} assigns no {name}")


def compiler_lack() -> str:
    """Why C extensions cannot be built here; empty when they can.

    A tiny extension is really compiled and linked: a compiler without Python's headers is no use.
    """
    if os.environ.get("NEXUSTRADE_NO_COMPILE", "") not in {"", "0"}:
        return "NEXUSTRADE_NO_COMPILE is set"
    from setuptools import Distribution, Extension  # noqa: PLC0415 - needed only to compile
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(
            "#include <Python.h>\n"
            'static struct PyModuleDef probe = {PyModuleDef_HEAD_INIT, "probe", 0, -1};\n'
            "PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&probe); }\n",
            encoding="ascii",
        )
        command = build_ext(Distribution({"ext_modules": [Extension("probe", [str(source)])]}))
        command.build_lib = command.build_temp = folder
        command.ensure_finalized()
        try:
            command.run()
        except Exception as fault:  # noqa: BLE001 - whatever it is, there is no compiler to use
            return f"no C compiler with Python's headers works here: {fault}"
    return ""


def extensions() -> list[Any]:
    """The compiled modules as one mypyc group; the versions of mypy and msgspec are pinned."""
    from mypyc.build import mypycify  # noqa: PLC0415 - there only where it is compiled

    paths = [
        str(PACKAGE.parent / name.replace(".", "/")) + ".py"
        for name in constant("build.py", "COMPILED_MODULES")
    ]
    present = [path for path in paths if Path(path).exists()]
    return mypycify(
        [
            "--config-file=",
            "--strict-optional",
            "--follow-imports=silent",
            "--ignore-missing-imports",
            *present,
        ],
        opt_level="3",
        debug_level="0",
        multi_file=False,
        group_name="nexustrade",
        target_dir="build/mypyc",
    )


version = constant("__init__.py", "__version__")
lack = compiler_lack()
if lack:
    sys.stderr.write(f"warning: nexustrade is installed uncompiled and is slower: {lack}\n")
    setup(version=f"{version}+uncompiled")
else:
    setup(version=version, ext_modules=extensions())

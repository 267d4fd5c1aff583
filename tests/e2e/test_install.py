"""The wheel: complete, and uncompiled where nothing can be compiled.

Built from a copy of what is in the checkout, in a folder with a space, without the network.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a wheel is made from, in a path with a space."""
    folder = tmp_path_factory.mktemp("a checkout")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    shutil.copytree(ROOT / "src", folder / "src", ignore=junk)
    return folder


def build_wheel(checkout: Path, **variables: str) -> tuple[Path, str]:
    """Build a wheel as `pip install .` does; return it with all that was printed."""
    target = checkout / f"wheels of {'-'.join(variables)}"
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--verbose")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(target), "."],
        cwd=checkout,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (wheel,) = target.glob("*.whl")
    return wheel, done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("CC", "/no/such/compiler", "no C compiler with Python's headers works here"),
        ("NEXUSTRADE_NO_COMPILE", "1", "NEXUSTRADE_NO_COMPILE is set"),
    ],
)
def test_without_a_compiler_the_wheel_is_uncompiled_and_says_so(
    checkout: Path, variable: str, value: str, why: str
) -> None:
    wheel, printed = build_wheel(checkout, **{variable: value})
    # The name is what pip shows at the end: "Successfully installed nexustrade-0.1.0+uncompiled".
    assert wheel.name.endswith("+uncompiled-py3-none-any.whl")
    assert "warning: nexustrade is installed uncompiled and is slower: " + why in printed
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".so")]
    installed = checkout / f"installed without {variable}"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    # It runs where nothing is compiled: other packages come from this environment.
    program = (
        "import nexustrade, sys; from nexustrade import build; from nexustrade.core import money;"
        "sys.exit(build.compiled() or money.price_text(1000500) != '100.05'"
        " or not nexustrade.__file__.startswith(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(installed)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
    )


def test_the_wheel_has_every_file_of_the_package(checkout: Path) -> None:
    wheel, _ = build_wheel(checkout, NEXUSTRADE_NO_COMPILE="yes")
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "nexustrade").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    ]
    assert sorted(set(missing) - names) == []
    metadata = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert "nexustrade = nexustrade.cli:main" in archive.read(metadata).decode()

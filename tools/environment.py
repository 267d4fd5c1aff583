"""Prepare the checkout's virtual environments, doing only what has not been done yet.

Run by `make` with any Python from 3.11 on; it needs the standard library alone. Each step leaves
a stamp with a hash of what it was made from: when that is unchanged the step is skipped and
nothing is asked of the network. Paths may hold spaces; the work is done in the current directory.
"""

import argparse
import fcntl
import hashlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

ENVIRONMENT = Path(".venv")
OLDER_CLIENT = Path(".venv-alpaca-trade-api")
LOCKS = Path("requirements")
BUILD = Path("build")
PACKAGE_FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md")


def digest(paths: Iterable[Path], *words: str) -> str:
    """A hash over the names and the content of files, and over a few words."""
    total = hashlib.sha256("\x1f".join(words).encode())
    for path in sorted(paths):
        total.update(f"\x1e{path}\x1f".encode() + path.read_bytes())
    return total.hexdigest()


def step(
    environment: Path, name: str, made_from: str, title: str, work: Callable[[], None]
) -> None:
    """Do the work unless its stamp says that it was done from the same things."""
    stamp = environment / f"{name}.stamp"
    if stamp.exists() and stamp.read_text(encoding="ascii") == made_from:
        return
    print(f"set-up: {title} ...", flush=True)
    started = time.monotonic()
    stamp.unlink(missing_ok=True)
    work()
    stamp.write_text(made_from, encoding="ascii")
    print(f"set-up: {title}: done in {time.monotonic() - started:.0f} s", flush=True)


def run(*command: str) -> str:
    """Run a command and return what it printed; when it fails, show that and stop."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, flush=True)
        sys.exit(f"set-up: failed: {' '.join(command)}")
    return done.stdout


def pip(environment: Path, *arguments: str) -> None:
    """Run the environment's pip, quietly."""
    python = str(environment / "bin" / "python")
    run(python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)


def create(environment: Path) -> None:
    """A new virtual environment, in place of a broken or outdated one."""

    def work() -> None:
        try:
            venv.create(environment, clear=True, with_pip=True)
        except subprocess.CalledProcessError as fault:
            sys.exit(
                f"set-up: a virtual environment cannot be made: {fault}\n"
                "On Debian and Ubuntu its package is missing: apt install python3-venv"
            )

    # The real path of the interpreter: another Python makes another environment.
    made_from = digest([], sys.version, os.path.realpath(sys.executable))
    step(environment, "python", made_from, f"{environment} with Python {version()}", work)


def version() -> str:
    """The version of the Python in use, as it is known."""
    return ".".join(str(part) for part in sys.version_info[:3])


def packages(environment: Path, name: str, *locks: str) -> None:
    """Install exactly what lock files say, each file checked against its hash."""
    paths = [LOCKS / f"{lock}.lock" for lock in locks]
    arguments = [word for path in paths for word in ("--requirement", str(path))]

    def work() -> None:
        # Nothing is compiled to bytecode that may never be imported.
        pip(environment, "install", "--require-hashes", "--no-deps", "--no-compile", *arguments)

    step(environment, name, digest(paths), f"{name} packages", work)


def sources() -> list[Path]:
    """Every file that goes into the package."""
    files = [path for name in PACKAGE_FILES if (path := Path(name)).exists()]
    for path in Path("src").rglob("*"):
        hidden = "__pycache__" in path.parts or any(".egg-info" in part for part in path.parts)
        if path.is_file() and not hidden and path.suffix != ".so":
            files.append(path)
    return files


def package(environment: Path) -> None:
    """Install NexusTrade itself, compiled where a C compiler is found."""
    choice = os.environ.get("NEXUSTRADE_NO_COMPILE", "")

    def work() -> None:
        # What an earlier build left behind must not get into this one.
        for path in BUILD.glob("[bl]*"):
            run("rm", "-rf", str(path))
        install = ("install", "--no-deps", "--no-build-isolation", "--no-index")
        pip(environment, *install, "--force-reinstall", "--no-compile", ".")
        python = str(environment / "bin" / "python")
        run(python, "-m", "compileall", "-q", str(installed(environment)))

    made_from = digest([*sources(), LOCKS / "build.lock"], choice, str(environment.resolve()))
    step(environment, "nexustrade", made_from, "NexusTrade and its compiled modules", work)
    if next(installed(environment).glob("core/*.so"), None) is None:
        print(
            "set-up: NexusTrade is NOT compiled and therefore slower: "
            + ("NEXUSTRADE_NO_COMPILE is set" if choice else "no C compiler that works was found")
            + ("" if choice else " (on Debian and Ubuntu: apt install gcc python3-dev)"),
            flush=True,
        )


def installed(environment: Path) -> Path:
    """Where the environment has the package."""
    release = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return environment / "lib" / release / "site-packages" / "nexustrade"


def main() -> None:
    """Bring the environments up to date; several at once wait for each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also what the tests need")
    parser.add_argument("--no-package", action="store_true", help="leave NexusTrade itself out")
    options = parser.parse_args()
    if not Path("pyproject.toml").exists():
        sys.exit("set-up: run it in the checkout")
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "set-up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        create(ENVIRONMENT)
        packages(ENVIRONMENT, "runtime", "build", "runtime")
        if options.tests:
            packages(ENVIRONMENT, "test", "test")
        if not options.no_package:
            package(ENVIRONMENT)
        if options.tests:
            create(OLDER_CLIENT)
            packages(OLDER_CLIENT, "alpaca-trade-api", "alpaca-trade-api")


if __name__ == "__main__":
    main()

"""Write requirements/*.lock: every package with its version and the hashes of its files.

Run by `make lock`, with `uv` in the environment. It needs the package index; nothing else does
once the packages are installed.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = "requirements"
RUNTIME = f"{FOLDER}/runtime.lock"


def lock(target: str, *sources: str) -> None:
    """Resolve sources for every Python from 3.11 on and write the lock file."""
    print(f"lock: {target}", flush=True)
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-config"),
        *("--custom-compile-command", "make lock", "--output-file", target, *sources),
    ]
    subprocess.run(command, check=True)


def main() -> None:
    """Lock the runtime first: the others take their versions of shared packages from it."""
    if not Path(FOLDER).is_dir():
        sys.exit("run it in the checkout: make lock")
    build = f"{FOLDER}/build.lock"
    lock(build, f"{FOLDER}/build.in")
    lock(RUNTIME, "pyproject.toml", "--constraint", build)
    test = f"{FOLDER}/test.lock"
    # ccxt pins every library it uses to one release: the runtime's releases win.
    lock(test, f"{FOLDER}/test.in", "--override", RUNTIME, "--constraint", build)
    older = f"{FOLDER}/alpaca-trade-api"
    lock(f"{older}.lock", f"{older}.in", "--override", f"{older}.overrides")


if __name__ == "__main__":
    main()

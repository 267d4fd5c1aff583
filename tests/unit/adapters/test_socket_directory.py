import os
from pathlib import Path

import pytest

from nexustrade.adapters.postgres import embedded
from nexustrade.adapters.postgres.binaries import Identity


def test_the_servers_user_reaches_its_socket_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_RUN", tmp_path / "run")
    identity = Identity(os.geteuid(), os.getegid(), switch=True)
    [place, _] = embedded._socket_places(tmp_path, "venue", identity)
    mask = os.umask(0o077)
    try:
        embedded._own_directory(place, identity)
    finally:
        os.umask(mask)
    assert place.parent.stat().st_mode & 0o777 == 0o755
    assert place.stat().st_mode & 0o777 == 0o700

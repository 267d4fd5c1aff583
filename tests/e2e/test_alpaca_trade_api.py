"""Alpaca's former Python client, unchanged, against a running venue.

It pins libraries that ours cannot live with, so it runs in an environment of its own, which
`make test` prepares.
"""

import os
import subprocess
from pathlib import Path

from tests.running import RunningVenue, cleaned_environment

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("alpaca_trade_api_client.py")


def test_the_former_client(venue: RunningVenue) -> None:
    given = os.environ.get("NEXUS_TEST_ALPACA_TRADE_API_PYTHON")
    python = given or str(ROOT / ".venv-alpaca-trade-api" / "bin" / "python")
    command = [python, "-W", "ignore", str(SCRIPT), venue.url, venue.key, venue.secret]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=cleaned_environment() | {"APCA_API_BASE_URL": venue.url},
    )
    assert done.returncode == 0, done.stdout + done.stderr

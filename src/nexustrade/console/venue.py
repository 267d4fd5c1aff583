"""A running venue as commands reach it: its venue.json, and its HTTP API.

While it runs, a venue keeps DIR/venue.json (mode 0600) with its URL, its process id and a key with
the scopes `admin`, `read` and `trade`. Secrets are read from there or from the environment, never
from arguments, which anybody on the machine can see.
"""

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from nexustrade.console.output import REFUSED, UNREACHABLE, USAGE, CommandError

TIMEOUT_S: Final = 30
ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
LENT_KEY_S: Final = 120
"""How long a key lives that a command makes for itself."""
KEY_VARIABLES: Final = ("NEXUSTRADE_KEY", "NEXUSTRADE_SECRET")


class VenueFile(NamedTuple):
    """What venue.json says about a running venue."""

    url: str
    pid: int
    admin_key: str
    admin_secret: str
    trading_dsn: str = ""
    accounts_dsn: str = ""


class Credentials(NamedTuple):
    """An API key."""

    key: str
    secret: str


def find_venue(directory: Path) -> VenueFile:
    """The venue that runs on a directory; `CommandError` says when none does."""
    path = directory / "venue.json"
    start = f"start one with: nexustrade up --data {directory}"
    try:
        found = json.loads(path.read_text())
        venue = VenueFile(**{name: found[name] for name in VenueFile._fields if name in found})
    except FileNotFoundError:
        raise CommandError(f"no venue runs on {directory}; {start}", UNREACHABLE) from None
    except PermissionError:
        raise CommandError(f"{path} belongs to somebody else", UNREACHABLE) from None
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"{path} cannot be read: {error}", UNREACHABLE) from None
    if not _runs(venue.pid):
        raise CommandError(f"the venue on {directory} has ended; {start}", UNREACHABLE)
    return venue


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Client:
    """The HTTP API of a venue, one request at a time."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.url = url
        self.credentials = credentials

    def get(self, path: str, **query: object) -> Any:
        """The answer to a GET."""
        return self.call("GET", path, query)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The answer to a POST of a JSON object; fields that are None stay out."""
        return self.call("POST", path, {}, body)

    def delete(self, path: str, **query: object) -> Any:
        """The answer to a DELETE; None when it has no body."""
        return self.call("DELETE", path, query)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, object] | None = None,
    ) -> Any:
        """One request; `CommandError` with the venue's own words when it refuses."""
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        target = f"{path}?{urlencode(asked)}" if asked else path
        sent = None
        if body is not None:
            sent = json.dumps({name: value for name, value in body.items() if value is not None})
        status, answer = self._exchange(method, target, sent)
        if status < http.client.MULTIPLE_CHOICES:
            return answer
        text = answer.get("message", "") if isinstance(answer, dict) else ""
        away = status == http.client.SERVICE_UNAVAILABLE
        raise CommandError(text or f"the venue answered {status}", UNREACHABLE if away else REFUSED)

    def _exchange(self, method: str, target: str, body: str | None) -> tuple[int, Any]:
        place = urlsplit(self.url)
        if place.scheme not in {"http", "https"} or not place.hostname:
            raise CommandError(f"{self.url} is not an http or https URL", USAGE)
        encrypted = place.scheme == "https"
        kind = http.client.HTTPSConnection if encrypted else http.client.HTTPConnection
        connection = kind(place.hostname, place.port, timeout=TIMEOUT_S)
        headers = {
            "APCA-API-KEY-ID": self.credentials.key,
            "APCA-API-SECRET-KEY": self.credentials.secret,
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, place.path.rstrip("/") + target, body, headers)
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            text = f"the venue at {self.url} does not answer: {reason}"
            raise CommandError(text, UNREACHABLE) from None
        finally:
            connection.close()
        try:
            return response.status, json.loads(raw) if raw else None
        except ValueError:
            text = f"what answers at {self.url} is not a venue"
            raise CommandError(text, UNREACHABLE) from None


def segment(text: str) -> str:
    """A name as one part of a path."""
    return quote(text, safe="")


def admin(directory: Path) -> Client:
    """The venue on a directory, with its operator's key."""
    venue = find_venue(directory)
    return Client(venue.url, Credentials(venue.admin_key, venue.admin_secret))


@contextmanager
def trader(directory: Path, account_id: str | None) -> Iterator[Client]:
    """The venue as an account sees it.

    With NEXUSTRADE_KEY and NEXUSTRADE_SECRET set it is their account. Otherwise the operator's key
    makes a key of the account that is revoked right after, and ends by itself in any case.
    """
    key, secret = (os.environ.get(name, "") for name in KEY_VARIABLES)
    if account_id is None and key and secret:
        yield Client(_url(directory), Credentials(key, secret))
        return
    if account_id is None:
        variables = " and ".join(KEY_VARIABLES)
        raise CommandError(f"say which account: --account ID (or set {variables})", USAGE)
    operator = admin(directory)
    ends = datetime.now(UTC) + timedelta(seconds=LENT_KEY_S)
    lent = operator.post(
        "/v1/keys",
        {
            "account_id": account_id,
            "label": "command line",
            "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )
    try:
        yield Client(operator.url, Credentials(lent["key_id"], lent["secret"]))
    finally:
        operator.delete(f"/v1/keys/{segment(lent['key_id'])}")


def _url(directory: Path) -> str:
    """Where the venue is: NEXUSTRADE_URL, or the one that runs on the directory."""
    return os.environ.get("NEXUSTRADE_URL", "") or find_venue(directory).url

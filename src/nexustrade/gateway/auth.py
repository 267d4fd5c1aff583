"""Who is calling: API keys, their scopes, and the three ways in which clients send them."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from nexustrade.gateway.refusals import FORBIDDEN, UNAUTHORIZED, ApiError

READ: Final = "read"
TRADE: Final = "trade"
ADMIN: Final = "admin"
SCOPES: Final = (READ, TRADE, ADMIN)

_KEY_LEN_MAX: Final = 256


class ApiKey(NamedTuple):
    """One key as stored: the secret only as its SHA-256. Times in microseconds, 0 for none.

    A plain hash is enough: secrets are 256 random bits, which nobody can guess.
    """

    key_id: str
    secret_sha256: bytes
    account_id: str
    scopes: frozenset[str]
    label: str = ""
    created_us: int = 0
    expires_us: int = 0
    revoked_us: int = 0

    def may(self, scope: str) -> bool:
        """Whether the key has a scope; one that may trade may read, too."""
        return scope in self.scopes or (scope == READ and TRADE in self.scopes)


class Keys(Protocol):
    """Where API keys are looked up; `store.KeyStore` in production."""

    async def authenticate(self, key_id: str, secret: str, now_us: int) -> ApiKey | None:
        """The key, when it exists, the secret is its own, and it is neither expired nor revoked."""
        ...

    async def create(
        self, account_id: str, scopes: Sequence[str], label: str, expires_us: int, now_us: int
    ) -> tuple[ApiKey, str]:
        """Make a key; its secret is in no other answer ever after."""
        ...

    async def revoke(self, key_id: str, now_us: int) -> bool:
        """End a key within about a second; False when there is no such key."""
        ...

    async def list(self, account_id: str) -> Sequence[ApiKey]:
        """The keys of an account, or all for "", oldest first."""
        ...


def secret_hash(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def new_credentials() -> tuple[str, str]:
    """A new key id and a secret of 256 random bits."""
    return "NX" + base64.b32encode(secrets.token_bytes(10)).decode(), secrets.token_urlsafe(32)


_NO_HASH: Final = bytes(32)


def matches(key: ApiKey | None, secret: str, now_us: int) -> bool:
    """Whether a secret opens a key now; takes as long for a key that is not there."""
    expected = key.secret_sha256 if key is not None else _NO_HASH
    same = hmac.compare_digest(secret_hash(secret), expected)
    if key is None or not same or key.revoked_us:
        return False
    return not key.expires_us or now_us < key.expires_us


def credentials(headers: Mapping[bytes, bytes]) -> tuple[str, str] | None:
    """Key id and secret out of request headers: APCA-*, Basic, or Bearer `key:secret`."""
    key_id = headers.get(b"apca-api-key-id")
    secret = headers.get(b"apca-api-secret-key")
    if key_id and secret:
        return _checked(key_id, secret)
    authorization = headers.get(b"authorization")
    return _authorization(authorization) if authorization else None


def _authorization(value: bytes) -> tuple[str, str] | None:
    scheme, _, token = value.strip().partition(b" ")
    scheme = scheme.lower()
    token = token.strip()
    if scheme == b"basic":
        try:
            token = base64.b64decode(token, validate=True)
        except binascii.Error:
            return None
    elif scheme != b"bearer":
        return None
    # A bearer token is the key and the secret in one, with ":" or "." between them.
    key_id, _, secret = token.partition(b":")
    if not secret and scheme == b"bearer":
        key_id, _, secret = token.partition(b".")
    return _checked(key_id, secret)


def _checked(key_id: bytes, secret: bytes) -> tuple[str, str] | None:
    if not key_id or not secret or len(key_id) > _KEY_LEN_MAX or len(secret) > _KEY_LEN_MAX:
        return None
    return key_id.decode("latin-1"), secret.decode("latin-1")


def unauthorized() -> ApiError:
    """401: no key, an unknown one, a wrong secret, or one that is expired or revoked."""
    return ApiError(401, UNAUTHORIZED, "request is not authorized")


def lacks_scope(scope: str) -> ApiError:
    """403: the key is good, but not for this."""
    return ApiError(403, FORBIDDEN, f'forbidden: the key lacks the scope "{scope}"')

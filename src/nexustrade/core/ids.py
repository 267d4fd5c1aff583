"""Identifiers. Orders carry a UUID version 7 (RFC 9562): unique, and with their time inside."""

import hashlib


def uuid7(at_us: int, entropy: int) -> str:
    """A version 7 UUID of an instant (microseconds) and at least 74 random bits."""
    value = (at_us // 1000 & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (entropy >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | entropy & 0x3FFF_FFFF_FFFF_FFFF
    return _dashed(f"{value:032x}")


def uuid7_time_us(uuid: str) -> int:
    """The instant inside a version 7 UUID, in microseconds (whole milliseconds)."""
    return int(uuid[:8] + uuid[9:13], 16) * 1000


def derived_uuid(*parts: object) -> str:
    """A version 8 UUID that is the same for the same parts: ids of things that already have a key.

    Used for account, asset and execution ids, which clients want as UUIDs.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return _dashed(f"{digest[:12]}8{digest[13:16]}{variant}{digest[17:32]}")


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

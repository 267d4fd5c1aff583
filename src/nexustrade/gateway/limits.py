"""The rate limit: one token bucket for each API key, in whole nanoseconds.

A bucket is one number, the instant at which it will be full again (the generic cell rate
algorithm), so that a key costs one dict entry and a request one comparison.
"""

from typing import Final, NamedTuple

NS_PER_S: Final = 1_000_000_000


class Verdict(NamedTuple):
    """Whether a request may pass, how many more may at once, and when the bucket is full again."""

    allowed: bool
    remaining: int
    full_in_ns: int
    retry_in_ns: int


class RateLimit:
    """At most `rate_per_s` requests a second for each key, and bursts of `burst`.

    At most `keys_max` buckets are kept; when there are more, the full ones go, which changes no
    verdict.
    """

    def __init__(self, rate_per_s: int, burst: int, keys_max: int = 100_000) -> None:
        self.burst = burst
        self._cost_ns = NS_PER_S // rate_per_s
        self._capacity_ns = self._cost_ns * burst
        self._keys_max = keys_max
        self._full_at_ns: dict[str, int] = {}

    def take(self, key_id: str, now_ns: int) -> Verdict:
        """Take one token of a key's bucket at `now_ns`, a clock that never goes back."""
        full_at = self._full_at_ns.get(key_id, 0)
        missing_ns = full_at - now_ns if full_at > now_ns else 0
        after_ns = missing_ns + self._cost_ns
        if after_ns > self._capacity_ns:
            return Verdict(False, 0, missing_ns, after_ns - self._capacity_ns)
        if key_id not in self._full_at_ns and len(self._full_at_ns) >= self._keys_max:
            self._forget_full(now_ns)
        self._full_at_ns[key_id] = now_ns + after_ns
        return Verdict(True, (self._capacity_ns - after_ns) // self._cost_ns, after_ns, 0)

    def _forget_full(self, now_ns: int) -> None:
        self._full_at_ns = {key: at for key, at in self._full_at_ns.items() if at > now_ns}

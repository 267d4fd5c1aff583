"""Which modules are compiled ahead of time, and whether this installation has them compiled.

setup.py compiles the modules named here with mypyc, all in one group so that calls between them
are native calls. Without a C compiler they run as they are: slower, with the same results.
Messages (msgspec structs) and exceptions, which others derive from, stay uncompiled.
"""

import importlib.util
from typing import Final

COMPILED_MODULES: Final = (
    "nexustrade.adapters.postgres.rows",
    "nexustrade.core.codec",
    "nexustrade.core.money",
    "nexustrade.core.ticks",
    "nexustrade.gateway.auth",
    "nexustrade.gateway.limits",
    "nexustrade.gateway.render",
    "nexustrade.gateway.requests",
    "nexustrade.kernel.chain",
    "nexustrade.kernel.flow",
    "nexustrade.kernel.routing",
    "nexustrade.kernel.stage",
    "nexustrade.matching.auction",
    "nexustrade.matching.book",
    "nexustrade.matching.domain",
    "nexustrade.matching.exits",
    "nexustrade.matching.groups",
    "nexustrade.matching.play",
    "nexustrade.matching.splits",
    "nexustrade.matching.state",
    "nexustrade.matching.triggers",
    "nexustrade.orders.admission",
    "nexustrade.orders.applied",
    "nexustrade.orders.domain",
    "nexustrade.orders.exits",
    "nexustrade.orders.groups",
    "nexustrade.orders.history",
    "nexustrade.orders.holdings",
    "nexustrade.orders.margin",
    "nexustrade.orders.risk",
    "nexustrade.orders.saved",
    "nexustrade.orders.settling",
    "nexustrade.orders.state",
    "nexustrade.orders.terms",
    "nexustrade.orders.upkeep",
)

_EXTENSION_SUFFIXES: Final = (".so", ".pyd")


def uncompiled_modules() -> list[str]:
    """The modules of `COMPILED_MODULES` that would run as plain Python here."""
    return [name for name in COMPILED_MODULES if not _is_compiled(name)]


def compiled() -> bool:
    """Whether every module that should be compiled is compiled."""
    return not uncompiled_modules()


def _is_compiled(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and (spec.origin or "").endswith(_EXTENSION_SUFFIXES)

"""The ports in memory: for one process, and for tests that need to steer time and faults."""

from nexustrade.adapters.memory.cache import MemoryCache
from nexustrade.adapters.memory.clock import VirtualClock
from nexustrade.adapters.memory.directory import MemoryDirectory
from nexustrade.adapters.memory.event_store import Fault, MemoryDatabase, MemoryEventStore
from nexustrade.adapters.memory.log import MemoryLog

__all__ = [
    "Fault",
    "MemoryCache",
    "MemoryDatabase",
    "MemoryDirectory",
    "MemoryEventStore",
    "MemoryLog",
    "VirtualClock",
]

"""The kinds of failure (docs/architecture.md, "Failure modes").

Rejections are not here: they are events with a reason. What is here are operating faults, which
a caller can meet and report, and broken invariants, which stop the service.
"""


class NexusError(Exception):
    """An operating fault: something outside the core went wrong and is reported, not hidden."""


class InputError(NexusError):
    """A value from outside breaks a rule. Names the field, shows the value and says the rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"invalid {field} {value}. {rule}" if value != "" else f"{field} {rule}")
        self.field = field
        self.value = value
        self.rule = rule


class StoreUnavailable(NexusError):
    """The event store cannot take or give anything now; nothing of the request was kept."""


class OutcomeUnknown(NexusError):
    """A commit was sent and the store went away before it answered, for longer than the limit."""


class Fenced(NexusError):
    """Another owner has taken over the stream: this one must not write to it again."""


class DatabaseNewer(NexusError):
    """The database was written by a newer version of the program than this one."""


class Overloaded(NexusError):
    """A bounded queue is full. The caller may try again later; nothing was kept."""


class InvariantError(Exception):
    """A promise of the core is broken. Never caught to go on: the service stops."""


def check(condition: bool, promise: str) -> None:
    """Stop the service unless `condition` holds; unlike `assert` it is kept under `python -O`."""
    if not condition:
        raise InvariantError(promise)

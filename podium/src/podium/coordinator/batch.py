"""Events that go to a reader in one write. What is joined for one reader is there for the next."""

from collections.abc import Iterator, Sequence

from podium.protocol.events import Encoded
from podium.protocol.forms import Form
from podium.protocol.ids import Cursor

OVERHEAD_BYTES = 200
"""What Python takes for an event beside its JSON, about."""


class Group:
    """Events that follow each other, published together."""

    def __init__(self, events: Sequence[Encoded]) -> None:
        self.events = events
        self.first_seq = events[0].seq
        self.last: Cursor = events[-1].cursor
        self.size_bytes = sum(len(event.body) + OVERHEAD_BYTES for event in events)
        self._joined: dict[int, bytes] = {}

    @classmethod
    def cut(cls, events: Sequence[Encoded], size_bytes: int) -> "Iterator[Group]":
        """The events in groups of about `size_bytes`."""
        start, held = 0, 0
        for index, event in enumerate(events):
            held += len(event.body)
            if held >= size_bytes:
                yield cls(events[start : index + 1])
                start, held = index + 1, 0
        if start < len(events):
            yield cls(events[start:])

    def after(self, seq: int) -> "Group":
        """The part above `seq`."""
        return self if seq < self.first_seq else Group(self.events[seq + 1 - self.first_seq :])

    def joined(self, form: Form) -> bytes:
        """All of it as bytes."""
        data = self._joined.get(id(form))
        if data is None:
            data = self._joined[id(form)] = b"".join(map(form.event, self.events))
        return data


class Batch:
    """Groups that follow each other. An empty one is false."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    def __bool__(self) -> bool:
        return bool(self._groups)

    @property
    def first_seq(self) -> int:
        """The number of its first event."""
        return self._groups[0].first_seq

    @property
    def last(self) -> Cursor:
        """The cursor of a reader that has seen it."""
        return self._groups[-1].last

    @property
    def events(self) -> list[Encoded]:
        """One by one."""
        return [event for group in self._groups for event in group.events]

    def joined(self, form: Form) -> bytes:
        """All of it as bytes."""
        if len(self._groups) == 1:
            return self._groups[0].joined(form)
        return b"".join([group.joined(form) for group in self._groups])

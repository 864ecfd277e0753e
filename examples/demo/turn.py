"""What became of a message, and when."""

import time

from podium.protocol.events import Event


class Turn:
    """One message and what became of it. Times in seconds since it was sent."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.events: list[Event] = []
        self.text = ""
        self.first_s = self.whole_s = self.killed_s = self.failed_s = self.again_s = 0.0

    def take(self, event: Event) -> None:
        """Note an event. What a failed attempt has said counts no more."""
        self.whole_s = time.perf_counter() - self._began
        self.events.append(event)
        if event.event_type == "stream_start":
            self.text = ""
            self.first_s, self.again_s = self.first_s or self.whole_s, self.whole_s
        elif event.event_type == "update":
            self.text += event.content["text"]
        elif event.event_type == "attempt_failed":
            self.failed_s = self.whole_s

    @property
    def kinds(self) -> list[str]:
        """The types of its events, with one `update` for all that follow each other."""
        kinds = [event.event_type for event in self.events]
        return [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != "update" or before != kind]

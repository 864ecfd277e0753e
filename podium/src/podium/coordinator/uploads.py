"""Files put and removed from outside: entries of the inbox, carried out between turns, in order, also of an agent that sleeps.

An upload's entry names a spooled file. It is accepted when the file is synced and the entry is durable, and done when the file
lies in the workspace, synced, and that is recorded as a turn. In between a crash repeats the last step, which gives the same.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from podium import log
from podium.coordinator.belongings import Belongings
from podium.coordinator.spool import Spool
from podium.crashpoint import crash_point
from podium.protocol.errors import PodiumError, by_code
from podium.state.port import Accepted, Change, Entry

RETRY_S = 0.5
KIND = "upload"
_logger = log.get("uploads")


class Outcome(NamedTuple):
    """How a put or a removal ended."""

    change: str
    changed: bool
    etag: str


class Uploads:
    """Of one instance. `recover` first."""

    def __init__(self, belongings: Belongings) -> None:
        self._host = host = belongings.host
        self._state = belongings.state
        self._stream = belongings.stream
        self._workspace = belongings.workspace
        self._spool = Spool(belongings.directory.spool, host.blocking, host.limits.upload_bytes, host.limits.spool_bytes)
        self._waiting = False
        self._futures: dict[str, set[asyncio.Future[Change]]] = {}

    @property
    def waiting(self) -> bool:
        """Whether there may be entries to be carried out."""
        return self._waiting

    async def recover(self) -> None:
        """Go on with what an earlier coordinator has accepted; drop what it has not. OSError."""
        entries = await self._state.changes()
        self._waiting = bool(entries)
        await self._spool.recover(entry.body["sha256"] for entry in entries if "sha256" in entry.body)

    async def put(self, entry_id: str, path: str, pieces: AsyncIterator[bytes], origin: dict[str, Any]) -> Accepted:
        """Accept a file, durably. TooLarge, TooMany, IdempotencyMismatch, OSError."""
        spooled = await self._spool.receive(pieces)
        crash_point("spooled")
        try:
            body = {"path": path, "sha256": spooled.sha256, "size_bytes": spooled.size_bytes}
            accepted = await self._accept(entry_id, body, origin)
        except (PodiumError, OSError):  # refused. Whoever was cancelled does not know: an entry must not miss its file
            await self._spool.release(spooled.sha256)
            raise
        if accepted.duplicate:
            await self._spool.release(spooled.sha256)
        return accepted

    async def remove(self, entry_id: str, path: str, origin: dict[str, Any]) -> Accepted:
        """Accept the removal of a file, durably. TooMany, IdempotencyMismatch."""
        return await self._accept(entry_id, {"path": path}, origin)

    async def outcome(self, entry_id: str, wait_s: float) -> Outcome | None:
        """How it ended; None where it has not after `wait_s` seconds. Raises what it failed with."""
        future: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(entry_id, set()).add(future)
        try:
            if all(entry.message_id != entry_id for entry in await self._state.changes()):
                return await self._recorded(entry_id)
            async with asyncio.timeout(wait_s):
                return _outcome(await future)
        except TimeoutError:
            return None
        finally:
            self._futures[entry_id].discard(future)
            if not self._futures[entry_id]:
                del self._futures[entry_id]

    async def carry_out(self) -> None:
        """Carry out all that are next. No turn may be running."""
        if not self._waiting:
            return
        self._waiting = False
        while entry := await self._state.next_change():
            await self._finish(entry, await self._carried_out(entry))
        if await self._state.changes():  # behind messages
            self._waiting = True

    def look_again(self) -> None:
        """There is an entry that nobody has told of yet."""
        self._waiting = True

    async def _accept(self, entry_id: str, body: dict[str, Any], origin: dict[str, Any]) -> Accepted:
        self._waiting = True
        accepted = await self._state.accept(entry_id, KIND, body, origin, self._host.limits.inbox)
        self._waiting = True
        crash_point("accepted")
        return accepted

    async def _finish(self, entry: Entry, change: Change) -> None:
        crash_point("placed")
        self._stream.publish(await self._state.end_change(change))
        crash_point("ended")
        if "sha256" in entry.body:
            await self._spool.release(entry.body["sha256"])
        for future in self._futures.get(entry.message_id, ()):
            if not future.done():
                future.set_result(change)

    async def _carried_out(self, entry: Entry) -> Change:
        """Put or remove the file; a disk that is full is waited for, since the file was promised a place."""
        change = Change(
            position=entry.position, message_id=entry.message_id, path=entry.body["path"],
            change="modified" if "sha256" in entry.body else "deleted", changed=True, started_at=self._host.clock(),
        )  # fmt: skip
        while True:
            try:
                done: Change = await self._host.blocking(self._place, entry, change)
                return done
            except PodiumError as error:
                return msgspec.structs.replace(change, error={"code": error.code, "message": error.detail})
            except OSError as error:
                _logger.error("a file cannot be put; trying again", message_id=entry.message_id, error=str(error))
                await asyncio.sleep(RETRY_S)

    def _place(self, entry: Entry, change: Change) -> Change:
        sha256 = entry.body.get("sha256")
        if sha256 is None:
            changed = self._workspace.remove(entry.body["path"])
        else:
            token = hashlib.blake2b(entry.message_id.encode(), digest_size=8).hexdigest()
            placed = self._workspace.put(entry.body["path"], self._spool.path(sha256), token)
            changed = True
            change = msgspec.structs.replace(change, change="created" if placed.created else "modified", etag=placed.etag)
        version = self._workspace.commit() if changed else None
        return msgspec.structs.replace(change, changed=changed, workspace_version=version)

    async def _recorded(self, entry_id: str) -> Outcome:
        ended = await self._state.turn(entry_id)
        if ended is None:
            return Outcome("deleted", changed=False, etag="")
        if ended.error:
            raise by_code().get(ended.error["code"], PodiumError)(ended.error["message"])
        recorded = msgspec.json.decode(ended.reply)
        return Outcome(recorded["change"], changed=True, etag=recorded["etag"])


def _outcome(change: Change) -> Outcome:
    if change.error:
        raise by_code().get(change.error["code"], PodiumError)(change.error["message"])
    return Outcome(change.change, change.changed, change.etag)

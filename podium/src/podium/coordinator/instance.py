"""One instance on this host: its inbox, its readers, its files, and the driver of its life while it is awake."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from podium.cluster.port import Owned
from podium.coordinator.adoption import Adoptable
from podium.coordinator.belongings import Belongings
from podium.coordinator.driver import Driver
from podium.coordinator.lifecycle import Status
from podium.coordinator.standing import Standing
from podium.coordinator.steering import Steering
from podium.coordinator.uploads import Outcome, Uploads
from podium.coordinator.waiters import Waiters
from podium.crashpoint import crash_point
from podium.protocol.api import MessageStatus, Upgrade
from podium.protocol.errors import Conflict, InstanceFailed, PodiumError, Unavailable
from podium.protocol.events import Receipt
from podium.protocol.ids import new_id
from podium.records.instances import Spec
from podium.state.port import Accepted

_LOST = (Status.FAILED, Status.TERMINATED)
_SETTLED = (Status.READY, Status.RUNNING, Status.FAILED, Status.TERMINATED)


class Instance:
    """An instance this coordinator owns, loaded. `life` is the epoch of its creation."""

    def __init__(self, belongings: Belongings, life: int, status: Status, reason: str | None) -> None:
        self.host = belongings.host
        self.spec = belongings.spec
        self.life = life
        self.state = belongings.state
        self.workspace = belongings.workspace
        self.logs = belongings.logs
        self.stream = belongings.stream
        self.users = 0
        self._standing = Standing(status, reason)
        self._waiters = Waiters()
        self.steering = Steering(self.state, self.stream, self._waiters, self.host.limits)
        self._uploads = Uploads(belongings)
        self._driver = Driver(belongings, self._standing, self._waiters, self.steering, self._uploads)

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        return self._standing.status

    @property
    def reason(self) -> str | None:
        """Why it is there, where there is something to say."""
        return self._standing.reason

    @property
    def awake(self) -> bool:
        """Whether it has a process, or wants one."""
        return self._driver.awake

    @property
    def awake_because(self) -> str | None:
        """Why it has a process, for people; None where it has none."""
        return self._driver.awake_because

    @property
    def starts(self) -> int:
        """How often a process of it got ready here."""
        return self._driver.starts

    def owned(self) -> Owned:
        """What discovery should say of it."""
        return Owned(coordinator_id=self.host.coordinator_id, epoch=self.stream.head.epoch, life=self.life)

    @contextlib.asynccontextmanager
    async def using(self) -> AsyncIterator[None]:
        """Stay loaded meanwhile."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    def stir(self) -> None:
        """See that what is in the inbox is worked on."""
        self._driver.stir()

    def notice(self) -> None:
        """What it is configured with has changed: tell its process, if there is one, between turns."""
        self._driver.notice()

    async def accept(self, message_id: str, kind: str, body: dict[str, Any], origin: dict[str, Any]) -> Accepted:
        """Take an entry into the inbox, durably, and see that it is worked on."""
        self._require_alive()
        accepted = await self.state.accept(message_id, kind, body, origin, self.host.limits.inbox)
        crash_point("accepted")
        if not accepted.done:
            self._driver.stir()
        return accepted

    async def submit(self, message_id: str, body: dict[str, Any], origin: dict[str, Any], wait_s: float) -> MessageStatus | None:
        """Accept a message and wait for its end; None where `wait_s` passed before. InstanceFailed where no agent starts."""
        future = self._waiters.add(message_id)
        try:
            accepted = await self.accept(message_id, "message", body, origin)
            if accepted.done or (accepted.duplicate and not wait_s):
                return await self.state.message(message_id)
            return await self._settled(future, wait_s)
        finally:
            self._waiters.remove(message_id, future)

    async def result(self, message_id: str, wait_s: float) -> MessageStatus | None:
        """The message as it is once it is done, or after `wait_s` seconds; None where there is none such. InstanceFailed."""
        future = self._waiters.add(message_id)
        try:
            found = await self.state.message(message_id)
            if found is None or found.status in ("complete", "failed") or not wait_s:
                return found
            return await self._settled(future, wait_s) or await self.state.message(message_id)
        finally:
            self._waiters.remove(message_id, future)

    async def _settled(self, future: "asyncio.Future[MessageStatus]", wait_s: float) -> MessageStatus | None:
        if self.status is Status.FAILED:
            self._driver.stir()
        try:
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            return None

    def expect(self, message_id: str) -> "asyncio.Future[MessageStatus]":
        """A future for the message's end; InstanceFailed in it where the agent does not start. Give it back by `forget`."""
        return self._waiters.add(message_id)

    def forget(self, message_id: str, expected: "asyncio.Future[MessageStatus]") -> None:
        """Nobody waits for this any more."""
        self._waiters.remove(message_id, expected)

    async def steer(self, receipt_id: str, content: Any, origin: dict[str, Any]) -> Receipt:
        """`Steering.steer`, with a refusal as a receipt too."""
        return await _receipt(receipt_id, self.steering.steer(receipt_id, content, origin))

    async def stop_turn(self, receipt_id: str, message_id: str | None, origin: dict[str, Any]) -> Receipt:
        """`Steering.stop`, with a refusal as a receipt too."""
        return await _receipt(receipt_id, self.steering.stop(receipt_id, message_id, origin))

    async def answer(self, receipt_id: str, request_id: str, content: Any, origin: dict[str, Any]) -> Receipt:
        """`Steering.answer`, with a refusal as a receipt too."""
        return await _receipt(receipt_id, self.steering.answer(receipt_id, request_id, content, origin))

    async def hibernate(self, wait_s: float) -> None:
        """Ask it to sleep once its turn has ended; return when it does, or after `wait_s` seconds."""
        driver = self._driver
        if driver.awake and self.status is not Status.FAILED:
            driver.sleep.asked = True
            driver.stir()
            await self._standing.until(lambda: self.status is Status.HIBERNATED or not driver.sleep.asked, wait_s)

    async def wake(self, wait_s: float) -> None:
        """See that it is awake; return when it is ready, or after `wait_s` seconds. InstanceFailed where it does not start."""
        if self.status in (Status.READY, Status.RUNNING) and not self._driver.sleep.asked:
            return
        await self.accept(new_id("wake"), "wake", {}, {})
        await self._standing.until(lambda: self.status is not Status.FAILED, wait_s)
        await self._standing.until(lambda: self.status in _SETTLED, wait_s)
        if self.status is Status.FAILED:
            raise InstanceFailed(f"{self.spec.instance_id} cannot be started: {self.reason}")

    async def recover(self) -> None:
        """Go on with uploads that were accepted. OSError."""
        await self._uploads.recover()

    @property
    def has_work(self) -> bool:
        """Whether it has something to do although it may be asleep."""
        return self.status is not Status.HIBERNATED or self._uploads.waiting

    async def put(
        self, entry_id: str, path: str, pieces: AsyncIterator[bytes], origin: dict[str, Any], wait_s: float
    ) -> Outcome | None:
        """Put a file into the workspace once no turn runs; None where that takes longer than `wait_s` seconds."""
        self._require_alive()
        return await self._changed(entry_id, await self._uploads.put(entry_id, path, pieces, origin), wait_s)

    async def remove(self, entry_id: str, path: str, origin: dict[str, Any], wait_s: float) -> Outcome | None:
        """Remove a file from the workspace once no turn runs; None where that takes longer than `wait_s` seconds."""
        self._require_alive()
        return await self._changed(entry_id, await self._uploads.remove(entry_id, path, origin), wait_s)

    async def _changed(self, entry_id: str, accepted: Accepted, wait_s: float) -> Outcome | None:
        if not accepted.done:
            self._driver.stir()
        return await self._uploads.outcome(entry_id, wait_s)

    def _require_alive(self) -> None:
        if self.status is Status.TERMINATED:
            raise Conflict(f"instance {self.spec.instance_id} is being deleted")

    async def restart(self, entry_id: str, *, now: bool, wait_s: float) -> None:
        """End its process and start it anew, once per `entry_id`; return when the new one is ready, or after `wait_s` seconds.

        Between two turns, or `now`: then the turn in flight is run again. Wakes. InstanceFailed where it does not start.
        """
        starts = self._driver.starts
        accepted = await self.accept(entry_id, "restart", {"now": now}, {})
        if not accepted.duplicate:
            self._driver.restart(now=now)
            await self._standing.until(lambda: self.status is not Status.FAILED, wait_s)
            await self._standing.until(lambda: self._driver.starts > starts or self.status in _LOST, wait_s)
        if self.status is Status.FAILED:
            raise InstanceFailed(f"{self.spec.instance_id} cannot be started: {self.reason}")

    async def follow(self, newer: Spec, wait_s: float) -> None:
        """Take over what its record says now; return when a change of the deployment is over, or after `wait_s` seconds."""
        self.spec.follow(newer)
        self._driver.notice()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self.awake and self.status is not Status.HIBERNATED:
                    changed, wanted = self._standing.changed, await self.upgrade()
                    if wanted is None or wanted.status != "pending":
                        return
                    await changed.wait()

    async def upgrade(self) -> Upgrade | None:
        """The change of the deployment that was asked for and has not happened."""
        return await self._driver.upgrade.wanted()

    async def adopt(self, found: Adoptable) -> None:
        """Take over the process of an earlier coordinator; `stir` goes on with it. OSError where that cannot be."""
        await self._driver.adopt(found)

    async def stop(self, grace_s: float) -> None:
        """The coordinator stops: let the turn in flight end within `grace_s`, then end the process. The inbox stays as it is."""
        await self._driver.stop(grace_s)
        self._waiters.fail(Unavailable("the coordinator stopped; the message is kept", retry_after_s=1))
        self.stream.close()
        await self.unload()

    async def terminate(self) -> None:
        """Deleted: end everything now."""
        await self._driver.terminate()
        self._waiters.fail(Conflict(f"instance {self.spec.instance_id} was deleted"))
        self.stream.close()
        with contextlib.suppress(OSError):  # on a full disk its files cannot be closed clean; they are removed
            await self.unload()

    async def unload(self) -> None:
        """Close the files, then end readers; nothing runs any more. OSError where the disk is full: it can go on as it was."""
        await self.state.close(clean=True)
        await self.logs.close()
        self.stream.close()


async def _receipt(receipt_id: str, taking: Awaitable[Receipt]) -> Receipt:
    try:
        return await taking
    except PodiumError as error:
        return Receipt(id=receipt_id, disposition="rejected", reason=error.detail, code=error.code)

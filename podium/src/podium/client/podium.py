"""The client: everything the platform does, for Python programs. Each method is one route of the public API.

All methods raise `PodiumError` and its children: what the platform answered, `Unreachable` where it could not be asked.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from podium.client.context import resolve
from podium.client.manifest import read_manifest
from podium.client.pages import all_items
from podium.client.records import follow_records
from podium.client.stream import DONE, MessageStream, read_events
from podium.client.transport import Request, Transport, post
from podium.client.upload import BundleUpload, Progress
from podium.client.waiting import Waiting
from podium.protocol.api import (
    AnswerQuestion,
    CoordinatorStatus,
    CreateInstance,
    Deployment,
    FileEntry,
    Health,
    Instance,
    LogRecord,
    MessageStatus,
    Page,
    PatchInstance,
    Reply,
    RestartInstance,
    SendMessage,
    StateDocument,
    Steer,
    Stop,
    UploadedFile,
)
from podium.protocol.errors import InvalidRequest, TurnFailed
from podium.protocol.events import Event, Frame, Receipt, Reset, Truncate
from podium.protocol.ids import INSTANCE_ID, MESSAGE_ID, Cursor, checked, new_id, parse_cursor

UPLOAD_ANSWER_S = 600.0
_INSTANCES = "/api/v1/instances"
_CONFIG = "/api/v1/config"
_DEPLOYMENTS = "/api/v1/deployments"
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:@+-]{0,255}", re.ASCII)


class AsyncPodium:
    """A platform, reached at `url` with `api_key`: arguments, else `PODIUM_URL` and `PODIUM_API_KEY`, else the context file.

    Requests that fail in passing are repeated for up to `retry_for_s`; a stream whose connection breaks goes on from its
    cursor, and gives up after `resume_for_s` in which nobody answered. Nothing runs twice: every POST carries its own key.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        context: Path | None = None,
        retry_for_s: float = 30.0,
        resume_for_s: float = 120.0,
    ) -> None:
        named = resolve(url, api_key, context)
        self._resume_for_s = resume_for_s
        self._transport = Transport(named.url, named.api_key, retry_for_s=retry_for_s)

    @property
    def url(self) -> str:
        """Where the platform is."""
        return self._transport.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    # ---- the platform

    async def health(self) -> Health:
        """Whether the gateway lives."""
        return (await self._transport.call(_get("/health"))).read(Health)

    async def ready(self) -> tuple[Health, bool]:
        """What the gateway says of what it needs, and whether it reaches all of it."""
        answer = await self._transport.call(Request(method="GET", path="/ready", accept_status=frozenset({503})))
        return answer.read(Health), answer.status == 200

    async def coordinators(self) -> list[CoordinatorStatus]:
        """The coordinators that announce themselves. Needs an admin key."""
        return await all_items(self._transport, "/api/v1/coordinators", CoordinatorStatus)

    async def config(self) -> dict[str, Any]:
        """The runtime configuration of all agents."""
        return (await self._transport.call(_get(_CONFIG))).read(dict[str, Any])

    async def configure(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the runtime configuration; running agents are told."""
        return (await self._transport.call(Request(method="PUT", path=_CONFIG, body=dict(config)))).read(dict[str, Any])

    async def models(self) -> dict[str, Any]:
        """What the endpoint for models lists."""
        return (await self._transport.call(_get(f"{_CONFIG}/models"))).read(dict[str, Any])

    # ---- deployments

    async def deploy(self, bundle: Path, *, progress: Progress | None = None) -> Deployment:
        """Upload a packed bundle (see `pack`). The same bytes again give the same deployment; others raise VersionExists."""
        manifest = await asyncio.to_thread(read_manifest, bundle)
        with closing(BundleUpload(bundle, manifest, progress)) as upload:
            key = new_id("req")
            # The boundary is part of the body: a repeated upload has to be the same to the byte.
            headers = {"Content-Type": f"multipart/form-data; boundary={key}"}
            request = post(_DEPLOYMENTS, key=key, headers=headers, multipart=upload.parts, wait_s=UPLOAD_ANSWER_S)
            return (await self._transport.call(request)).read(Deployment)

    async def deployments(self) -> list[Deployment]:
        """All deployments this key may see."""
        return await all_items(self._transport, _DEPLOYMENTS, Deployment)

    async def deployment(self, name: str) -> Deployment:
        """One deployment, by `type` (its highest version), `type:version` or full id."""
        path = f"{_DEPLOYMENTS}/{quote(checked('deployment', _DEPLOYMENT, name), safe=':@')}"
        return (await self._transport.call(_get(path))).read(Deployment)

    async def delete_deployment(self, name: str) -> None:
        """Remove a deployment, by `type:version` or full id. Raises Conflict while an instance runs it or could go back to it."""
        path = f"{_DEPLOYMENTS}/{quote(checked('deployment', _DEPLOYMENT, name), safe=':@')}"
        await self._transport.call(Request(method="DELETE", path=path))

    # ---- instances

    async def create(
        self,
        deployment: str,
        *,
        agent_id: str | None = None,
        config: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Instance:
        """Create an instance of a deployment, named as in `deployment`. Raises InstanceExists where `agent_id` is taken."""
        body = CreateInstance(
            deployment_id=deployment,
            agent_id=agent_id,
            config=dict(config or {}),
            labels=dict(labels or {}),
            secrets=dict(secrets) if secrets is not None else None,
            environment=dict(environment) if environment is not None else None,
        )
        return (await self._transport.call(post(_INSTANCES, body=body))).read(Instance)

    async def instances(
        self, *, agent_type: str | None = None, status: str | None = None, labels: Sequence[str] = ()
    ) -> list[Instance]:
        """All instances this key may see; `labels` as `name=value`."""
        params = {"agent_type": agent_type, "status": status, "label": list(labels) or None}
        return await all_items(self._transport, _INSTANCES, Instance, params)

    async def instance(self, instance_id: str) -> Instance:
        """One instance. Looking does not wake it."""
        return (await self._transport.call(_get(_path(instance_id)))).read(Instance)

    async def delete(self, instance_id: str) -> None:
        """Stop and remove an instance with all it holds; a second time changes nothing."""
        await self._transport.call(Request(method="DELETE", path=_path(instance_id)))

    async def hibernate(self, instance_id: str, *, wait_s: float = 60.0) -> Instance:
        """Put an instance to sleep, after its turn. Returns it as it stands: `hibernated`, or where it was after `wait_s`."""
        return await self._lifecycle(instance_id, "hibernate", frozenset({"hibernated"}), wait_s)

    async def wake(self, instance_id: str, *, wait_s: float = 60.0) -> Instance:
        """Wake an instance. Returns it as it stands: `ready` or `running`, or where it was after `wait_s`."""
        return await self._lifecycle(instance_id, "wake", frozenset({"ready", "running"}), wait_s)

    async def update(
        self,
        instance_id: str,
        *,
        config: Mapping[str, Any] | None = None,
        labels: Mapping[str, str | None] | None = None,
        deployment: str | None = None,
        wait_s: float = 60.0,
    ) -> Instance:
        """Change an instance; in `config` and `labels` None removes. A new deployment runs after the turn in flight.

        Returns it as it stands; `upgrade` says where a new deployment does not run yet after `wait_s`, or could not be started.
        """
        waiting = Waiting(wait_s)
        body = PatchInstance(
            config=None if config is None else dict(config), labels=None if labels is None else dict(labels),
            deployment_id=deployment,
        )  # fmt: skip
        params, path = {"wait": waiting.step_s()}, _path(instance_id)
        request = Request(method="PATCH", path=path, body=body, params=params, wait_s=waiting.step_s())
        answer = await self._transport.call(request)
        instance = answer.read(Instance)
        while answer.status == 202 and _is_pending(instance) and await waiting.look_again():
            instance = await self.instance(instance_id)
        return instance

    async def restart(self, instance_id: str, *, now: bool = False, wait_s: float = 60.0) -> Instance:
        """End an instance's process between two turns and start it anew; `now` gives the turn in flight up, which runs again."""
        path, body = f"{_path(instance_id)}/restart", RestartInstance(now=now)
        request = post(path, body=body, params={"wait": min(wait_s, 50.0)}, wait_s=min(wait_s, 50.0))
        return (await self._transport.call(request)).read(Instance)

    async def _lifecycle(self, instance_id: str, verb: str, aims: frozenset[str], wait_s: float) -> Instance:
        waiting = Waiting(wait_s)
        request = post(f"{_path(instance_id)}/{verb}", params={"wait": waiting.step_s()}, wait_s=waiting.step_s())
        instance = (await self._transport.call(request)).read(Instance)
        while instance.status not in aims | {"failed", "terminated"} and await waiting.look_again():
            instance = await self.instance(instance_id)
        return instance

    # ---- messages

    async def send(
        self,
        instance_id: str,
        text: str,
        *,
        message_id: str | None = None,
        role: str = "user",
        attachments: Sequence[Mapping[str, Any]] = (),
        wait_s: float | None = None,
    ) -> Reply:
        """Send a message and wait for the reply, without an end unless `wait_s` is given. The same `message_id` joins it.

        Raises TurnFailed where the agent gave it up, TimeoutError after `wait_s`; the message goes on without its reader.
        """
        message = _message(text, message_id, role, attachments)
        waiting = Waiting(wait_s)
        path = f"{_path(instance_id)}/messages"
        params = {"wait": waiting.step_s()}
        answer = await self._transport.call(post(path, key=message.id, body=message, params=params, wait_s=waiting.step_s()))
        if answer.status != 202:
            return answer.read(Reply)
        return await self._reply(instance_id, str(message.id), waiting)

    async def message(self, instance_id: str, message_id: str, *, wait_s: float = 0.0) -> MessageStatus:
        """One message of the history, with its reply once there is one; waits up to `wait_s` for that."""
        path = f"{_path(instance_id)}/messages/{checked('message id', MESSAGE_ID, message_id)}"
        request = Request(method="GET", path=path, params={"wait": wait_s or None}, wait_s=wait_s)
        return (await self._transport.call(request)).read(MessageStatus)

    async def messages(self, instance_id: str) -> list[MessageStatus]:
        """The history, oldest first."""
        return await all_items(self._transport, f"{_path(instance_id)}/messages", MessageStatus)

    async def _reply(self, instance_id: str, message_id: str, waiting: Waiting) -> Reply:
        while True:
            if waiting.over:
                raise TimeoutError(
                    f"message {message_id} has no reply yet; it goes on, and sending it again under its id joins it"
                )
            status = await self.message(instance_id, message_id, wait_s=waiting.step_s())
            if status.reply is not None:
                return status.reply
            if status.status in DONE:
                raise _failed(status)
            await waiting.look_again()

    async def stream(
        self,
        instance_id: str,
        text: str,
        *,
        message_id: str | None = None,
        role: str = "user",
        attachments: Sequence[Mapping[str, Any]] = (),
    ) -> AsyncGenerator[Event | Truncate | Reset, None]:
        """Send a message and give its events as they come, each once, until its `complete` or last `error`.

        After `attempt_failed` the attempt's output counts no more; after `Truncate` neither does what lies above `after_seq`;
        after `Reset` events are gone for good: if the stream ends there, `message` has the reply.
        """
        message = _message(text, message_id, role, attachments)
        stream = MessageStream(self._transport, _path(instance_id), message, self._resume_for_s)
        async with aclosing(stream.frames()) as frames:
            async for frame in frames:
                yield frame

    async def events(self, instance_id: str, *, after: Cursor | str | None = None) -> AsyncGenerator[Frame, None]:
        """All frames after a cursor, or from the oldest kept; without an end, over any number of connections."""
        cursor = parse_cursor(after) if isinstance(after, str) else after
        async with aclosing(read_events(self._transport, _path(instance_id), cursor, self._resume_for_s)) as frames:
            async for frame in frames:
                yield frame

    # ---- the turn in flight

    async def steer(self, instance_id: str, content: Any, *, receipt_id: str | None = None) -> Receipt:
        """Guide the turn in flight, or that of the message which is next. Raises NoTurn where there is none."""
        return await self._control(instance_id, "steer", receipt_id, Steer(content=content))

    async def stop(self, instance_id: str, message_id: str | None = None, *, receipt_id: str | None = None) -> Receipt:
        """End the turn in flight, or the one of a message, which need not have begun. Raises NoTurn where there is none."""
        return await self._control(instance_id, "stop", receipt_id, Stop(message_id=message_id))

    async def answer(self, instance_id: str, request_id: str, content: Any, *, receipt_id: str | None = None) -> Receipt:
        """Answer a question of the agent; a permission request takes True, False or an object with `approved`.

        Raises AlreadyAnswered, QuestionClosed where nobody waits for it any more.
        """
        return await self._control(instance_id, "answer", receipt_id, AnswerQuestion(request_id=request_id, content=content))

    async def _control(self, instance_id: str, verb: str, key: str | None, body: Steer | Stop | AnswerQuestion) -> Receipt:
        return (await self._transport.call(post(f"{_path(instance_id)}/{verb}", key=key, body=body))).read(Receipt)

    # ---- what an instance holds

    async def state(self, instance_id: str) -> StateDocument:
        """The state document as of the last turn."""
        return (await self._transport.call(_get(f"{_path(instance_id)}/state"))).read(StateDocument)

    async def logs(
        self, instance_id: str, *, limit: int | None = None, offset: int | None = None, level: str | None = None
    ) -> Page[LogRecord]:
        """A page of the agent's log."""
        params = {"limit": limit, "offset": offset, "level": level}
        request = Request(method="GET", path=f"{_path(instance_id)}/logs", params=params)
        return (await self._transport.call(request)).read(Page[LogRecord])

    async def follow_logs(
        self, instance_id: str, *, after: int | None = None, limit: int | None = None, level: str | None = None
    ) -> AsyncGenerator[LogRecord, None]:
        """Records of the agent's log as they come, each once, over any number of connections; without an end.

        Begins after the record numbered `after`, else with the newest `limit` (100), and goes on over sleep, crash and restart.
        """
        path = f"{_path(instance_id)}/logs"
        async with aclosing(follow_records(self._transport, path, after, limit, level, self._resume_for_s)) as records:
            async for record in records:
                yield record

    async def files(self, instance_id: str, path: str | None = None, *, depth: int | None = None) -> list[FileEntry]:
        """The names in the workspace, or below `path`."""
        return await all_items(self._transport, f"{_path(instance_id)}/files", FileEntry, {"path": path, "depth": depth})

    async def put_file(self, instance_id: str, path: str, content: bytes, *, wait_s: float = 50.0) -> UploadedFile:
        """Put a file into the workspace, between two turns; `change` is `queued` where that takes longer than `wait_s`."""
        headers = {"Idempotency-Key": new_id("file"), "Content-Type": "application/octet-stream"}
        request = Request(
            method="PUT", path=_file_path(instance_id, path), headers=headers, content=content, params={"wait": wait_s},
            wait_s=wait_s,
        )  # fmt: skip
        return (await self._transport.call(request)).read(UploadedFile)

    async def delete_file(self, instance_id: str, path: str, *, wait_s: float = 50.0) -> None:
        """Remove a file from the workspace, between two turns; also where there is none."""
        headers = {"Idempotency-Key": new_id("file")}
        request = Request(
            method="DELETE", path=_file_path(instance_id, path), headers=headers, params={"wait": wait_s}, wait_s=wait_s
        )
        await self._transport.call(request)

    async def file(self, instance_id: str, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """A file's content; raises TooLarge above `max_bytes`."""
        request = Request(
            method="GET", path=_file_path(instance_id, path), headers={"Accept": "*/*"}, max_bytes=max_bytes
        )  # fmt: skip
        return (await self._transport.call(request)).content


def _is_pending(instance: Instance) -> bool:
    return instance.upgrade is not None and instance.upgrade.status == "pending"


def _get(path: str) -> Request:
    return Request(method="GET", path=path)


def _path(instance_id: str) -> str:
    return f"{_INSTANCES}/{checked('instance id', INSTANCE_ID, instance_id)}"


def _file_path(instance_id: str, path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidRequest(f"the path {path!r:.200} is not relative to the workspace; write it as notes/today.md")
    return f"{_path(instance_id)}/files/{quote(path)}"


def _message(text: str, message_id: str | None, role: str, attachments: Sequence[Mapping[str, Any]]) -> SendMessage:
    message_id = checked("message id", MESSAGE_ID, message_id or new_id("msg"))
    return SendMessage(text=text, role=role, attachments=[dict(attachment) for attachment in attachments], id=message_id)


def _failed(status: MessageStatus) -> TurnFailed:
    reason = status.error.message if status.error else "it was given up"
    error = TurnFailed(f"the agent could not process message {status.message_id}: {reason}", message_id=status.message_id)
    if status.error:
        error.extra["reason"] = status.error.code
    return error

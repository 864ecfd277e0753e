"""Starting an agent: bundle, workspace, socket, process, hello, init, ready. Each step has a deadline and names itself."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from podium.coordinator.adoption import Adoptable
from podium.coordinator.belongings import Belongings
from podium.coordinator.configuration import AgentConfig
from podium.coordinator.host import Host
from podium.coordinator.lifecycle import Trigger
from podium.coordinator.link import Link
from podium.coordinator.log_store import Taken
from podium.coordinator.logs import AgentLog
from podium.coordinator.session import Session
from podium.coordinator.work import UPGRADE, Done, Failed, Work
from podium.crashpoint import crash_point
from podium.deployments.cache import Prepared
from podium.deployments.environment import EnvironmentFailed
from podium.launcher.port import Exit, LaunchError, LaunchSpec
from podium.protocol.errors import PodiumError
from podium.protocol.messages import HOOK_INIT, Init, Ready
from podium.records.instances import secrets_belong_to
from podium.sealing import CannotUnseal
from podium.state.port import Ended, Hook, Revision


class StartFailed(Exception):
    """The agent could not be started; the text is for people. `ours` where that lies in this host, not in the deployment."""

    def __init__(self, text: str, *, ours: bool = False) -> None:
        super().__init__(text)
        self.ours = ours


async def prepare(host: Host, deployment_id: str, tenant_id: str) -> Prepared:
    """Make a deployment ready on this host; StartFailed."""
    limit = host.limits.install_timeout_s
    try:
        async with asyncio.timeout(limit):
            deployment = await host.registry.get(deployment_id, tenant_id)
            return await host.deployments.prepare(deployment)
    except TimeoutError:
        raise StartFailed(f"preparing the deployment took longer than {limit:g} s") from None
    except (EnvironmentFailed, PodiumError, OSError) as error:
        raise StartFailed(f"the deployment cannot be prepared: {error}") from error


class Version(NamedTuple):
    """What is to be started; `upgrade_id` where that is a change."""

    deployment_id: str
    upgrade_id: str | None = None


class Start:
    """One start of one instance."""

    def __init__(self, belongings: Belongings) -> None:
        self._host = belongings.host
        self._spec = belongings.spec
        self._uid = belongings.uid
        self._directory = belongings.directory
        self._state = belongings.state
        self._stream = belongings.stream
        self._workspace = belongings.workspace
        self._logs = belongings.logs
        self._launch_id = secrets.token_hex(16)
        self._init = Work.of_hook(HOOK_INIT, self._launch_id, 0, self._host.clock())
        self._phases: dict[str, float] = {}
        self._clock = time.monotonic()

    async def adopt(self, found: Adoptable) -> Session:
        """Take over a process that runs: it may connect from now on. OSError where this host cannot."""
        launch = found.launch
        self._launch_id = launch.launch_id
        work = found.work(self._host.clock())
        if work and found.is_at("init"):
            self._init = work
        link = Link(self._directory.socket, launch.launch_id, self._uid, launch.last_n)
        taken = await self._logs.taken(launch.launch_id)
        await link.open()
        config = AgentConfig({}, {}, launch.revision.config if launch.revision else {})
        session = self._session(link, taken, config, work)
        session.expect(self._host.limits.return_timeout_s)
        return session

    async def resume(self, session: Session, found: Adoptable, move: Callable[[Trigger], None]) -> Prepared:
        """The deployment of a process that was taken over, which is ready then; StartFailed with everything ended again."""
        revision = found.launch.revision
        try:
            prepared = await self._prepare(revision.deployment_id if revision else self._spec.deployment_id)
            move(Trigger.PREPARED)
            had, session.config = session.config.current, self._config(prepared)
            session.config.current = had
            if found.is_at("init"):
                await self._initialize(session, await self._secrets())
        except BaseException as error:
            await self._give_up(session, error)
            raise
        move(Trigger.READY)
        return prepared

    async def run(self, version: Version, move: Callable[[Trigger], None]) -> tuple[Session, Prepared]:
        """The running agent and its deployment; StartFailed with everything ended again."""
        prepared = await self._prepare(version.deployment_id)
        move(Trigger.PREPARED)
        secrets, config = await self._secrets(), self._config(prepared)
        if version.upgrade_id is None:
            await self._state.revise(revision(prepared, config))
        else:
            self._init = Work.of_upgrade(version.upgrade_id, revision(prepared, config), self._host.clock())
        async with self._host.starting:  # not while installing: one slow deployment would hold up all others
            self._phase("queue")
            session = await self._process(prepared, config, secrets)
        move(Trigger.READY)
        return session, prepared

    def _config(self, prepared: Prepared) -> AgentConfig:
        return AgentConfig(prepared.manifest.config, self._host.configuration.current, self._spec.config)

    async def _secrets(self) -> dict[str, str]:
        if self._spec.secrets is None:
            return {}
        life = (await self._state.overview()).life
        belong_to = secrets_belong_to(self._spec.tenant_id, self._spec.instance_id, life)
        try:
            return msgspec.json.decode(self._host.sealer.unseal(self._spec.secrets, *belong_to), type=dict[str, str])
        except CannotUnseal as error:
            raise StartFailed(f"the instance's secrets cannot be read: {error}") from None

    async def _process(self, prepared: Prepared, config: AgentConfig, secrets: dict[str, str]) -> Session:
        await self._host.blocking(self._workspace.mount)
        self._phase("mount")
        session = await self._launch(prepared, config)
        try:
            await self._initialize(session, secrets)
        except BaseException as error:
            await self._give_up(session, error)
            raise
        return session

    async def _give_up(self, session: Session, error: BaseException) -> None:
        await session.kill(str(error) or "the start was given up")
        await self._state.drop_pending(self._init.message_id)

    async def _prepare(self, deployment_id: str) -> Prepared:
        prepared = await prepare(self._host, deployment_id, self._spec.tenant_id)
        self._phase("prepare")
        return prepared

    async def _end_earlier(self) -> None:
        """What an earlier start left open, because disk or launcher did not answer, ends before anything new runs."""
        for earlier in await self._state.open_launches():
            await self._host.launcher.kill(earlier.launch_id)
            exit_ = await self._host.launcher.wait(earlier.launch_id)
            await self._host.launcher.forget(earlier.launch_id)
            await self._state.end_launch(earlier.launch_id, self._ended("the start was given up", exit_))

    async def _launch(self, prepared: Prepared, config: AgentConfig) -> Session:
        await self._end_earlier()
        await self._state.begin_launch(self._launch_id, self._uid)
        if self._init.kind == UPGRADE:
            hook = Hook(kind=UPGRADE, serial=0, message_id=self._init.message_id, reason=UPGRADE)
            await self._state.begin_hook(self._launch_id, hook)
        crash_point("launching")
        await self._host.blocking(self._fresh_output)
        link = Link(self._directory.socket, self._launch_id, self._uid)
        await link.open()
        try:
            launch = await self._host.launcher.start(self._spec_of(prepared))
            crash_point("launched")
            await self._state.launched(self._launch_id, launch.pid, launch.start_time)
        except LaunchError as error:
            link.close()
            reason = f"the process cannot be started: {error}"
            await self._state.end_launch(self._launch_id, self._ended(reason, Exit()))
            raise StartFailed(reason, ours=True) from error
        except BaseException:
            link.close()
            await self._host.launcher.kill(self._launch_id)
            raise
        self._phase("launch")
        return self._session(link, Taken(self._launch_id, 0, 0), config, None)

    def _session(self, link: Link, taken: Taken, config: AgentConfig, adopted: Work | None) -> Session:
        agent_log = AgentLog(self._logs, self._directory.output, self._host.clock, taken)
        return Session(
            self._launch_id, link, self._host.launcher, self._state, self._stream, self._workspace, agent_log, config, adopted
        )

    async def _initialize(self, session: Session, secrets: dict[str, str]) -> None:
        document = await self._state.document()
        init = Init(
            id=f"init.{self._launch_id}", agent_id=self._spec.instance_id, agent_type=self._spec.deployment_id.partition(":")[0],
            workspace=str(self._directory.workspace), config=session.config.current, secrets=secrets,
            state=document.state if document.state else None,
        )  # fmt: skip
        result = await session.perform(self._init, init, self._host.limits.start_timeout_s)
        if isinstance(result, Failed):
            raise StartFailed(result.message)
        assert isinstance(result, Done)
        assert isinstance(result.frame, Ready)
        self._phase("agent")
        crash_point("started")
        inside = {f"agent.{name[:32]}": ms for name, ms in list(result.frame.phases.items())[:16]}
        await self._state.started(self._launch_id, result.frame.n, self._phases | inside)

    def _ended(self, reason: str, exit_: Exit) -> Ended:
        return Ended(at=self._host.clock(), reason=reason, code=exit_.code, signal=exit_.signal, log=[])

    def _spec_of(self, prepared: Prepared) -> LaunchSpec:
        resources = prepared.manifest.resources
        workspace = str(self._directory.workspace)
        return LaunchSpec(
            launch_id=self._launch_id,
            argv=(str(prepared.python), "-I", "-B", "-m", "podium.agent.runtime"),
            env={"LANG": "C.UTF-8", "TZ": "UTC"}
            | self._spec.environment
            | {
                "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": workspace,
                "AGENT_ID": self._spec.instance_id, "AGENT_LAUNCH_ID": self._launch_id,
                "AGENT_IPC_SOCKET": str(self._directory.socket), "AGENT_WORKSPACE": workspace,
                "AGENT_BUNDLE": str(prepared.bundle_dir), "AGENT_ENTRYPOINT": prepared.manifest.agent.entrypoint,
            },
            cwd=workspace, output=str(self._directory.output), uid=self._uid, memory_bytes=resources.memory_bytes,
            pids=resources.pids if self._uid is not None else None,
        )  # fmt: skip

    def _fresh_output(self) -> None:
        self._directory.output.unlink(missing_ok=True)

    def _phase(self, name: str) -> None:
        now = time.monotonic()
        self._phases[name] = round((now - self._clock) * 1000, 3)
        self._clock = now


def revision(prepared: Prepared, config: AgentConfig) -> Revision:
    """What an agent runs as, for its state."""
    digest = prepared.deployment_id.rpartition("@")[2]
    return Revision(deployment_id=prepared.deployment_id, bundle_hash=digest, config=config.current)

"""Discovery comes back by itself, and a silent server costs a second, never an answer to another question."""

import asyncio
import signal
from contextlib import aclosing
from pathlib import Path

import pytest

from podium.cluster import valkey
from podium.cluster.port import CoordinatorInfo, Owned, PublishedConfig
from podium.cluster.valkey import MAX_CONNECTIONS, ValkeyCluster
from tests.support.valkey_server import valkey_server, valkey_url

INFO = CoordinatorInfo(coordinator_id="c1", incarnation="i", url="http://h:1", load=0, capacity=1)


def run(folder: Path, cluster: ValkeyCluster, runner: asyncio.Runner) -> None:
    with valkey_server(folder):
        runner.run(cluster.announce(INFO, 60))
        runner.run(cluster.set_route("agent_1", owned("c1")))
        assert runner.run(cluster.coordinators()) == [INFO]
        assert runner.run(cluster.route("agent_1")) == owned("c1")


def owned(coordinator_id: str) -> Owned:
    return Owned(coordinator_id=coordinator_id, epoch=1, life=1)


def test_a_client_goes_on_after_its_server_was_killed_and_restarted(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        cluster = ValkeyCluster(valkey_url(tmp_path))
        for _ in range(3):
            run(tmp_path, cluster, runner)
            for call in (cluster.ping(), cluster.coordinators(), cluster.route("agent_1"), cluster.withdraw("c1")):
                with pytest.raises(ConnectionError):
                    runner.run(call)
        runner.run(cluster.aclose())


def test_a_server_that_hangs_is_given_up_and_its_late_answers_are_not_mixed_up(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server, asyncio.Runner() as runner:
        cluster = ValkeyCluster(valkey_url(tmp_path))
        for number in range(8):
            runner.run(cluster.set_route(f"agent_{number}", owned(f"c{number}")))
        server.send_signal(signal.SIGSTOP)
        asked = runner.run(_ask_many(cluster))
        server.send_signal(signal.SIGCONT)
        assert all(isinstance(answer, ConnectionError) for answer in asked)
        for number in range(8):
            assert runner.run(cluster.route(f"agent_{number}")) == owned(f"c{number}")
        runner.run(cluster.aclose())


async def _ask_many(cluster: ValkeyCluster) -> list[str | BaseException | None]:
    return await asyncio.gather(*(cluster.route(f"agent_{n % 8}") for n in range(2 * MAX_CONNECTIONS)), return_exceptions=True)


def test_a_document_of_another_release_is_passed_over(tmp_path: Path) -> None:
    with valkey_server(tmp_path), asyncio.Runner() as runner:
        cluster = ValkeyCluster(valkey_url(tmp_path))
        runner.run(cluster.announce(INFO, 60))
        runner.run(cluster._ask("SET", "podium:coordinator:c0", b'{"coordinator_id": 5'))
        runner.run(cluster._ask("SADD", "podium:coordinators", "c0"))
        assert runner.run(cluster.coordinators()) == [INFO]
        runner.run(cluster.aclose())


def test_an_answer_that_is_an_error_counts_as_not_reachable(tmp_path: Path) -> None:
    with valkey_server(tmp_path), asyncio.Runner() as runner:
        cluster = ValkeyCluster(valkey_url(tmp_path))
        runner.run(cluster._ask("SET", "podium:route:agent_1", "not a hash"))
        with pytest.raises(ConnectionError, match="WRONGTYPE"):
            runner.run(cluster.route("agent_1"))
        runner.run(cluster.aclose())


def test_a_subscription_outlasts_silence_and_ends_with_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "QUIET_S", 0.001)

    async def listen() -> None:
        cluster = ValkeyCluster(valkey_url(tmp_path))
        cluster._pool.connection_kwargs["socket_timeout"] = 0.001
        news = PublishedConfig(revision=1, config={"a": 1})
        with valkey_server(tmp_path) as server:
            async with aclosing(cluster.config_updates()) as updates:
                assert await anext(updates) is None
                hearing = asyncio.create_task(anext(updates))
                done, _ = await asyncio.wait({hearing}, timeout=0.1)
                assert not done
                publisher = ValkeyCluster(valkey_url(tmp_path))
                await publisher.publish_config(news)
                assert await hearing == news
                await publisher.aclose()
                server.kill()
                with pytest.raises(ConnectionError):
                    await anext(updates)
        await cluster.aclose()

    asyncio.run(listen())

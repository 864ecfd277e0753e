"""Discovery in Valkey (or Redis): what many gateways and coordinators share.

podium:coordinators          the ids of all coordinators that were announced and not found expired yet
podium:coordinator:{id}      CoordinatorInfo as JSON, gone after its time to live
podium:route:{instance_id}   hash of `epoch` and `owned`, which is Owned as JSON
podium:config                hash of `revision` and `published`, which is PublishedConfig as JSON
framework.config_update      channel on which each PublishedConfig is published
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.exceptions import ValkeyError

from podium.cluster.port import CoordinatorInfo, Owned, PublishedConfig

TIMEOUT_S = 1.0
MAX_CONNECTIONS = 16
QUIET_S = 60.0
"""A subscription that hears nothing for so long looks again; it goes on in any case."""

_INDEX = "podium:coordinators"
_COORDINATOR = "podium:coordinator:"
_ROUTE = "podium:route:"

_CONFIG = "podium:config"
CONFIG_CHANNEL = "framework.config_update"

_ANNOUNCE = """
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[1], ARGV[1])
"""

_COORDINATORS = """
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local info = redis.call('GET', ARGV[1] .. id)
  if info then table.insert(found, info) else redis.call('SREM', KEYS[1], id) end
end
return found
"""

_SET_ROUTE = """
local known = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if known <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'owned', ARGV[1], 'epoch', ARGV[2])
end
"""

_PUBLISH_CONFIG = """
local known = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
if known <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'published', ARGV[1], 'revision', ARGV[2])
  redis.call('PUBLISH', ARGV[3], ARGV[1])
end
"""


class ValkeyCluster:
    """Discovery at `url` (`valkey://`, `valkeys://`, `redis://`, `rediss://` or `unix://`).

    Nothing is connected before the first call, and each call connects anew where that is needed. A call takes at most
    TIMEOUT_S seconds. The clock of a time to live is the server's. Belongs to one event loop; close it with `aclose`.
    """

    def __init__(self, url: str) -> None:
        self._pool = BlockingConnectionPool.from_url(url, max_connections=MAX_CONNECTIONS, timeout=TIMEOUT_S)
        self._valkey: Any = Valkey(connection_pool=self._pool)  # its methods are typed for two kinds of client at once

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def announce(self, info: CoordinatorInfo, ttl_s: float) -> None:
        keys = [_INDEX, _COORDINATOR + info.coordinator_id]
        await self._run(_ANNOUNCE, keys, info.coordinator_id, msgspec.json.encode(info), max(1, round(ttl_s * 1000)))

    async def withdraw(self, coordinator_id: str) -> None:
        await self._ask("DEL", _COORDINATOR + coordinator_id)

    async def coordinators(self) -> list[CoordinatorInfo]:
        found = []
        for document in await self._run(_COORDINATORS, [_INDEX], _COORDINATOR):
            with suppress(msgspec.DecodeError):  # written by a release that speaks otherwise: as good as unknown
                found.append(msgspec.json.decode(document, type=CoordinatorInfo))
        return sorted(found, key=lambda info: info.coordinator_id)

    async def set_route(self, instance_id: str, owned: Owned) -> None:
        await self._run(_SET_ROUTE, [_ROUTE + instance_id], msgspec.json.encode(owned), owned.epoch)

    async def route(self, instance_id: str) -> Owned | None:
        document = await self._ask("HGET", _ROUTE + instance_id, "owned")
        try:
            return None if document is None else msgspec.json.decode(document, type=Owned)
        except msgspec.DecodeError:  # written by a release that speaks otherwise: as good as unknown
            return None

    async def drop_route(self, instance_id: str) -> None:
        await self._ask("DEL", _ROUTE + instance_id)

    async def publish_config(self, published: PublishedConfig) -> None:
        await self._run(_PUBLISH_CONFIG, [_CONFIG], msgspec.json.encode(published), published.revision, CONFIG_CHANNEL)

    async def config_updates(self) -> AsyncGenerator[PublishedConfig | None, None]:
        try:
            async with aclosing(self._valkey.pubsub()) as channel:
                async with asyncio.timeout(TIMEOUT_S):
                    await channel.subscribe(CONFIG_CHANNEL)
                while channel.subscribed:
                    message = await channel.get_message(timeout=QUIET_S)  # without one it would be the connection's
                    if message and message["type"] == "subscribe":
                        yield _config(await self._ask("HGET", _CONFIG, "published"))
                    elif message and (published := _config(message["data"])) is not None:
                        yield published
        except (ValkeyError, OSError) as error:
            raise ConnectionError(f"Valkey does not answer: {str(error) or type(error).__name__}") from error
        raise ConnectionError("Valkey has ended the subscription")

    async def ping(self) -> None:
        await self._ask("PING")

    async def _run(self, script: str, keys: list[str], *arguments: str | bytes | int) -> Any:
        return await self._ask("EVAL", script, len(keys), *keys, *arguments)

    async def _ask(self, *words: str | bytes | int) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._valkey.execute_command(*words)
        except (ValkeyError, OSError) as error:
            raise ConnectionError(f"Valkey does not answer: {str(error) or type(error).__name__}") from error


def _config(document: bytes | None) -> PublishedConfig | None:
    try:
        return None if document is None else msgspec.json.decode(document, type=PublishedConfig)
    except msgspec.DecodeError:  # written by a release that speaks otherwise: as good as unknown
        return None

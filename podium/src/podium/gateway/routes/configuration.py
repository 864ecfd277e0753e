"""The runtime configuration, and the models that agents can ask for."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from podium import log
from podium.auth import Caller
from podium.cluster.port import Cluster, PublishedConfig
from podium.gateway.ensemble import Ensemble
from podium.records.bounds import MAX_CONFIG_BYTES, checked_config
from podium.records.configuration import Configurations, RuntimeConfig
from podium.web import decode, json_response, read_body

_logger = log.get("configuration")


class ConfigurationRoutes:
    """Handlers over the record, which is the truth, and discovery, which spreads it."""

    def __init__(self, records: Configurations, cluster: Cluster, ensemble: Ensemble) -> None:
        self._records = records
        self._cluster = cluster
        self._ensemble = ensemble

    async def get(self, request: Request, caller: Caller) -> Response:
        """The document as it was written last."""
        return _answer(await self._records.read())

    async def put(self, request: Request, caller: Caller) -> Response:
        """Replace the document and tell the coordinators; those that cannot be told find it by themselves."""
        document: dict[str, Any] = decode(await read_body(request, 2 * MAX_CONFIG_BYTES), dict[str, Any])
        record = await self._records.write(checked_config(document), datetime.now(UTC))
        try:
            await self._cluster.publish_config(PublishedConfig(revision=record.revision, config=record.config))
        except ConnectionError as error:
            _logger.warning("coordinators could not be told of the new configuration", error=str(error))
        return _answer(record)

    async def models(self, request: Request, caller: Caller) -> Response:
        """What the endpoint for models lists."""
        return Response(await self._ensemble.models(), media_type="application/json")


def _answer(record: RuntimeConfig) -> Response:
    return json_response(record.config, headers={"etag": f'"{record.revision}"'})

"""What only our own parts may ask a coordinator."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from podium.coordinator.coordinator import Coordinator
from podium.coordinator.routes.instances import describe
from podium.protocol import api
from podium.protocol.ids import INSTANCE_ID, checked
from podium.web import decode, json_response, read_body

MAX_BODY_BYTES = 64 * 1024


class CreateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Own and start the instance whose spec lies in the object store."""

    instance_id: str


class DeployBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Fetch and prepare a deployment ahead of its first instance. `source` is where the gateway put it."""

    source: str
    checksum: str
    agent_type: str
    version: str


class CoordinatorReport(msgspec.Struct, kw_only=True):
    """This coordinator and the statuses of the instances it has loaded."""

    coordinator_id: str
    incarnation: str
    load: int
    capacity: int
    instances: dict[str, str]


class Internal:
    """Handlers bound to one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    async def health(self, request: Request) -> Response:
        """The process is alive."""
        return json_response(api.Health(status="ok"))

    async def metrics(self, request: Request) -> Response:
        """Counters, for Prometheus."""
        return (await self._coordinator.measure()).http.page()

    async def report(self, request: Request) -> Response:
        """Load, capacity and what is loaded."""
        info = self._coordinator.announcement()
        return json_response(
            CoordinatorReport(
                coordinator_id=info.coordinator_id, incarnation=info.incarnation, load=info.load, capacity=info.capacity,
                instances=self._coordinator.statuses(),
            )
        )  # fmt: skip

    async def create(self, request: Request) -> Response:
        """201 with the instance; the same again for a repeat."""
        body = decode(await read_body(request, MAX_BODY_BYTES), CreateBody)
        instance = await self._coordinator.create(checked("instance id", INSTANCE_ID, body.instance_id))
        return json_response(await describe(instance), 201)

    async def deploy(self, request: Request) -> Response:
        """200 once the deployment is ready to be started here."""
        body = decode(await read_body(request, MAX_BODY_BYTES), DeployBody)
        deployment_id = await self._coordinator.prepare(body.agent_type, body.version, body.checksum)
        return json_response({"deployment_id": deployment_id, "status": "ready"})

"""What one instance has on this host: everything that works on it stands on this."""

from dataclasses import dataclass

from podium.coordinator.host import Host, LocalState
from podium.coordinator.layout import InstanceDirectory
from podium.coordinator.log_store import LogStore
from podium.coordinator.stream import Stream
from podium.records.instances import Spec
from podium.workspace.port import Workspace


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """Of one loaded instance. `uid` None is the coordinator's own; `spec` follows the record."""

    host: Host
    spec: Spec
    uid: int | None
    directory: InstanceDirectory
    state: LocalState
    workspace: Workspace
    logs: LogStore
    stream: Stream

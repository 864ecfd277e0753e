"""How a change of an instance's life ends."""

from collections.abc import Collection

from podium.cli.instances.show import show
from podium.cli.options import Settings
from podium.protocol.api import Instance
from podium.protocol.errors import Conflict, InstanceFailed


def show_if_reached(settings: Settings, instance: Instance, aims: Collection[str], wait_s: float) -> None:
    """Print the instance; where it did not get there raise an error that says where it is instead.

    A wait of 0 asks for nothing but the beginning.
    """
    if instance.status in aims or wait_s == 0:
        show(settings, instance)
        return
    if instance.status == "failed":
        raise InstanceFailed(f"{instance.instance_id} has failed: {instance.reason or 'see its log'}")
    reason = f" ({instance.reason})" if instance.reason else ""
    raise Conflict(
        f"{instance.instance_id} is {instance.status}{reason} after {wait_s:g} s; it goes on by itself, look again with "
        f"`podium instances get {instance.instance_id}`"
    )

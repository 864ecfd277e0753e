"""One instance on the screen."""

from podium.cli.options import Settings
from podium.cli.output import print_fields, print_json, when
from podium.protocol.api import Instance, LastExit


def show(settings: Settings, instance: Instance) -> None:
    """Print an instance, whole."""
    if settings.json:
        print_json(instance)
        return
    print_fields(
        [
            ("instance", instance.instance_id),
            ("deployment", instance.deployment_id),
            ("status", f"{instance.status}: {instance.reason}" if instance.reason else instance.status),
            ("created", when(instance.created_at)),
            ("labels", pairs(instance.labels)),
            ("config", pairs(instance.config)),
            ("coordinator", instance.coordinator_id),
            ("cursor", instance.cursor),
            ("checkpoint", instance.checkpoint),
            ("queued", instance.queued),
            ("workspace", pairs(instance.workspace)),
            ("start-up", ", ".join(f"{name} {ms:.1f} ms" for name, ms in instance.startup_ms.items())),
            ("last exit", _last_exit(instance.last_exit) if instance.last_exit else None),
        ]
    )
    for line in instance.last_exit.log if instance.last_exit else ():
        print_fields([("  |", line)])


def pairs(values: dict[str, object] | dict[str, str]) -> str:
    """`name=value`, separated by commas."""
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _last_exit(exit_: LastExit) -> str:
    how = f"signal {exit_.signal}" if exit_.signal is not None else f"code {exit_.code}" if exit_.code is not None else ""
    known = ", ".join(part for part in (how, "out of memory" if exit_.oom else "") if part)
    return " ".join(part for part in (when(exit_.at), exit_.reason, f"({known})" if known else "") if part)

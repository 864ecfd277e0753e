"""Answers of the public API, for doubles to give."""

from datetime import UTC, datetime
from typing import Any

from podium.protocol import api

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEPLOYMENT = api.Deployment(
    deployment_id="notes:1.0.0@01234567", agent_type="notes", version="1.0.0", checksum="sha256:0", size_bytes=9, created_at=NOW
)
REPLY = api.Reply(message_id="m", text="hi", stop_reason="end_turn", usage={}, checkpoint=1)


def instance(status: str = "ready", **rest: Any) -> api.Instance:
    return api.Instance(
        instance_id="a1", agent_id="a1", deployment_id=DEPLOYMENT.deployment_id, status=status, created_at=NOW, **rest
    )


def message(status: str, **rest: Any) -> api.MessageStatus:
    return api.MessageStatus(message_id="m", status=status, role="user", text="hello", accepted_at=NOW, **rest)

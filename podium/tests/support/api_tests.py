"""Schemathesis against a running platform: thousands of requests made from its own `/openapi.json`, good ones and bad ones."""

import asyncio
import json
import sys
from pathlib import Path

from podium.protocol.parameters import MESSAGE_KEY
from podium.protocol.routes import ROUTES, Route
from tests.support.platform import Platform

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXPECTED = {
    "create_deployment": ("positive_data_acceptance", (400, 413, 422)),  # random bytes are no bundle
    "list_deployments": ("positive_data_acceptance", (400,)),
    "get_deployment": ("positive_data_acceptance", (400,)),  # a version may be too long, which a pattern cannot say
    "delete_deployment": ("positive_data_acceptance", (400,)),
    "events": ("positive_data_acceptance", (400,)),  # a cursor that was never given out
    "get_file": ("positive_data_acceptance", (400, 416)),  # a range that the file does not have
    "patch_instance": ("positive_data_acceptance", (400, 413)),
    "put_config": ("positive_data_acceptance", (400, 413)),  # too deep, or a number beyond 64 bits
    "create_instance": ("positive_data_acceptance", (400, 413, 422)),
    "list_models": ("not_a_server_error", (501,)),  # no endpoint for models is set
}
"""Operations by name, the check that would complain, and what is right all the same."""
_HEAD = """\
warnings = false
[generation]
allow-x00 = true
[phases.stateful]
generation.mode = "positive"
checks.negative_data_rejection.enabled = false
[checks]
negative_data_rejection.expected-statuses = ["4xx", "5xx"]
"""
# In the stateful phase all data is meant to be good: the check for bad data can only be wrong there, and once was.
ACCEPTED = ("2xx", "3xx", 401, 403, 404, 409, 429, "5xx")


def configuration(instance: str, victim: str) -> str:
    """Its configuration file: requests go to instances that are there; what deletes takes another one than what looks."""
    operations = [_operation(route, victim if route.method == "DELETE" else instance) for route in ROUTES]
    return "\n".join([_HEAD, *filter(None, operations)])


def _operation(route: Route, instance: str) -> str:
    lines = []
    if not route.built or route.name == "agent_socket":
        lines.append("enabled = false")
    if route.name in ("events", "logs"):
        lines.append('headers = { Accept = "application/json" }')  # a page, not a stream without end
    parameters = {"path.instance_id": instance} if "{instance_id}" in route.path else {}
    if route.name == "logs":
        parameters["query.follow"] = "false"
    if parameters:
        pairs = ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in parameters.items())
        lines.append(f"parameters = {{ {pairs} }}")
    check, statuses = EXPECTED.get(route.name, ("positive_data_acceptance", ()))
    if MESSAGE_KEY in route.parameters:
        statuses = (*statuses, 400, 422)  # `id` and the header may differ; a key may come again with another body
    if statuses:
        accepted = [*ACCEPTED, *statuses] if check == "positive_data_acceptance" else ["2xx", "3xx", "4xx", *statuses]
        lines.append(f"checks.{check}.expected-statuses = {json.dumps(accepted)}")
    return "\n".join(["[[operations]]", f'include-operation-id = "{route.name}"', *lines]) if lines else ""


async def run(platform: Platform, folder: Path, *arguments: str) -> tuple[int, str]:
    """Its exit code and what it has printed. One request may take 30 s."""
    file = folder / "schemathesis.toml"
    async with platform.client() as client:
        deployment = (await client.deployments())[0].deployment_id
        instance, victim = [(await client.create(deployment)).instance_id for _ in range(2)]
    file.write_text(configuration(instance, victim))
    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS, "--config-file", file, "run", f"{platform.url}/openapi.json", "--no-color",
        "--header", f"Authorization: Bearer {platform.key}", "--request-timeout", "30", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()

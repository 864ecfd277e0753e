"""The endpoint for language models: any that speaks as OpenAI's does. The gateway asks it which models there are."""

import aiohttp
import msgspec

from podium.protocol.errors import NotConfigured, Unavailable, UpstreamFailed

TIMEOUT_S = 10.0
MAX_BODY_BYTES = 4 * 1024 * 1024


class Ensemble:
    """Asks `url` with `api_key`; make it inside the event loop and `close` it. Without a URL everything is NotConfigured."""

    def __init__(self, url: str | None, api_key: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._session = aiohttp.ClientSession(
            headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def models(self) -> bytes:
        """Its list of models, as JSON. NotConfigured, UpstreamFailed for a wrong answer, Unavailable for none."""
        if self._url is None:
            raise NotConfigured("no endpoint for models is set: set ENSEMBLE_URL, and ENSEMBLE_API_KEY where it wants a key")
        target = f"{self._url}/models" if self._url.endswith("/v1") else f"{self._url}/v1/models"
        try:
            async with self._session.get(target, allow_redirects=False) as response:
                return _checked(response.status, await _bounded(response))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"the endpoint in ENSEMBLE_URL does not answer: {str(error) or type(error).__name__}", retry_after_s=5
            ) from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UpstreamFailed(f"the endpoint in ENSEMBLE_URL answered with more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _checked(status: int, body: bytes) -> bytes:
    if status in (401, 403):
        raise UpstreamFailed(f"the endpoint in ENSEMBLE_URL refused our key ({status}): check ENSEMBLE_API_KEY")
    if status != 200:
        raise UpstreamFailed(f"the endpoint in ENSEMBLE_URL answered with status {status}: does it serve /v1/models?")
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        raise UpstreamFailed("the endpoint in ENSEMBLE_URL did not answer with a JSON object: is it the right URL?") from None
    return body

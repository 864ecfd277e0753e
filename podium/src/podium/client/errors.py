"""Errors that begin on the client's side. They derive from the platform's, so one `except PodiumError` sees all."""

from podium.protocol.errors import InvalidRequest, Unavailable


class Unreachable(Unavailable):
    """Nothing that speaks this protocol answers at the URL, or the connection broke and could not be made again in time."""

    code, title = "unreachable", "Podium cannot be reached"


class NotConfigured(InvalidRequest):
    """The URL or the key is missing or not usable."""

    code, title = "not_configured", "The client is not configured"

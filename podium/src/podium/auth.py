"""Who calls: the administrator's key from outside, and the signed caller header between our own parts.

Both ends derive the signing key from `SECRETS_KEY`. A signature covers the method, the path with its query, the caller and a
deadline, so that a captured header is worth nothing for another request or later. Source: HMAC, RFC 2104; one-step key
derivation as in HKDF-Expand, RFC 5869.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable

import msgspec

from podium.protocol.errors import Forbidden, Unauthorized

CALLER_HEADER = "x-podium-caller"
PLATFORM_TENANT = "platform"
SIGNATURE_TTL_S = 60.0
MAX_CLOCK_SKEW_S = 30.0


class Caller(msgspec.Struct, kw_only=True, frozen=True):
    """Somebody whose key was checked. `admin` may do everything; others what `permissions` list, in their own tenant."""

    tenant_id: str
    admin: bool = False
    permissions: tuple[str, ...] = ()
    request_id: str = ""

    def require(self, permission: str) -> None:
        """Raise Forbidden unless the caller may."""
        if not self.admin and permission not in self.permissions:
            raise Forbidden(f"this key lacks the permission {permission}")


class _Signed(msgspec.Struct, kw_only=True):
    caller: Caller
    method: str
    target: str
    expires_at: float


def derive_key(secrets_key: str, purpose: str) -> bytes:
    """A 32-byte key for one purpose."""
    root = hmac.digest(b"podium", secrets_key.encode(), hashlib.sha256)
    return hmac.digest(root, purpose.encode() + b"\x01", hashlib.sha256)


class Signer:
    """Signs and checks the caller header. `clock` gives seconds since 1970."""

    def __init__(self, secrets_key: str, clock: Callable[[], float] = time.time) -> None:
        self._key = derive_key(secrets_key, "caller")
        self._clock = clock

    def sign(self, caller: Caller, method: str, target: str) -> str:
        """The header's value for one request; `target` is the path with its query, as sent."""
        signed = _Signed(caller=caller, method=method, target=target, expires_at=self._clock() + SIGNATURE_TTL_S)
        body = msgspec.json.encode(signed)
        return f"{_b64(body)}.{_b64(hmac.digest(self._key, body, hashlib.sha256))}"

    def verify(self, header: str, method: str, target: str) -> Caller:
        """The caller, or Unauthorized: an unsigned, altered, old or misdirected header."""
        body, _, signature = header.partition(".")
        try:
            raw, mac = base64.urlsafe_b64decode(body), base64.urlsafe_b64decode(signature)
        except (ValueError, binascii.Error):
            raise Unauthorized("the caller header is malformed") from None
        if not hmac.compare_digest(mac, hmac.digest(self._key, raw, hashlib.sha256)):
            raise Unauthorized("the caller header is not signed by this platform: SECRETS_KEY must be the same on all parts")
        signed = msgspec.json.decode(raw, type=_Signed)
        now = self._clock()
        if not now <= signed.expires_at <= now + SIGNATURE_TTL_S + MAX_CLOCK_SKEW_S:
            raise Unauthorized("the caller header has expired, or the clocks of the two hosts disagree")
        if (signed.method, signed.target) != (method, target):
            raise Unauthorized("the caller header was made for another request")
        return signed.caller


class Keys:
    """The keys of clients. Today the administrator's alone, held as a hash."""

    def __init__(self, admin_api_key: str) -> None:
        self._admin = hashlib.sha256(admin_api_key.encode()).digest()

    def caller(self, authorization: str | None, request_id: str) -> Caller:
        """The caller of an `Authorization: Bearer …` header; Unauthorized for anything but a key that is known."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthorized("send the key as 'Authorization: Bearer pod_…'")
        if not hmac.compare_digest(hashlib.sha256(key.strip().encode()).digest(), self._admin):
            raise Unauthorized("this key is not known here")
        return Caller(tenant_id=PLATFORM_TENANT, admin=True, request_id=request_id)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()

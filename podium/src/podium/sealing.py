"""Secrets at rest: AES-256-GCM under a key derived from `SECRETS_KEY`, bound to what they belong to.

A sealed text is `v1.{key id}.{base64url of nonce and ciphertext}`. The key id tells which key opens it, so that `SECRETS_KEY` can
be changed while what the key before it has sealed is still read. Sources: HKDF, RFC 5869; GCM with random 96-bit nonces, NIST
SP 800-38D.
"""

import base64
import hashlib
import hmac
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = "v1"
NONCE_BYTES = 12
KEY_BYTES = 32
KEY_ID_CHARS = 8


class CannotUnseal(Exception):
    """Sealed by another key, for something else, or altered. The text is for people."""


class Sealer:
    """Seals with `secrets_key`; opens what that key or the `previous` one has sealed."""

    def __init__(self, secrets_key: str, previous: str | None = None) -> None:
        self._keys = {_key_id(key): key for key in (secrets_key, previous) if key is not None}
        self._current = _key_id(secrets_key)

    def seal(self, content: bytes, *belongs_to: str) -> str:
        """`content`, readable only with the key and by who names the same things it belongs to."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher(self._current).encrypt(nonce, content, _associated(belongs_to))
        return f"{VERSION}.{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def unseal(self, text: str, *belongs_to: str) -> bytes:
        """The content; CannotUnseal."""
        version, _, rest = text.partition(".")
        key_id, _, body = rest.partition(".")
        if version != VERSION:
            raise CannotUnseal(f"it was sealed as {version[:16]!r}; this release knows {VERSION}")
        if key_id not in self._keys:
            raise CannotUnseal(
                f"it was sealed with another SECRETS_KEY (key {key_id[:16]}): name that one in SECRETS_KEY_PREVIOUS"
            )
        try:
            raw = base64.b64decode(body.encode("ascii"), b"-_", validate=True)
            return self._cipher(key_id).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _associated(belongs_to))
        except (ValueError, InvalidTag):
            raise CannotUnseal("it was altered, or belongs to something else") from None

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash: tells equal contents apart from others, and nothing about them to who lacks the key."""
        return hmac.digest(_derived(self._keys[self._current], "fingerprint"), content, hashlib.sha256).hex()

    def _cipher(self, key_id: str) -> AESGCM:
        return AESGCM(_derived(self._keys[key_id], "seal"))


def _derived(secrets_key: str, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"podium {purpose} {VERSION}".encode()).derive(secrets_key.encode())


def _key_id(secrets_key: str) -> str:
    return _derived(secrets_key, "key id").hex()[:KEY_ID_CHARS]


def _associated(belongs_to: tuple[str, ...]) -> bytes:
    return json.dumps([VERSION, *belongs_to]).encode()

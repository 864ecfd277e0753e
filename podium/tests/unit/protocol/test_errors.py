"""Codes are a contract: clients branch on them, so none may go or change. A new one is added here by hand."""

import pytest

from podium.protocol.errors import PodiumError, by_code

GOLDEN = {
    "internal": (500, True),
    "invalid_request": (400, False),
    "invalid_bundle": (400, False),
    "unsupported_runtime": (422, False),
    "unauthorized": (401, False),
    "forbidden": (403, False),
    "not_found": (404, False),
    "instance_replaced": (404, False),
    "method_not_allowed": (405, False),
    "too_slow": (408, True),
    "conflict": (409, False),
    "version_exists": (409, False),
    "instance_exists": (409, False),
    "no_turn": (409, False),
    "already_answered": (409, False),
    "question_closed": (409, False),
    "not_a_file": (409, False),
    "too_large": (413, False),
    "idempotency_mismatch": (422, False),
    "too_many": (429, True),
    "head_too_large": (431, False),
    "turn_failed": (500, False),
    "not_available": (501, False),
    "not_configured": (501, False),
    "upstream_failed": (502, True),
    "instance_failed": (503, True),
    "unavailable": (503, True),
    "newer_format": (503, False),
    "moved": (503, True),
}
"""Code: status and whether trying again can help. How each is reached is in `tests/e2e/test_errors.py`."""


def test_no_code_has_gone_or_changed() -> None:
    assert {code: (kind.status, kind.retryable) for code, kind in by_code().items()} == GOLDEN


def test_every_error_is_in_the_one_tree() -> None:
    assert set(by_code().values()) == set(PodiumError.__subclasses__())


@pytest.mark.parametrize("kind", by_code().values(), ids=by_code())
def test_an_error_says_what_it_is_and_what_to_do(kind: type[PodiumError]) -> None:
    assert 8 <= len(kind.title) <= 60
    assert kind.title[0].isupper()
    assert not kind.title.endswith(".")
    assert kind.remedy.endswith(".")
    assert kind is by_code()["internal"] or kind.remedy != PodiumError.remedy, "say what helps"
    assert "|" not in kind.title + kind.remedy

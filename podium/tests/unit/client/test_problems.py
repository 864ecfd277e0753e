"""Answers become the errors of the protocol."""

import json

import pytest

from podium.client.problems import code_of, passes_by_itself, problem_error, retry_after_s
from podium.protocol import errors


@pytest.mark.parametrize("code", sorted(errors.by_code()))
def test_every_error_comes_back_as_it_was_sent(code: str) -> None:
    kind = errors.by_code()[code]
    document = kind("what, why, what to do", message_id="m1").problem("req_9")
    error = problem_error(kind.status, {"retry-after": "3"}, json.dumps(document).encode())
    assert type(error) is kind
    assert (error.detail, error.retry_after_s) == ("what, why, what to do", 3)
    assert error.problem("another") == document


def test_a_code_of_a_later_version_keeps_its_name() -> None:
    error = problem_error(409, {}, b'{"code": "brand_new", "detail": "d", "retry_after_s": 5, "self": 1}')
    assert isinstance(error, errors.Conflict)
    assert code_of(error) == "brand_new"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b'{"code": 5, "detail": []}'])
def test_what_is_no_problem_document_goes_by_its_status(body: bytes) -> None:
    error = problem_error(502, {}, body)
    assert isinstance(error, errors.Unavailable)
    assert "502" in error.detail
    assert passes_by_itself(error)


def test_only_what_passes_by_itself_is_repeated() -> None:
    assert passes_by_itself(errors.TooMany("busy"))
    assert passes_by_itself(errors.Moved("elsewhere"))
    assert not passes_by_itself(errors.InternalError("a bug"))
    assert not passes_by_itself(errors.NotFound("gone"))
    assert not passes_by_itself(errors.InstanceFailed("it has a bug"))
    assert passes_by_itself(errors.InstanceFailed("it has a bug", retry_after_s=1))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("soon", None), ("-1", None), ("3", 3), ("9" * 30, 86_400), ("Mon, 01 Jan 2001 00:00:00 GMT", 0)],
)
def test_retry_after(value: str | None, seconds: int | None) -> None:
    assert retry_after_s(value) == seconds

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from podium import log

KEY = "pod_admin_0123456789abcdef"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(format: log.Format, level: str = "info", stream: io.StringIO | None = None) -> io.StringIO:
    stream = stream or io.StringIO()
    log.configure(format, level, stream)
    return stream


def test_an_event_is_one_json_line() -> None:
    stream = configured("json")
    log.get("inbox").info("accepted", message_id="m1", size_bytes=5)
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "accepted", "level": "info", "logger": "inbox", "message_id": "m1", "size_bytes": 5}


def test_the_level_is_a_threshold() -> None:
    stream = configured("json", "warning")
    for name in ("debug", "info", "warning", "error"):
        getattr(log.get("a"), name)(name)
        logging.getLogger("b").log(logging.getLevelName(name.upper()), name)
    assert [line["event"] for line in lines(stream)] == ["warning", "warning", "error", "error"]


def test_context_is_in_every_event_of_the_block() -> None:
    stream = configured("json")
    with log.context(request_id="r1"):
        log.get("a").info("in")
        logging.getLogger("uvicorn.access").info("%s in", "library")
    log.get("a").info("out")
    assert [line.get("request_id") for line in lines(stream)] == ["r1", "r1", None]
    assert lines(stream)[1]["event"] == "library in"


def test_configuring_again_replaces_what_was_there() -> None:
    first, second = configured("json"), configured("json", "error")
    log.get("a").info("nobody")
    log.get("a").error("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_hidden_wherever_they_are(format: log.Format) -> None:
    stream = configured(format)
    logger = log.get("a")
    deep: dict[str, Any] = {"password": "hidden-0"}
    for _ in range(12):
        deep = {"deep": deep}
    logger.info(
        f"text {KEY}", url="redis://user:hidden-1@h/0", header="Bearer hidden-2", items=[KEY], odd=KeyError(KEY), raw=KEY.encode()
    )
    logger.info(
        "names", secrets_key="hidden-3", headers={"Authorization": "hidden-4", ("odd",): {KEY}}, SECRET=b"hidden-5", deep=deep
    )
    logging.getLogger("library").warning("used %s", KEY)
    try:
        raise ValueError(KEY)
    except ValueError as error:
        logger.error("failed", exc_info=error)
        logging.getLogger("library").exception("failed")
    text = stream.getvalue()
    assert "hidden-" not in text and KEY not in text
    assert text.count("[redacted]") >= 12
    assert text.count("ValueError") >= 2


def test_harmless_values_stay_as_they_are() -> None:
    stream = configured("json")
    log.get("a").info("pod_1 is a pod", secret_count=3, api_key=None, path="a/pod_x", tokens=5, url="http://h/a@b")
    [line] = lines(stream)
    assert line["event"] == "pod_1 is a pod"
    assert (line["secret_count"], line["api_key"], line["path"], line["tokens"], line["url"]) == (
        3,
        None,
        "a/pod_x",
        5,
        "http://h/a@b",
    )


def test_hostile_text_neither_steers_the_terminal_nor_forges_a_line() -> None:
    stream = configured("console")
    try:
        raise ValueError("\x1b]0;title\x07")
    except ValueError as error:
        log.get("a").error("one\n2026 [info] forged\x1b[2J\x9b1m", value="a\r\nb", exc_info=error)
    text = stream.getvalue()
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(text)
    assert "forged" in text.splitlines()[0]


def test_colours_are_for_terminals() -> None:
    plain = configured("console")
    log.get("a").info("x")
    assert "\x1b[" not in plain.getvalue()
    terminal = configured("console", stream=Terminal())
    log.get("a").info("x")
    assert "\x1b[" in terminal.getvalue()


def test_importing_and_getting_sets_nothing_up() -> None:
    script = "import logging; from podium import log; log.get('a'); assert not logging.getLogger().handlers"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_event_before_configure_goes_the_standard_way(caplog: pytest.LogCaptureFixture) -> None:
    log.get("early").warning("early")
    assert [record.name for record in caplog.records] == ["early"]

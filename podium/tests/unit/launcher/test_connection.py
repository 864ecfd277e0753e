"""Whatever a peer sends, in whatever pieces: whole requests come out, or the connection closes."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from podium.launcher import messages
from podium.launcher.port import LaunchSpec
from podium.launcher.process import Connection
from podium.protocol.framing import encode_frame

texts = st.text(max_size=20)
optional_counts = st.none() | st.integers(0, 2**40)
specs = st.builds(
    LaunchSpec,
    launch_id=texts,
    argv=st.lists(texts, max_size=3),
    env=st.dictionaries(texts, texts, max_size=3),
    cwd=texts,
    output=texts,
    uid=optional_counts,
    memory_bytes=optional_counts,
    pids=optional_counts,
)
numbers = st.integers(0, 2**53)
requests = st.one_of(
    st.builds(messages.Start, id=numbers, spec=specs),
    st.builds(messages.Kill, id=numbers, launch_id=texts),
    st.builds(messages.List, id=numbers),
    st.builds(messages.Forget, id=numbers, launch_id=texts),
)


@contextmanager
def connected() -> Iterator[tuple[socket.socket, Connection]]:
    peer, ours = socket.socketpair()
    ours.setblocking(False)
    with peer, ours:
        yield peer, Connection(ours)


@given(st.lists(requests, max_size=5), st.integers(1, 100))
def test_requests_come_out_as_they_went_in(sent: list[messages.Request], piece_bytes: int) -> None:
    stream = b"".join(encode_frame(msgspec.json.encode(request)) for request in sent)
    received: list[messages.Request] = []
    with connected() as (peer, connection):
        for start in range(0, len(stream), piece_bytes):
            peer.sendall(stream[start : start + piece_bytes])
            received += connection.receive()
        assert connection.is_open
        peer.close()
        assert connection.receive() == []
        assert not connection.is_open
    assert received == sent


@given(st.binary(min_size=1, max_size=200))
def test_nonsense_never_raises(data: bytes) -> None:
    with connected() as (peer, connection):
        peer.sendall(data)
        connection.receive()


@given(st.binary(min_size=1, max_size=50))
def test_a_frame_of_nonsense_closes(payload: bytes) -> None:
    with connected() as (peer, connection):
        peer.sendall(encode_frame(b"\xff" + payload))
        assert connection.receive() == []
        assert not connection.is_open


def test_a_peer_that_takes_nothing_is_dropped_in_the_end() -> None:
    with connected() as (_, connection):
        reply = messages.Failed(id=1, reason="x" * 2**20)
        for _ in range(40):
            connection.send(reply)
        assert not connection.is_open

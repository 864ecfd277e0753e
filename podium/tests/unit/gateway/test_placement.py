"""Which coordinator gets a new instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.cluster.port import CoordinatorInfo
from podium.gateway.placement import choose
from podium.protocol.errors import TooMany, Unavailable

coordinators = st.lists(
    st.builds(
        CoordinatorInfo,
        coordinator_id=st.text(st.sampled_from("abc"), min_size=1, max_size=4),
        incarnation=st.just("i1"),
        url=st.just("http://c"),
        load=st.integers(0, 20),
        capacity=st.integers(0, 20),
        draining=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda info: info.coordinator_id,
)


def info(name: str, load: int, capacity: int = 10, *, draining: bool = False) -> CoordinatorInfo:
    return CoordinatorInfo(
        coordinator_id=name, incarnation="i1", url=f"http://{name}", load=load, capacity=capacity, draining=draining
    )


def test_the_smallest_share_in_use_wins_not_the_smallest_number() -> None:
    assert choose([info("a", 5), info("b", 40, 100)]).coordinator_id == "b"


def test_equals_are_told_apart_by_name_so_that_all_gateways_agree() -> None:
    assert choose([info("b", 1), info("a", 1), info("c", 1)]).coordinator_id == "a"


def test_one_that_drains_gets_nothing() -> None:
    assert choose([info("a", 0, draining=True), info("b", 9)]).coordinator_id == "b"


def test_all_full_is_a_limit_that_is_said() -> None:
    with pytest.raises(TooMany) as error:
        choose([info("a", 10), info("b", 25, 20), info("c", 0, draining=True)])
    assert error.value.extra == {"limit": 30, "current": 35}
    assert error.value.retry_after_s


@pytest.mark.parametrize("known", [[], [info("a", 0, draining=True)]])
def test_nobody_there_is_no_limit_but_a_failure(known: list[CoordinatorInfo]) -> None:
    with pytest.raises(Unavailable, match="no coordinator"):
        choose(known)


@given(coordinators)
def test_the_chosen_one_has_room_and_nobody_has_more(known: list[CoordinatorInfo]) -> None:
    try:
        chosen = choose(known)
    except (TooMany, Unavailable):
        assert all(info.draining or info.load >= info.capacity for info in known)
        return
    assert chosen.load < chosen.capacity
    assert not chosen.draining
    open_to_all = [info for info in known if not info.draining and info.load < info.capacity]
    assert all(chosen.load * info.capacity <= info.load * chosen.capacity for info in open_to_all)
    assert choose(reversed(known)) == chosen

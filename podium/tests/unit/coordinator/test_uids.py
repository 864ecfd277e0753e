"""Uids of agents: one each, for ever."""

import os
from pathlib import Path

import pytest

from podium.coordinator import uids
from podium.coordinator.uids import BLOCK_UIDS, Uids


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_each_life_of_each_instance_has_its_own(tmp_path: Path) -> None:
    given = Uids(tmp_path / "host.db")
    names = [(f"agent_{n}", life) for n in range(20) for life in (1, 2)]
    found = [given.of(*name) for name in names]
    assert len(set(found)) == len(names)
    assert given.build_uid is not None
    assert all(uid is not None and given.build_uid < uid < given.build_uid + BLOCK_UIDS for uid in found)
    assert [given.of(*name) for name in names] == found
    given.close()


@pytest.mark.usefixtures("as_root")
def test_they_are_kept_and_counted_on_when_the_platform_starts_again(tmp_path: Path) -> None:
    first = Uids(tmp_path / "host.db")
    before = {name: first.of(name, 1) for name in ("a", "b", "c")}
    first.close()
    again = Uids(tmp_path / "host.db")
    assert {name: again.of(name, 1) for name in before} == before
    new = again.of("d", 1)
    assert new is not None
    assert new > max(uid for uid in before.values() if uid is not None)
    again.close()


@pytest.mark.usefixtures("as_root")
def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    given = Uids(tmp_path / "host.db")
    assert len({given.of("a", 11), given.of("a1", 1), given.of("a", 1), given.of("A", 1)}) == 4
    given.close()


@pytest.mark.usefixtures("as_root")
def test_there_is_an_end_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Uids(tmp_path / "host.db")
    monkeypatch.setattr(uids, "BLOCK_UIDS", 2)
    assert given.build_uid is not None
    assert given.of("a", 1) == given.build_uid + 1
    with pytest.raises(OSError, match="all its uids"):
        given.of("b", 1)
    given.close()


def test_without_root_everything_runs_as_the_platforms_own_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    given = Uids(tmp_path / "host.db")
    assert given.of("a", 1) is None
    assert given.build_uid is None
    given.close()


@pytest.mark.usefixtures("as_root")
def test_installers_have_one_of_their_own(tmp_path: Path) -> None:
    given = Uids(tmp_path / "host.db")
    assert given.build_uid not in (None, given.of("a", 1))
    given.close()


@pytest.mark.usefixtures("as_root")
def test_two_data_directories_count_in_blocks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([3, 5, 7])
    monkeypatch.setattr(uids.secrets, "randbelow", lambda _: next(drawn))
    first, second, again = Uids(tmp_path / "1.db"), Uids(tmp_path / "2.db"), Uids(tmp_path / "1.db")
    assert first.build_uid == again.build_uid != second.build_uid
    assert first.of("a", 1) == again.of("a", 1) != second.of("a", 1)
    for given in (first, second, again):
        given.close()

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.objectstore.listing import SUFFIX, keys_below

names = st.sampled_from(["a", "a-", "a.", "a0", "b", "A", "a.obj"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(st.sets(paths, max_size=25), names, st.one_of(st.just(""), paths, paths.map(lambda path: path + "/")))
@settings(max_examples=80, deadline=None)
def test_the_walk_gives_what_sorting_all_keys_gives(keys: set[str], folder: str, after: str) -> None:
    prefix = folder + "/"
    with TemporaryDirectory() as root:
        for key in keys:
            path = Path(root, key + SUFFIX)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        expected = sorted(key for key in keys if key.startswith(prefix) and key > after)
        assert list(keys_below(Path(root), prefix, after)) == expected


def test_folders_that_cannot_hold_a_later_key_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("p/a/1", "p/b/1", "p/c/1"):
        (tmp_path / key).parent.mkdir(parents=True)
        (tmp_path / (key + SUFFIX)).touch()
    read: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (read.append(path.name), scandir(path))[1])
    assert list(keys_below(tmp_path, "p/", "p/b/0")) == ["p/b/1", "p/c/1"]
    assert read == ["p", "b", "c"]


def test_foreign_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/README").touch()
    (tmp_path / "p/loop").symlink_to(tmp_path)
    assert list(keys_below(tmp_path, "p/", "")) == []

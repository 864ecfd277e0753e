from pathlib import Path

from podium.config import rows, settings_reference

PAGE = Path(__file__).parents[4] / "docs/reference/settings.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == settings_reference(), "write settings_reference() to docs/reference/settings.md"


def test_the_table_is_one_of_distinct_settings() -> None:
    names = [row.name for _, row in rows()]
    assert len(set(names)) == len({row.key for _, row in rows()}) == len(names)
    for field, row in rows():
        assert field.startswith(row.key)
        assert row.doc.endswith(".") and "|" not in row.doc + row.default_text + row.kind.expected
        assert not callable(row.default) or row.default_text

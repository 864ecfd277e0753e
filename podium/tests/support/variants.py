"""The probe under other types and versions, with texts replaced."""

from pathlib import Path

from tests.support.platform import AGENTS


def variant(folder: Path, agent_type: str, version: str = "1.0.0", replace: dict[str, str] | None = None) -> Path:
    """A directory with the probe as `agent_type` `version`; `replace` changes its files."""
    source = folder / f"{agent_type}-{version}"
    source.mkdir()
    for file in (AGENTS / "probe").glob("*.*"):
        text = (
            file.read_text()
            .replace('type = "probe"', f'type = "{agent_type}"')
            .replace('version = "1.0.0"', f'version = "{version}"')
        )
        for old, new in (replace or {}).items():
            assert old in text or file.suffix != Path(old).suffix
            text = text.replace(old, new)
        (source / file.name).write_text(text)
    return source

"""Builders of bundles: good ones from a dictionary of files, hostile ones member by member, with the headers one likes."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

AGENT = """\
from podium.agent import AgentContext, BaseAgent


class {name}(BaseAgent):
    async def on_message(self, ctx: AgentContext, message: dict) -> None:
        stream = await ctx.send_message()
        await stream.stream_token(message["text"], final=True)
"""


class Entry(NamedTuple):
    """A member as it is to stand in the archive, true or not."""

    name: str
    content: bytes = b""
    type: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644


def manifest(agent_type: str = "notes", version: str = "1.0.0", *, entrypoint: str = "agent:Agent", more: str = "") -> str:
    """A `podium.toml`; `more` is appended to it."""
    return f'[agent]\ntype = "{agent_type}"\nversion = "{version}"\nruntime = "python"\nentrypoint = "{entrypoint}"\n{more}\n'


def files(
    agent_type: str = "notes", version: str = "1.0.0", *, more: str = "", others: Mapping[str, str | bytes] | None = None
) -> dict[str, str | bytes]:
    """The files of a bundle whose agent says back what it hears."""
    return {"podium.toml": manifest(agent_type, version, more=more), "agent.py": AGENT.format(name="Agent"), **(others or {})}


def write_bundle(path: Path, content: Mapping[str, str | bytes] | None = None) -> Path:
    """A good bundle of these files, by default of `files()`."""
    texts = files() if content is None else content
    return write_entries(path, [Entry(name, _bytes(text)) for name, text in sorted(texts.items())])


def write_entries(path: Path, entries: Iterable[Entry], *, tar_format: int = tarfile.PAX_FORMAT) -> Path:
    """A tar.gz with these members, whatever they are."""
    path.write_bytes(gzip.compress(tar_of(entries, tar_format=tar_format), mtime=0))
    return path


def with_manifest(*entries: Entry) -> list[Entry]:
    """A good bundle's members, followed by these."""
    return [Entry(name, _bytes(text)) for name, text in sorted(files().items())] + list(entries)


def tar_of(entries: Iterable[Entry], *, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """The uncompressed archive."""
    body = io.BytesIO()
    with tarfile.TarFile(fileobj=body, mode="w", format=tar_format) as archive:
        for entry in entries:
            archive.addfile(_info(entry), io.BytesIO(entry.content))
    return body.getvalue()


def raw_header(name: bytes, size: bytes = b"00000000000\0", kind: bytes = b"0", link: bytes = b"") -> bytes:
    """A ustar header with any bytes in its fields and a right checksum."""
    header = bytearray(512)
    for offset, field in ((0, name[:100]), (100, b"0000644\0"), (124, size), (157, link[:100]), (257, b"ustar\x0000")):
        header[offset : offset + len(field)] = field
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.name)
    info.type, info.linkname, info.mode, info.size = entry.type, entry.link, entry.mode, len(entry.content)
    return info


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text

"""`podium deploy`: a directory becomes a deployment."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from podium.cli.options import Settings, pass_settings, shared_options
from podium.cli.output import print_json, size
from podium.cli.session import converse
from podium.client import AsyncPodium
from podium.client.pack import pack
from podium.client.upload import Progress
from podium.protocol.api import Deployment

LARGE_BYTES = 1 << 20
_SHOWN_LEFT_OUT = 5


@click.command(short_help="Pack a directory and upload it as a deployment.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@shared_options
@pass_settings
def deploy(settings: Settings, path: Path) -> None:
    """Pack the directory PATH and upload it; PATH may also be a packed bundle.

    The same directory packed again gives the same bytes, and the same bytes again give the same deployment. Other bytes
    under a version that was deployed are refused; the error names the next version to use.
    """
    with tempfile.TemporaryDirectory(prefix="podium-deploy-") as folder:
        bundle = _bundle(settings, path, Path(folder)) if path.is_dir() else path
        deployment = converse(settings, lambda podium: _upload(podium, bundle, quiet=settings.json))
    if settings.json:
        print_json(deployment)
    else:
        print(f"deployed {deployment.deployment_id} ({size(deployment.size_bytes)})")


def _bundle(settings: Settings, path: Path, folder: Path) -> Path:
    bundle = folder / "bundle.tar.gz"
    packed = pack(path, bundle)
    if not settings.json:
        named = ", ".join(packed.left_out[:_SHOWN_LEFT_OUT])
        more = len(packed.left_out) - _SHOWN_LEFT_OUT
        left_out = f"; left out {named}{f' and {more} more' if more > 0 else ''}" if packed.left_out else ""
        click.echo(f"packed {packed.files} files, {size(packed.size_bytes)}{left_out}", err=True)
    return bundle


async def _upload(podium: AsyncPodium, bundle: Path, *, quiet: bool) -> Deployment:
    with _progress(bundle.stat().st_size, quiet=quiet) as progress:
        return await podium.deploy(bundle, progress=progress)


@contextmanager
def _progress(size_bytes: int, *, quiet: bool) -> Iterator[Progress | None]:
    """A bar on the terminal for what takes a while."""
    if quiet or size_bytes < LARGE_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("uploading", total=size_bytes)
        yield lambda done, _: bar.update(task, completed=done)

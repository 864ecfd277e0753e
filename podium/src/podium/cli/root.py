"""The table of commands, and how each of them ends."""

import os
import sys

import click

from podium.cli.failures import EXIT_CODES, FAILED, INTERRUPTED, USAGE, exit_code, tell, tell_local
from podium.cli.lazy import Entry, LazyGroup
from podium.cli.options import Settings, shared_options
from podium.protocol.errors import PodiumError

COMMANDS = {
    "up": Entry("podium.cli.up:up", "Run the whole platform on this machine."),
    "deploy": Entry("podium.cli.deploy:deploy", "Pack a directory and upload it as a deployment."),
    "deployments": Entry("podium.cli.deployments:deployments", "List deployments."),
    "instances": Entry("podium.cli.instances.group:instances", "Create, list, look at, put to sleep, wake and delete instances."),
    "send": Entry("podium.cli.send:send", "Send a message and print the reply."),
    "chat": Entry("podium.cli.chat:chat", "Talk to an instance."),
    "steer": Entry("podium.cli.steer:steer", "Guide the turn an instance is at."),
    "stop": Entry("podium.cli.stop:stop", "Stop the turn an instance is at."),
    "answer": Entry("podium.cli.answer:answer", "Answer a question of an instance."),
    "events": Entry("podium.cli.events:events", "Follow everything an instance does."),
    "logs": Entry("podium.cli.logs:logs", "Print an instance's log."),
    "status": Entry("podium.cli.status:status", "Say how the platform is."),
    "gateway": Entry("podium.cli.processes:gateway", "Run one gateway."),
    "coordinator": Entry("podium.cli.processes:coordinator", "Run one coordinator."),
}
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())


@click.command(cls=LazyGroup, entries=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="podium", prog_name="podium")
@shared_options
def root() -> None:
    """Stateful AI agents on machines you own.

    The platform is the one `podium up` started last, unless PODIUM_URL and PODIUM_API_KEY or the options name another.
    """


def run(args: list[str]) -> int:
    """Run a command line; returns the exit code."""
    settings = Settings(json="--json" in args)
    try:
        result = root.main(args, prog_name="podium", standalone_mode=False, obj=settings)
    except PodiumError as error:
        tell(error, as_json=settings.json)
        return exit_code(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stderr)
        return USAGE
    except click.ClickException as error:
        tell_local(_usage(error), "usage", as_json=settings.json)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except TimeoutError as error:
        tell_local(str(error), "timeout", as_json=settings.json)
        return FAILED
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        tell_local(str(error), "system", as_json=settings.json)
        return FAILED
    return result if isinstance(result, int) else 0


def _unread() -> int:
    """Whoever read our output has enough, as `head` has; what is still buffered must not fail when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context is not None else ""
    return error.format_message().rstrip(".") + hint

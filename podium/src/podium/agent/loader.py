"""Finds the author's class in the bundle."""

import importlib
import sys

from podium.agent.base import BaseAgent
from podium.agent.models.delta_state import DeltaState


class LoadError(Exception):
    """The bundle has no usable agent; the text says why, `__cause__` is what its code raised."""


def load_agent(entrypoint: str, bundle: str) -> type[BaseAgent]:
    """Import `module:Class` with the directory `bundle` first on the path; LoadError where that gives no BaseAgent."""
    module_name, colon, class_name = entrypoint.partition(":")
    if not (module_name and colon and class_name):
        raise LoadError(f"entrypoint {entrypoint!r} is not of the form module:Class")
    sys.path.insert(0, bundle)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise LoadError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    agent_class = getattr(module, class_name, None)
    if agent_class is None:
        raise LoadError(f"module {module_name} has no {class_name}; the entrypoint in podium.toml is {entrypoint!r}")
    if not (isinstance(agent_class, type) and issubclass(agent_class, BaseAgent)):
        raise LoadError(f"{entrypoint} is not a subclass of podium.agent.BaseAgent")
    if not (isinstance(agent_class.State, type) and issubclass(agent_class.State, DeltaState)):
        raise LoadError(f"{entrypoint}.State is not a subclass of podium.agent.models.delta_state.DeltaState")
    return agent_class

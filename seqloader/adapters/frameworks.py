"""Frameworks are optional: an adapter imports its own, or says what to install."""

from __future__ import annotations

import importlib
import re
from typing import Any

__all__ = ["framework"]


def framework(name: str, *, extra: str, at_least: str = "") -> Any:
    """Import a framework.

    Args:
        name: Of its module.
        extra: Of ours that installs it; also the name of the adapter's module.
        at_least: The lowest version that the adapter works with; "": any.

    Returns:
        The module, untyped: seqloader is checked without any framework.

    Raises:
        ImportError: It is not installed, or too old. What else its import raises is raised as is.
    """
    cure = f"""pip install "seqloader[{extra}]\""""
    wanted = name + (f" {at_least} or later" if at_least else "")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise  # it is there, and lacks something itself
        raise ImportError(
            f"seqloader.adapters.{extra} needs {wanted}, which is not installed: {cure}", name=name
        ) from error
    version = str(getattr(module, "__version__", ""))
    if at_least and _numbers(version) < _numbers(at_least):
        raise ImportError(
            f"seqloader.adapters.{extra} needs {wanted}, and this is {name} {version}: {cure}",
            name=name,
        )
    return module


def _numbers(version: str) -> list[int]:
    """Of the release: [3, 8, 0] for "3.8.0.dev1"."""
    release = re.match(r"\d+(\.\d+)*", version)
    return [] if release is None else [int(number) for number in release[0].split(".")]

"""The settings of a training run, from flags, files, recipes and the run that is resumed."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from ..errors import MiniskError
from ..serialization import load_checkpoint
from ..training import Config
from .recipes import Program


def config_from(arguments: argparse.Namespace, program: Program) -> Config:
    """Return the Config of a command line.

    A flag overrules --config, which overrules --recipe, then the run's own settings, then the program's defaults.
    """
    from_file = read_config(arguments.config) if arguments.config else {}
    given = from_file | vars(arguments)
    settings: dict[str, Any] = program.defaults_for(given)
    if arguments.resume or arguments.eval:
        settings |= _settings_of_run(Path(arguments.out))
    settings |= program.recipe_for(arguments.recipe, given) if arguments.recipe else {}
    names = {field.name for field in dataclasses.fields(Config)}
    return Config(**settings | {name: value for name, value in given.items() if name in names})


def _settings_of_run(folder: Path) -> dict[str, Any]:
    """Return the settings in config.json; if it is missing or damaged, those in last.safetensors; {} without both."""
    own, last = folder / "config.json", folder / "last.safetensors"
    try:
        if own.exists():
            return read_config(own)
    except MiniskError:
        if not last.exists():
            raise
    if not last.exists():
        return {}
    return _known_settings(load_checkpoint(last)[1].get("config"), f"settings in {last}")


def read_config(path: str | Path) -> dict[str, Any]:
    """Read settings from a config.json. Raises MiniskError if it is missing, damaged or names an unknown setting."""
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be read for ever
        raise MiniskError(f"settings {path} can't be read: not a file")
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise MiniskError(f"settings {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise MiniskError(f"settings {path} are not JSON: {error}") from error
    return _known_settings(settings, f"settings {path}")


def _known_settings(settings: Any, where: str) -> dict[str, Any]:
    if not isinstance(settings, dict):
        raise MiniskError(f"{where} are a JSON {type(settings).__name__}, expected an object")
    unknown = sorted(settings.keys() - {field.name for field in dataclasses.fields(Config)})
    if unknown:
        raise MiniskError(f"{where} name unknown settings: {', '.join(unknown)}")
    return settings

"""The settings of this package: which file counts, and is anything in it, or in the environment, misspelt?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec

from ..settings import (
    FILE_VARIABLE,
    PLACES,
    SETTINGS,
    Bucket,
    SettingsError,
    buckets,
    settings_file,
)
from .finding import OK, WARNING, WRONG, Finding

TOPIC = "settings"

_ALIKE = 0.8
"""How alike a name has to be to one of ours; programs around this package have variables of their own."""


_MEND = "Correct the file; docs/reference/settings.md has its keys."


def probe(options: Iterable[str] = (), wrong_options: str = "") -> Iterator[Finding]:
    """Look at the file of settings and at our variables of the environment.

    Parameters
    ----------
    options
        Variables that stand for options of commands.
    wrong_options
        What is wrong with the options that the file gives to commands.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        said = "the folder in which this was called is gone: something deleted it"
        yield Finding(TOPIC, WRONG, said, "Change to another folder, such as: cd ~")
        return
    try:
        found = settings_file()
    except SettingsError as error:
        yield Finding(TOPIC, WRONG, str(error), _MEND)
        return
    if wrong_options:
        yield Finding(TOPIC, WRONG, wrong_options, _MEND)
    named = found.path or f"no file, for there is none of {', '.join(PLACES)}"
    yield Finding(TOPIC, OK, f"settings come from the environment, and from {named}")
    yield from _misspelt(options)
    yield from _profiles(buckets())


def _misspelt(options: Iterable[str]) -> Iterator[Finding]:
    """Yield variables of the environment that are no settings, and are like one."""
    known = {FILE_VARIABLE, *(each.variable for each in SETTINGS.values()), *options}
    tails = [name.removeprefix("CLEANSAT_") for name in known]
    for name in sorted(os.environ.keys() - known):
        prefix, _, tail = name.partition("_")
        if prefix == "CLEANSAT" and (like := get_close_matches(tail, tails, 1, _ALIKE)):
            said = f"the variable {name} is no setting, so it has no effect. Did you mean 'CLEANSAT_{like[0]}'?"
            yield Finding(TOPIC, WARNING, said, "Correct or remove it.")


def _profiles(known: Iterable[Bucket]) -> Iterator[Finding]:
    """Yield buckets whose profiles are not on this machine."""
    named = [each for each in known if each.profile]
    if not named or find_spec("botocore") is None:
        return
    from botocore.session import Session

    there = Session().available_profiles
    for bucket in named:
        if bucket.profile not in there:
            said = f"the bucket {bucket.name} has the profile {bucket.profile}, which this machine does not have"
            yield Finding(TOPIC, WRONG, said, f"Run: aws configure --profile {bucket.profile}")

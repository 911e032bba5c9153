"""The datacube: is it configured, does it answer, is it initialised, and has it the products?"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import CubeError, first_line
from ..storage.eo3 import MASK_PRODUCT, SCENE_PRODUCT, product_definition
from .finding import OK, WARNING, WRONG, Finding

if TYPE_CHECKING:
    from datacube import Datacube

TOPIC = "datacube"

_SETTING = re.compile(r"(ODC_\w+_)?DB_(HOSTNAME|DATABASE|URL|USERNAME)")
"""Environment variables that tell datacube of a database."""


def probe(config: Sequence[str] = (), env: str | None = None) -> Iterator[Finding]:
    """Look at the datacube that is configured.

    Parameters
    ----------
    config
        Configurations of datacube; of several, the first that exists. By default that of datacube itself.
    env
        Environment in the configuration.
    """
    if problem := _problem_of_configuration(config, env):
        yield problem
        return
    from ..cube.connect import connect

    try:
        dc = connect(config, env, app="cleansat-doctor")
    except CubeError as error:
        yield _unusable(error)
        return
    with contextlib.closing(dc):
        yield Finding(TOPIC, OK, f"the database answers and is initialised{_where(dc)}")
        yield from _writing(dc)
        yield _product(dc, MASK_PRODUCT, WRONG)
        yield _product(dc, SCENE_PRODUCT, WARNING)


def _problem_of_configuration(config: Sequence[str], env: str | None) -> Finding | None:
    """Return what is wrong with the configuration, or None."""
    from configparser import Error as IniError

    from datacube.cfg import ConfigException, ODCConfig
    from yaml import YAMLError

    try:
        found = ODCConfig(paths=list(config) or None)
    except (ConfigException, IniError, YAMLError, ValueError) as error:
        return Finding(
            TOPIC,
            WRONG,
            f"the configuration cannot be read: {first_line(error)}",
            "Correct the file or its name; ODC_CONFIG_PATH names it too.",
        )
    named = env or os.environ.get("ODC_ENVIRONMENT")
    variables = any(name.startswith(f"ODC_{named}_".upper()) for name in os.environ)
    if named and named not in found.known_environments and not variables:
        there = ", ".join(sorted(found.known_environments)) or "none"
        said = f"the configuration has no environment {named}; there are {there}"
        return Finding(TOPIC, WRONG, said, "Correct env= or ODC_ENVIRONMENT, or the configuration.")
    if found.is_default and not any(_SETTING.fullmatch(name) for name in os.environ):
        return Finding(
            TOPIC,
            WARNING,
            "no datacube is configured; `cleansat mask` works without, most other commands do not",
            "Write datacube.conf, name one by ODC_CONFIG_PATH, or try `cleansat demo`, which brings its own.",
        )
    return None


def _unusable(error: CubeError) -> Finding:
    """Return what an error of a connection means."""
    said = str(error.__cause__ or error)
    if "No DB schema exists" in said:
        return Finding(
            TOPIC,
            WRONG,
            "the database answers and is not initialised",
            "Run: datacube system init --no-init-users (without the option for the index driver postgres); "
            "then: cleansat product add s2_l2a s2_l2a_ucl",
        )
    if "out of date" in said:
        return Finding(
            TOPIC,
            WRONG,
            "the tables of the database are of an older datacube",
            "Have its administrator run: datacube system init",
        )
    what = str(error).partition(". Look at ")[0]
    return Finding(TOPIC, WRONG, what, _connection_mend(said))


def _connection_mend(said: str) -> str:
    if "psycopg2 is required" in said:
        if find_spec("psycopg2") is None:
            return "Run: pip install psycopg2-binary"
        # SQLAlchemy 2.1 takes another client for an address without one.
        return "Begin db_url in the configuration with postgresql+psycopg2:// in place of postgresql://."
    if re.search(r"password|authentication|role .* does not exist", said):
        return "Correct the user and its password in the configuration, or DB_USERNAME and DB_PASSWORD."
    if re.search(r"refused|timeout|timed out|could not translate|No such file|unreachable", said):
        return "Start the database, or correct its host and port in the configuration."
    if re.search(r"database .* does not exist", said):
        return "Make the database with createdb, or correct its name in the configuration."
    if re.search(r"Config option|connection URL|index driver", said):
        return "Correct the configuration of datacube."
    return "Run: datacube system check"


def _where(dc: Datacube) -> str:
    """Return where the index is, as far as its driver tells, without user and password."""
    url = getattr(getattr(dc.index, "_db", None), "url", None) or getattr(dc.index, "url", None)
    host, name = getattr(url, "host", None), getattr(url, "database", None)
    return f": {name} on {host}" if host and name else f": index driver {dc.index.name}"


_WRITING = """
SELECT current_user, current_setting('transaction_read_only') = 'on',
  (SELECT string_agg(tablename, ', ' ORDER BY tablename) FROM pg_tables
   WHERE schemaname IN ('agdc', 'odc') AND tablename IN ('dataset', 'dataset_lineage', 'dataset_location', 'dataset_source')
   AND NOT has_table_privilege(format('%I.%I', schemaname, tablename), 'INSERT'))
"""
"""Asks Postgres who we are, whether it takes anything, and which tables of datasets it does not let us write to."""


def _writing(dc: Datacube) -> Iterator[Finding]:
    """Yield whether masks can be indexed, by the rights of the user; nothing is written."""
    if not hasattr(dc.index, "_active_connection"):
        return  # an index without Postgres
    from sqlalchemy import text

    with dc.index._active_connection() as api:
        user, read_only, closed = api._connection.execute(text(_WRITING)).one()
    if read_only:
        said = "the database may only be read, as a copy of another is, so no masks can be indexed"
        yield Finding(
            TOPIC, WARNING, said, "Connect to the server that is written to, where masks are made."
        )
    elif closed:
        said = f"the user {user} may read the datacube and not write to it ({closed}), so no masks can be indexed"
        mend = (
            f"Where masks are made, have its administrator run: datacube user grant manage {user}"
        )
        yield Finding(TOPIC, WARNING, said, mend)
    else:
        yield Finding(TOPIC, OK, f"the user {user} may index masks")


def _product(dc: Datacube, name: str, state: str) -> Finding:
    """Return whether the index has a product with all measurements of ours."""
    product = dc.index.products.get_by_name(name)
    add = f"Run: cleansat product add {name}"
    if product is None:
        other = "" if name == MASK_PRODUCT else "; scenes may be in another product"
        return Finding(TOPIC, state, f"there is no product {name}{other}", add)
    have = {each["name"]: each for each in product.definition["measurements"]}
    wanted = {each["name"]: each for each in product_definition(name)["measurements"]}
    if missing := sorted(wanted.keys() - have.keys()):
        return Finding(
            TOPIC,
            state,
            f"the product {name} is another than ours: it lacks {', '.join(missing)}",
            "Use another datacube or environment, or rename that product.",
        )
    for key, how in (("dtype", state), ("nodata", state), ("flags_definition", WARNING)):
        # Scenes may be stored otherwise; masks are written as our definition says.
        differing = [each for each in wanted if have[each].get(key) != wanted[each].get(key)]
        if name == MASK_PRODUCT and differing:
            said = f"the product {name} is of another version: {', '.join(differing)} has another {key}"
            place = resources.files("odc_cleansat.product_definitions") / f"{name}.odc-product.yaml"
            mend = f"Have its administrator run: datacube product update --allow-unsafe {place}"
            return Finding(TOPIC, how, said, mend)
    return Finding(TOPIC, OK, f"the product {name} is there")

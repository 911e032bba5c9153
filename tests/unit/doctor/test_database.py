"""A datacube that is whole, and one after another that is not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
import yaml
from datacube import Datacube

from odc_cleansat.cube.embedded import CONFIG_NAME, _forget_other_databases
from odc_cleansat.cube.index import add_product
from odc_cleansat.doctor import database
from odc_cleansat.doctor.finding import Finding, in_time
from odc_cleansat.errors import CubeError
from odc_cleansat.storage.eo3 import MASK_PRODUCT, SCENE_PRODUCT, product_definition
from unit.archive import Archive


@pytest.fixture
def url(archive: Archive) -> str:
    return (archive.folder / CONFIG_NAME).read_text().partition("db_url: ")[2].split()[0]


def config(folder: Path, url: str) -> list[str]:
    path = folder / "datacube.conf"
    path.write_text(f"[default]\nindex_driver: postgres\ndb_url: {url}\n")
    return [str(path)]


def look(paths: list[str], env: str | None = None) -> list[Finding]:
    return list(database.probe(paths, env))


def test_a_datacube_that_is_whole(archive: Archive) -> None:
    found = look([str(archive.folder / CONFIG_NAME)])
    assert [each.state for each in found] == ["ok"] * 4, found
    assert "answers and is initialised" in found[0].what


def test_a_datacube_that_is_bare_and_then_half_made(
    archive: Archive, url: str, tmp_path: Path
) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE doctor"))
    engine.dispose()
    paths = config(tmp_path, url.replace("/postgres?", "/doctor?"))
    (bare,) = look(paths)
    assert (bare.state, bare.what) == ("wrong", "the database answers and is not initialised")
    assert "datacube system init" in bare.mend

    with closing(Datacube(config=paths, validate_connection=False)) as dc:
        _forget_other_databases()
        dc.index.init_db()
        _, _, masks, scenes = look(paths)
        assert (masks.state, scenes.state) == ("wrong", "warning")
        assert masks.mend == "Run: cleansat product add s2_l2a_ucl"
        other = product_definition(SCENE_PRODUCT)
        del other["measurements"][3:]
        add_product(dc, other)
        _, _, _, scenes = look(paths)
        assert "the product s2_l2a is another than ours: it lacks" in scenes.what
        older = product_definition(MASK_PRODUCT)
        del older["measurements"][0]["flags_definition"]["ucl"]["values"]["6"]
        add_product(dc, older)
        _, _, masks, _ = look(paths)
        assert masks.state == "warning"
        assert masks.what.endswith("of another version: ucl has another flags_definition")
        # The mend mends it.
        ours = yaml.safe_load(Path(masks.mend.split()[-1]).read_text("utf-8"))
        assert "datacube product update --allow-unsafe" in masks.mend
        dc.index.products.update_document(ours, allow_unsafe_updates=True)
        _, _, masks, _ = look(paths)
        assert masks.state == "ok"


@pytest.mark.parametrize("key", ["dtype", "nodata"])
def test_a_product_that_reads_masks_wrongly(key: str) -> None:
    class Products:
        @staticmethod
        def get_by_name(name: str) -> SimpleNamespace:
            document = product_definition(name)
            document["measurements"][1][key] = 1
            return SimpleNamespace(definition=document)

    dc = SimpleNamespace(index=SimpleNamespace(products=Products))
    masks = database._product(dc, MASK_PRODUCT, "wrong")  # type: ignore[arg-type]
    assert (masks.state, masks.what.split(": ")[1]) == (
        "wrong",
        f"ucl_confidence has another {key}",
    )
    # Scenes may be stored otherwise.
    assert database._product(dc, SCENE_PRODUCT, "warning").state == "ok"  # type: ignore[arg-type]


def test_the_mend_of_a_wrong_password_is_no_secret_itself() -> None:
    said = CubeError('the datacube cannot be reached: password authentication failed for user "me"')
    assert "the user and its password in the configuration" in database._unusable(said).mend


def test_a_database_that_is_not_there(url: str, tmp_path: Path) -> None:
    (missing,) = look(config(tmp_path, url.replace("/postgres?", "/nowhere?")))
    assert "createdb" in missing.mend
    (refused,) = look(config(tmp_path, "postgresql+psycopg2://me:hidden@127.0.0.1:1/none"))
    assert (refused.state, "hidden" in str(refused)) == ("wrong", False)
    assert refused.mend.startswith("Start the database")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_database_that_is_silent(silent: int, tmp_path: Path) -> None:
    paths = config(tmp_path, f"postgresql+psycopg2://me@127.0.0.1:{silent}/none")
    (found,) = in_time("datacube", lambda: database.probe(paths), 0.5)
    assert found.what.startswith("no answer within 0.5 s")


@pytest.fixture
def unconfigured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datacube.cfg.cfg._DEFAULT_CONFIG_SEARCH_PATH", ["datacube.conf"])
    for name in [each for each in os.environ if each.startswith(("ODC_", "DB_", "DATACUBE_"))]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("unconfigured")
def test_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = look([])
    assert (found.state, found.what[:25]) == ("warning", "no datacube is configured")
    monkeypatch.setenv("DB_HOSTNAME", "127.0.0.1")
    monkeypatch.setenv("DB_PORT", "1")
    (found,) = look([])
    assert found.state == "wrong"
    assert "cannot be reached" in found.what


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    (found,) = look([str(tmp_path / "none.conf")])
    assert (found.state, found.what[:28]) == ("wrong", "the configuration cannot be ")
    (tmp_path / "bad.conf").write_text("[default\ndb_url: x\n")
    (found,) = look([str(tmp_path / "bad.conf")])
    assert found.state == "wrong"


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ('FATAL: password authentication failed for user "me"', "Correct the user"),
        ("could not translate host name", "Start the database"),
        ("psycopg2 is required to work with the database.", "postgresql+psycopg2://"),
        ("something else", "datacube system check"),
    ],
)
def test_what_to_do_about_a_connection(said: str, mend: str) -> None:
    assert mend in database._connection_mend(said)


def test_tables_of_an_older_datacube() -> None:
    error = CubeError("the datacube cannot be reached: DB schema is out of date")
    assert "older datacube" in database._unusable(error).what


def test_without_a_client_of_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    assert "pip install psycopg2-binary" in database._connection_mend("psycopg2 is required")


def test_a_user_who_may_only_read(archive: Archive, url: str, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for line in ("CREATE ROLE reader LOGIN", "GRANT agdc_user TO reader", "CREATE ROLE copy LOGIN",
                     "GRANT agdc_manage TO copy", "ALTER ROLE copy SET default_transaction_read_only = on"):  # fmt: skip
            connection.execute(sqlalchemy.text(line))
        try:
            for user, said, mend in (
                ("reader", "may read the datacube and not write to it (dataset, ", "grant manage reader"),
                ("copy", "may only be read", "Connect to the server that is written to"),
            ):  # fmt: skip
                _, found, *_ = look(config(tmp_path, url.replace("postgres:", f"{user}:", 1)))
                assert found.state == "warning"
                assert said in found.what
                assert mend in found.mend
                _forget_other_databases()
            connection.execute(sqlalchemy.text("GRANT agdc_manage TO reader"))
            _, found, *_ = look(config(tmp_path, url.replace("postgres:", "reader:", 1)))
            assert (found.state, found.what) == ("ok", "the user reader may index masks")
        finally:
            _forget_other_databases()
            for user in ("reader", "copy"):
                connection.execute(sqlalchemy.text(f"DROP ROLE {user}"))
    engine.dispose()

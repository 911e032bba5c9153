"""`cleansat product`, and datacubes that cannot be reached."""

from __future__ import annotations

from contextlib import closing

from calling import Run
from datacube import Datacube

from odc_cleansat.cube.embedded import CONFIG_NAME, _forget_other_databases
from unit.archive import Archive


def test_products_are_added_to_a_datacube_that_is_bare(archive: Archive, invoke: Run) -> None:
    import sqlalchemy

    path = archive.folder / CONFIG_NAME
    url = path.read_text().partition("db_url: ")[2].split()[0]
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE bare"))
    engine.dispose()
    bare = url.replace("/postgres?", "/bare?")
    path.write_text(
        path.read_text()
        + f"\n[bare]\nindex_driver: postgres\ndb_url: {bare}\n"
        + f"\n[other]\nindex_driver: postgis\ndb_url: {url}\n"
    )
    uninitialised = invoke("product", "add", "-E", "bare")
    assert uninitialised.exit_code == 1
    assert "datacube system" in uninitialised.output
    # As `datacube system init --no-default-types` does, which takes seconds to start.
    with closing(Datacube(config=str(path), env="bare", validate_connection=False)) as dc:
        _forget_other_databases()
        dc.index.init_db(with_default_types=False)
    assert invoke("product", "add", "-E", "bare").output == "s2_l2a_ucl: added\n"
    assert invoke("product", "add", "-E", "bare").output == "s2_l2a_ucl: there already\n"
    without = invoke("status", "-E", "bare")
    assert without.exit_code == 1
    assert "no product 's2_l2a'; it has s2_l2a_ucl" in without.output
    other_schema = invoke("status", "-E", "other")
    assert other_schema.exit_code == 1
    assert "the datacube cannot be reached" in other_schema.output
    assert len(other_schema.output.splitlines()) == 1

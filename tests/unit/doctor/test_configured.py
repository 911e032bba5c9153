"""Settings: the file that counts, variables that are misspelt, profiles that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from odc_cleansat import settings
from odc_cleansat.doctor import configured


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "named.toml"
    path.write_text("")
    settings._read.cache_clear()
    monkeypatch.setenv("CLEANSAT_SETTINGS", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    (tmp_path / "aws").write_text("[there]\naws_access_key_id = a\naws_secret_access_key = b\n")
    return path


def test_which_file_counts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = configured.probe()
    assert (found.state, str(file) in found.what) == ("ok", True)
    monkeypatch.setenv("CLEANSAT_SETTINGS", "")
    (found,) = configured.probe()
    assert (found.state, "from no file" in found.what) == ("ok", True)


def test_a_key_that_is_misspelt(file: Path) -> None:
    file.write_text("[settings]\nthread = 3\n")
    (found,) = configured.probe()
    assert (found.state, "Did you mean 'threads'?" in found.what) == ("wrong", True)
    assert found.mend


def test_variables_that_are_misspelt(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_THREAD", "3")
    monkeypatch.setenv("CLEANSAT_RUN_WORKERS", "3")
    monkeypatch.setenv("CLEANSAT_RUN_WORKRES", "3")
    monkeypatch.setenv("CLEANSAT_SOMETHING_ELSE_OF_OTHERS", "3")
    said = [each.what for each in configured.probe(["CLEANSAT_RUN_WORKERS"]) if each.state != "ok"]
    assert [each.split()[2] for each in said] == ["CLEANSAT_RUN_WORKRES", "CLEANSAT_THREAD"]
    assert said[1].endswith("Did you mean 'CLEANSAT_THREADS'?")


def test_profiles_that_are_missing(file: Path) -> None:
    file.write_text('[buckets.one]\nprofile = "there"\n[buckets.two]\nprofile = "gone"\n')
    _, found = configured.probe()
    assert (found.state, found.mend) == ("wrong", "Run: aws configure --profile gone")
    assert "the bucket two has the profile gone" in found.what

"""Processors, memory and the engine, on machines that lack something."""

from __future__ import annotations

from pathlib import Path

import pytest

from odc_cleansat.doctor import machine
from odc_cleansat.doctor.apart import ApartError
from odc_cleansat.doctor.finding import Finding

OLD = "model name\t: An Old Processor\nflags\t\t: fpu sse2 avx\n"
NEW = "model name\t: A New Processor\nflags\t\t: avx2 avx512f avx512_bf16 amx_bf16\n"


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(NEW)
    monkeypatch.setattr(machine, "_CPUINFO", path)
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("CLEANSAT_THREADS", raising=False)
    return path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What the process apart answers."""
    answer = {"model": "a", "engine": "openvino", "precision": "bf16"}
    monkeypatch.setattr(machine, "run_apart", lambda *_, **__: answer)
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path / "none")
    return answer


def look(state: str) -> list[Finding]:
    return [each for each in machine.probe(60) if each.state == state]


def test_the_engine_is_really_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLEANSAT_CACHE", str(tmp_path))
    monkeypatch.setenv("CLEANSAT_PRECISION", "f32")
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path / "none")
    (found,) = machine._engine(120)
    assert found.what.endswith("runs with openvino in f32")
    assert list(tmp_path.glob("*.blob"))


def test_an_unknown_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_PRECISION", "f8")
    (found,) = machine._engine(120)
    assert (found.state, found.mend[:25]) == ("wrong", "Set CLEANSAT_PRECISION to")


def test_features(cpuinfo: Path, engine: dict[str, str]) -> None:
    assert machine.processor() == (
        "A New Processor",
        ["AVX2", "AVX-512", "AVX-512 BF16", "AMX BF16"],
    )
    assert look("warning") == []
    cpuinfo.write_text(OLD)
    assert machine.processor() == ("An Old Processor", [])
    cpuinfo.unlink()
    assert machine.processor() == ("x86_64", [])


def test_a_processor_without_avx2(cpuinfo: Path, engine: dict[str, str]) -> None:
    cpuinfo.write_text(OLD.replace("avx", "avx512f"))
    (found,) = look("warning")
    assert "no AVX2" in found.what


def test_threads(cpuinfo: Path, engine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_THREADS", "3")
    assert next(machine.probe(60)).what.startswith("3 of ")
    monkeypatch.setenv("CLEANSAT_THREADS", "many")
    (found,) = look("warning")
    assert "'many', which is no number" in found.what


def test_little_memory(
    cpuinfo: Path, engine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 2_000_000_000)
    (found,) = look("warning")
    assert "2.0 GB of memory are free, and a whole tile takes 3.5 GB" in found.what


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        ("it crashed (SIGILL)", "lacks instructions"),
        ("no answer within 27 s", "keeps this machine busy"),
        ("OSError: libx", "cleansat models verify"),
    ],
)
def test_an_engine_that_does_not_run(
    cpuinfo: Path, monkeypatch: pytest.MonkeyPatch, error: str, mend: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ApartError(error)

    monkeypatch.setattr(machine, "run_apart", fail)
    (found,) = look("wrong")
    assert error in found.what
    assert mend in found.mend


def test_a_slow_precision_and_a_device_that_is_not_used(
    cpuinfo: Path, engine: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CLEANSAT_PRECISION", raising=False)
    engine["precision"] = "f32"
    assert "does not compute in bf16" in [*machine.probe(60)][-1].what
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path)
    (found,) = look("warning")
    assert "nvidia-smi" in found.mend

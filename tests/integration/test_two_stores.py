"""One run reads scenes from one store, unsigned, and writes masks to another, with a profile; workers are told so."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Copy
from distributed import Client
from s3_server import Proxy, client, keys

from odc_cleansat import recall
from odc_cleansat.batch import Request, execute, plan
from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.storage.settings import prepare_gdal
from odc_cleansat.synthetic.scene import SimulatedScene

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A scheduler and a worker that know of no settings; the worker has the profile, as its machine would."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CPL_", "CLEANSAT_SETTINGS"))
    }
    environment["AWS_SHARED_CREDENTIALS_FILE"] = str(folder / "aws")
    address = folder / "scheduler.json"
    quiet = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # fmt: skip
    programs = (
        ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        ["worker", "--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1"],
    )
    with contextlib.ExitStack() as stack:
        for program in programs:
            call = [sys.executable, "-m", "distributed.cli.dask_" + program[0], *program[1:]]
            process = stack.enter_context(
                subprocess.Popen([*call, "--scheduler-file", str(address)], **quiet)  # type: ignore[call-overload]
            )
            stack.callback(process.terminate)
        with Client(scheduler_file=str(address), set_as_default=False, timeout=60) as found:
            found.wait_for_workers(1, timeout=60)
            yield found.scheduler.address


def test_scenes_from_one_store_and_masks_to_another(
    proxy: Proxy, moto: int, initialised: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = Proxy(moto), Proxy(moto)
    public.unsigned, private.key = True, "writer/"
    (tmp_path / "aws").write_text(
        "[writer]\naws_access_key_id = writer\naws_secret_access_key = secret\n"
    )
    file = tmp_path / "named.toml"
    file.write_text(
        f'[buckets.run-scenes]\nunsigned = true\nendpoint = "{public.url}"\n'
        f'[buckets.run-masks]\nprofile = "writer"\nendpoint = "{private.url}"\n'
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CLEANSAT_SETTINGS", str(file))
    for name in ("run-scenes", "run-masks"):
        client(moto).create_bucket(Bucket=name)
    made = []
    with embedded_cube(initialised(tmp_path / "cube")) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        for day in (1, 2):
            scene = SimulatedScene(shape=(120, 180), seed=day, datetime=f"2024-06-0{day}T10:10:31Z")
            folder = scene.write(tmp_path / f"scene{day}")
            document = write_scene_document(open_scene(folder), folder)
            for path in (each for each in folder.rglob("*") if each.is_file()):
                key = f"{day}/{path.relative_to(folder).as_posix()}"
                client(moto).upload_file(
                    str(path), "run-scenes", key, ExtraArgs={"ACL": "public-read"}
                )
            add_dataset(dc, f"s3://run-scenes/{day}/{Path(document).name}")
            found = plan(dc, Request("s2_l2a", "s3://run-masks/ucl"))
            if day == 1:
                report = execute(dc, found, workers=1, retries=0)
            else:
                with cluster(tmp_path) as scheduler:
                    report = execute(dc, found, scheduler=scheduler, retries=0)
            assert (report.masked, report.failures) == (1, ())
            made.append(len(keys(moto, "run-masks")))
        # All readers follow: datacube's own, ours, and what reads both the mask and its scene.
        grid = {"output_crs": "EPSG:32633", "resolution": 20}
        masks = dc.find_datasets(product=MASK_PRODUCT)
        loaded = dc.load(product=MASK_PRODUCT, measurements=["ucl"], datasets=masks, **grid)
        assert (loaded.ucl.values > 0).any(axis=(1, 2)).all()
        recalled = recall(dc, datasets=masks, measurements=["ucl"], dask_chunks={"x": 100}, **grid)
        assert (recalled.ucl.compute(scheduler="threads").values == loaded.ucl.values).all()
        assert verify(masks[0].uri, fetch_scenes=True).right
    assert made == [7, 14]
    assert {method for method, _ in public.seen} <= {"GET", "HEAD"}
    assert any(method == "PUT" for method, _ in private.seen)
    monkeypatch.setenv("CLEANSAT_SETTINGS", "")
    prepare_gdal()  # forgets the buckets
    public.close()
    private.close()

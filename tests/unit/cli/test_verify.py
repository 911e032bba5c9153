"""`cleansat verify`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from calling import Run
from conftest import Cube

from unit.products.helpers import one


def test_the_command(cube: Cube, run: Run, tmp_path: Path) -> None:
    written = cube.masks["june"].local_path.parent
    product = Path(shutil.copytree(written, tmp_path / "root" / written.name))
    good = run("verify", written.parent)
    assert good.exit_code == 0, good.output
    assert "1 product(s): 1 right, 0 wrong" in good.output
    one(product, "*_thumbnail.png").unlink()
    bad = run("verify", "--no-pixels", product.parent, written)
    assert bad.exit_code == 1
    assert "files      WRONG       missing: " in bad.output
    assert "2 product(s): 1 right, 1 wrong" in bad.output
    as_json = json.loads(run("verify", "--no-pixels", "--json", product).output)
    assert as_json["right"] is False
    assert [c["name"] for c in as_json["products"][0]["checks"] if c["right"] is False] == ["files"]
    nothing = run("verify", product.parent.parent / "nowhere")
    assert nothing.exit_code == 1
    assert "there is no mask product" in nothing.output
    assert run("verify").exit_code == 2

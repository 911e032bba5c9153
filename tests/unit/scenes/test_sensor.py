"""Is a scene of Sentinel-2 at all?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.sensor import check_sensor


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({}, None),
        ({}, "s2_l2a"),
        ({}, "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126"),
        ({}, "HLS.S30.T51PTS.2024092T021549.v2.0"),
        ({"platform": "Sentinel-2B", "instruments": ["msi"]}, None),
        ({"platform": "AWS"}, None),  # not a satellite that we know
        ({"constellation": "Sentinel 2"}, None),
        ({"eo:platform": "sentinel-2", "eo:instrument": "MSI"}, "ga_s2am_ard_3"),
        ({"platform": ["sentinel-2a", "sentinel-2b"], "instruments": {"msi"}}, None),
    ],
)
def test_sentinel_2_and_what_says_nothing(properties: dict[str, Any], name: str | None) -> None:
    check_sensor(properties, [name], "it")


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"platform": "landsat-8"}, None),
        ({"eo:platform": "landsat-9", "eo:instrument": "OLI_TIRS"}, None),
        ({"instruments": ["oli", "tirs"]}, None),
        ({"platform": "LANDSAT_7"}, None),
        ({"constellation": "planetscope"}, None),
        ({"platform": "sentinel-3a"}, None),
        ({}, "LC08_L2SP_116050_20240401_20240411_02_T1"),
        ({}, "HLS.L30.T51PTS.2024092T021549.v2.0"),
        ({}, "HLSL30_2.0"),
        ({}, "PSScene"),
        ({}, "ga_ls8c_ard_3"),
        ({}, "landsat-c2-l2"),
    ],
)
def test_others_are_refused(properties: dict[str, Any], name: str | None) -> None:
    with pytest.raises(SceneError, match="it is not of Sentinel-2"):
        check_sensor(properties, [name], "it")


def test_no_real_document_is_refused(shared: Path) -> None:
    seen = 0
    for path in (shared / "metadata").rglob("*.*"):
        if path.suffix not in (".json", ".yaml") or "product" in path.name or "sample" in path.name:
            continue
        # Python's own loader takes seconds.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(path.read_text(encoding="utf-8"), loader)
        if "properties" in document:
            names = [
                document["id"],
                document.get("collection"),
                (document.get("product") or {}).get("name"),
            ]
            check_sensor(document["properties"], names, path.name)
            seen += 1
    assert seen > 20

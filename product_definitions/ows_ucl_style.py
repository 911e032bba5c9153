"""Styles of datacube-ows for the product `s2_l2a_ucl`.

A layer's configuration takes them in as
``"styling": {"include": "odc_cleansat.product_definitions.ows_ucl_style.styling", "type": "python"}``.
"""

from __future__ import annotations

from typing import Any

from odc_cleansat.classes import CloudClass

image_processing: dict[str, Any] = {
    "extent_mask_func": "datacube_ows.ogc_utils.mask_by_val",
    "always_fetch_bands": [],
}
"""What a layer's ``image_processing`` holds: transparent where the product has no data."""

ucl: dict[str, Any] = {
    "name": "ucl",
    "title": "Cloud and cloud shadow",
    "abstract": "UNet classification layer (UCL)",
    "value_map": {
        "ucl": [
            {
                "title": c.description.capitalize(),
                "values": [int(c)],
                "color": c.colour,
                **({"mask": True} if c is CloudClass.NODATA else {}),
            }
            for c in CloudClass
        ]
    },
    "legend": {"show_legend": True},
}
"""Every class in its colour, nodata transparent."""

ucl_confidence: dict[str, Any] = {
    "name": "ucl_confidence",
    "title": "Confidence",
    "abstract": "Confidence of the class, percent",
    "index_expression": "ucl_confidence",
    "needed_bands": ["ucl_confidence"],
    "mpl_ramp": "viridis",
    "range": [0, 100],
    "legend": {"begin": "0", "end": "100", "ticks_every": "25", "units": "%"},
}
"""Confidence of the class, percent, of thick and thin cloud together."""

styling: dict[str, Any] = {"default_style": "ucl", "styles": [ucl, ucl_confidence]}
"""What a layer's ``styling`` holds."""

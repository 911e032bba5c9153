"""Images that stand in a page as text."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
from PIL import Image

from odc_cleansat.review.images import png_uri, webp_uri


def decoded(uri: str, kind: str) -> Image.Image:
    head, content = uri.split(",")
    assert head == f"data:image/{kind};base64"
    return Image.open(io.BytesIO(b64decode(content)))


def test_codes_keep_their_values_and_get_their_colours() -> None:
    codes = np.array([[0, 1, 3], [3, 3, 0]], dtype="uint8")
    image = decoded(png_uri(codes, {1: "#112233", 3: "#ff0000"}), "png")
    np.testing.assert_array_equal(np.asarray(image), codes)
    colours = np.asarray(image.convert("RGB"))
    assert colours[0].tolist() == [[255, 255, 255], [0x11, 0x22, 0x33], [255, 0, 0]]


def test_pictures_are_opaque_where_they_have_data() -> None:
    picture = np.full((16, 24, 3), 0.5)
    image = decoded(webp_uri(picture, 90), "webp")
    assert (image.mode, image.size) == ("RGB", (24, 16))
    assert abs(np.asarray(image).astype(int) - 128).max() < 4
    opacity = np.zeros((16, 24))
    opacity[:8] = 1
    found = np.asarray(decoded(webp_uri(np.dstack([picture, opacity]), 90), "webp"))
    np.testing.assert_array_equal(found[..., 3] == 255, opacity == 1)

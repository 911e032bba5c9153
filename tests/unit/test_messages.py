"""*Troubleshooting* has every message that a user can meet; docs/messages.py makes its pages."""

from __future__ import annotations

import ast
import html
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType

import house
import numpy as np
import pytest
import xarray as xr

import odc_cleansat
from odc_cleansat.masks.presets import get_preset
from odc_cleansat.products import accept
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.synthetic.scene import SimulatedScene


@cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("messages", house.ROOT / "docs" / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["messages"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def listed() -> str:
    """All pages as a reader sees them."""
    text = "\n".join(script().pages().values())
    return html.unescape(re.sub(r"</?code>", "`", re.sub("</?em>", "", text)))


def raised() -> Iterator[tuple[str, list[str]]]:
    """The texts within each `raise` of the source: where, and the parts between their values."""
    for path in house.modules():
        for node in ast.walk(house.parsed(path)):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            for text in node.exc.args:
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                said = [v.value for v in parts if isinstance(v, ast.Constant)]
                words = [" ".join(each.split()) for each in said if isinstance(each, str)]
                if len(re.findall(r"\b[a-z]{2,}\b", " ".join(words))) >= 2:
                    yield f"{path.name}:{node.lineno}", words


def test_every_raised_message_is_on_a_page() -> None:
    found = list(raised())
    assert len(found) > 400
    lines = listed().splitlines()
    missing = {
        (where, *parts)
        for where, parts in found
        if not any(all(part in line for part in parts) for line in lines)
    }
    assert missing == set()


def scene(**changes: object) -> xr.Dataset:
    return SimulatedScene(shape=(60, 60), **changes).to_xarray(20)  # type: ignore[arg-type]


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "a folder that is not there": (lambda: read_scene("nowhere"), "scenes"),
    "too few bands": (lambda: odc_cleansat.classify(scene()[["B03", "B04"]], offset=0), "scenes"),
    "no grid": (
        lambda: odc_cleansat.classify(xr.Dataset({"red": (("y", "x"), np.ones((9, 9)))})),
        "scenes",
    ),
    "a preset": (lambda: get_preset("strict"), "masks"),
    "a model": (lambda: odc_cleansat.get_model("unet"), "models"),
    "a composite without a mask": (lambda: odc_cleansat.composite(scene()), "masks"),
    "a dilation": (lambda: odc_cleansat.classify(scene(), offset=0, dilation={"cloud": -1}), "masks"),
    "an offset": (lambda: odc_cleansat.classify(scene(), offset="none"), "masks"),
    "a simulated grid": (lambda: SimulatedScene(shape=(60, 60)).to_xarray(15), "scenes"),
    "no mask product": (lambda: accept("nowhere", by="A. Name"), "products"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_a_user_meets_is_found(name: str) -> None:
    """The message as it is raised, with its values."""
    call, topic = WRONG[name]
    with pytest.raises(odc_cleansat.CleansatError) as caught:
        call()
    found = script().look_up(str(caught.value))
    assert found, caught.value
    assert len(found[0].text) >= 25, found[0].text
    assert topic in {each.topic for each in found}


@pytest.mark.parametrize(
    ("words", "topic"),
    [
        ("there is no folder /data/x; give the folder that holds", "scenes"),
        ("class codes are uint8", "masks"),
        ("Error: give --store for your datacube", "commands"),
        ("the server answers 403 Forbidden. For a repository", "models"),
    ],
)
def test_some_words_of_a_message_find_it(words: str, topic: str) -> None:
    """As the page on troubleshooting says."""
    found = script().look_up(words)
    assert found[0].topic == topic
    assert len(found) <= 5


def test_words_that_no_message_has_find_nothing() -> None:
    assert script().look_up("snow leopards purr") == []


def test_what_is_explained_is_still_said() -> None:
    script_ = script()
    texts = [message.text for message in script_.messages()]
    gone = [
        each["message"]
        for each in script_.helps()
        if not any(script_.fits(each["message"], text) for text in texts)
    ]
    assert gone == []


def test_every_topic_has_a_page_in_the_contents() -> None:
    contents = (house.ROOT / "mkdocs.yml").read_text("utf-8")
    index = (house.ROOT / "docs/troubleshooting/index.md").read_text("utf-8")
    for topic in script().TOPICS:
        assert f"troubleshooting/{topic}.md" in contents
        assert f"]({topic}.md)" in index

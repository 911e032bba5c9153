"""Which prediction belongs to which label: by patterns of paths, or the layout of a known dataset."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import SceneError
from .mappings import MAPPINGS, ClassMapping
from .rasters import Case, ClassRaster

SCENE = "{scene}"
"""Stands for a scene's name in the path of labels and predictions."""

_RASTERS = (".tif", ".tiff", ".jp2", ".vrt", ".img")


@dataclass(frozen=True)
class Layout:
    """How a public dataset keeps its labels."""

    name: str
    """By which it is found."""

    patterns: tuple[str, ...]
    """Below its folder; the first that finds anything counts. A scene is what takes the place of
    ``{scene}``, which may hold slashes."""

    mapping: ClassMapping
    """Of the labels."""

    source: str
    """Where it is described."""


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "cloudsen12",
            ("**/{scene}/labels/manual_hq.tif",),
            MAPPINGS["cloudsen12"],
            "high/ROI/S2_ID/labels/manual_hq.tif in the GeoTIFF edition: https://cloudsen12.github.io",
        ),
        Layout(
            "on-cloud-n",
            ("train_labels/{scene}.tif", "test_labels/{scene}.tif", "{scene}.tif"),
            MAPPINGS["on-cloud-n"],
            "train_labels/CHIP_ID.tif: https://www.drivendata.org/competitions/83/cloud-cover/page/398",
        ),
    )
}
"""A scene of ``cloudsen12`` is named ``ROI_0001/20200215T082021_20200215T084629_T34JCP``, one of
``on-cloud-n`` after its chip."""


def find_labels(path: str) -> dict[str, str]:
    """The labels that a path stands for.

    Parameters
    ----------
    path
        A file; a folder of files, each named after its scene; or a path with ``{scene}`` in it, for one
        name of a file or folder, and the wildcards ``*``, ``?`` and ``**``.

    Returns
    -------
    dict
        Paths by scene, in the order of their names; a single file's scene is its name without suffix.

    Raises
    ------
    SceneError
        If there is none.
    """
    if SCENE in path:
        found = _scenes(path, "[^/]+")
    elif Path(path).is_dir():
        found = {p.stem: str(p) for p in _rasters(Path(path))}
    else:
        return {Path(path).stem: path}
    if not found:
        raise SceneError(
            f"no label is found by {path}; give a file, a folder of GeoTIFFs, or a pattern such as "
            f"labels/{SCENE}.tif."
        )
    return found


def find_layout(folder: str, layout: str) -> dict[str, str]:
    """The labels of a dataset that is kept as its makers publish it.

    Parameters
    ----------
    folder
        Of the dataset, or of a part of it.
    layout
        A name in :data:`LAYOUTS`.

    Returns
    -------
    dict
        Paths by scene.

    Raises
    ------
    SceneError
        If there are none, or no such layout is known.
    """
    if layout not in LAYOUTS:
        raise SceneError(f"there is no layout {layout!r}; choose from {', '.join(LAYOUTS)}.")
    known = LAYOUTS[layout]
    for pattern in known.patterns:
        name = "[^/]+/[^/]+" if pattern.startswith("**/") else "[^/]+"
        root = folder.rstrip("/")
        if found := _scenes(f"{root}/{pattern}", name):
            return found
    raise SceneError(
        f"{folder} has no labels of the layout {layout} ({' or '.join(known.patterns)})."
    )


def find_prediction(path: str, scene: str) -> str:
    """The prediction of a scene.

    Parameters
    ----------
    path
        A file; a folder of files, each with the scene's name in its own; or a path with ``{scene}`` in it
        and wildcards.
    scene
        Its name.

    Raises
    ------
    SceneError
        If it is not there, or several files might be it.
    """
    if SCENE in path:
        wanted = path.replace(SCENE, glob.escape(scene) if glob.has_magic(path) else scene)
        if not glob.has_magic(path):
            found = [wanted] if "://" in wanted or Path(wanted).exists() else []
        else:
            found = glob.glob(wanted, recursive=True)
    elif Path(path).is_dir():
        for suffix in _RASTERS:
            if (exact := Path(path) / f"{scene}{suffix}").is_file():
                return str(exact)
        wanted = f"{path} (named after {scene})"
        # A slash in the name of a scene is a folder, or an underscore.
        parts = [re.escape(part) for part in scene.split("/")]
        named = re.compile(rf"(?<![A-Za-z0-9]){'[/_]+'.join(parts)}(?![A-Za-z0-9])")
        below = ((p, p.relative_to(path).as_posix()) for p in _rasters(Path(path), deep=True))
        found = [str(p) for p, inside in below if named.search(inside)]
        if len(found) > 1:  # a mask product has its confidence beside it
            found = [each for each in found if each.endswith("ucl.tif")] or found
    else:
        return path
    if len(found) != 1:
        problem = f"{len(found)} files match" if found else "no file matches"
        raise SceneError(
            f"the prediction of {scene}: {problem} {wanted}; give a pattern with {SCENE} that names one."
        )
    return found[0]


def find_predictions(
    scenes: Iterable[str],
    predictions: Mapping[str, tuple[str, ClassMapping]],
    *,
    mosaics: bool = False,
) -> dict[str, dict[str, ClassRaster]]:
    """The predictions of all scenes.

    Parameters
    ----------
    scenes
        Their names.
    predictions
        By predictor, the path as for :func:`find_prediction` and its mapping.
    mosaics
        Whether a path of one file may serve several scenes.

    Returns
    -------
    dict
        By scene, the rasters by predictor.

    Raises
    ------
    SceneError
        If a prediction is missing, or one file would serve several scenes.
    """
    found: dict[str, dict[str, ClassRaster]] = {scene: {} for scene in scenes}
    for name, (path, mapping) in predictions.items():
        single = SCENE not in path and not Path(path).is_dir()
        if single and len(found) > 1 and not mosaics:
            raise SceneError(
                f"there are {len(found)} scenes with labels and one file {path} of {name}; give a folder, or a "
                f"path with {SCENE}."
            )
        served: dict[str, str] = {}
        for scene, rasters in found.items():
            uri = find_prediction(path, scene)
            if not single and served.setdefault(uri, scene) != scene:
                raise SceneError(
                    f"{uri} would be the prediction by {name} of both {served[uri]} and {scene}; one of theirs is "
                    f"missing, or the names are too much alike: give a pattern with {SCENE} that tells them apart."
                )
            rasters[name] = ClassRaster(uri, mapping)
    return found


def pair(
    labels: Mapping[str, str],
    label_mapping: ClassMapping,
    predictions: Mapping[str, tuple[str, ClassMapping]],
) -> list[Case]:
    """Put labels and predictions together.

    Parameters
    ----------
    labels
        Paths by scene.
    label_mapping
        Of all labels.
    predictions
        By predictor, the path as for :func:`find_prediction` and its mapping.

    Raises
    ------
    SceneError
        If a prediction is missing, or one file would serve several scenes.
    """
    found = find_predictions(labels, predictions)
    return [
        Case(scene, ClassRaster(label, label_mapping), found[scene])
        for scene, label in labels.items()
    ]


def _scenes(pattern: str, name: str) -> dict[str, str]:
    """Files that match, by what stands for the scene."""
    paths = glob.glob(
        pattern.replace(SCENE, "*/*" if "/" in name.replace("[^/]", "") else "*"), recursive=True
    )
    matcher = re.compile(_expression(pattern, name))
    found: dict[str, str] = {}
    for path in sorted(paths):
        if match := matcher.fullmatch(Path(path).as_posix()):
            scene = match["scene"]
            if scene in found:
                raise SceneError(
                    f"the scene {scene} has two labels, {found[scene]} and {path}; give a narrower pattern."
                )
            found[scene] = path
    return found


def _expression(pattern: str, name: str) -> str:
    """A glob as a regular expression, with a group for the scene."""
    parts = re.split(r"(\{scene\}|\*\*/|\*\*|\*|\?)", Path(pattern).as_posix())
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    seen = False
    found = []
    for part in parts:
        if part == SCENE:
            found.append("(?P=scene)" if seen else f"(?P<scene>{name})")
            seen = True
        else:
            found.append(meaning.get(part, re.escape(part)))
    return "".join(found)


def _rasters(folder: Path, deep: bool = False) -> Iterable[Path]:
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(p for p in paths if p.suffix.lower() in _RASTERS and p.is_file())

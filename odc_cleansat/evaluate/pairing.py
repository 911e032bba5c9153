"""Find the prediction of each label: by patterns of paths, or by the layout of a known dataset."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..arguments import meant
from ..errors import SceneError
from .mappings import MAPPINGS, ClassMapping
from .rasters import Case, ClassRaster

SCENE = "{scene}"
"""Placeholder for the name of a scene in the path of labels and predictions."""

_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img")


@dataclass(frozen=True)
class Layout:
    """How a public dataset keeps its labels."""

    name: str
    """Name by which it is found."""

    patterns: tuple[str, ...]
    """Paths of the labels below the folder of the dataset; the first that finds a file counts. The name of
    the scene takes the place of ``{scene}``."""

    mapping: ClassMapping
    """Mapping of the labels."""

    source: str
    """Where the layout is described."""

    nested: bool = False
    """Whether the name of a scene is two folders, with a slash between."""


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "cloudsen12",
            ("**/{scene}/labels/manual_hq.tif",),
            MAPPINGS["cloudsen12"],
            "high/ROI/S2_ID/labels/manual_hq.tif in the GeoTIFF edition: https://cloudsen12.github.io",
            nested=True,
        ),
        Layout(
            "on-cloud-n",
            ("train_labels/{scene}.tif", "test_labels/{scene}.tif", "{scene}.tif"),
            MAPPINGS["on-cloud-n"],
            "train_labels/CHIP_ID.tif: https://www.drivendata.org/competitions/83/cloud-cover/page/398",
        ),
    )
}
"""The known layouts. A scene of ``cloudsen12`` has a name like
``ROI_0001/20200215T082021_20200215T084629_T34JCP``, and a scene of ``on-cloud-n`` that of its chip."""


def find_labels(path: str) -> dict[str, str]:
    """Find the labels below a path.

    Parameters
    ----------
    path
        A file; a folder of files, each named after its scene; or a path with ``{scene}`` in it. ``{scene}``
        stands for one name of a file or folder. The path may have the wildcards ``*``, ``?`` and ``**``.

    Returns
    -------
    dict
        Paths by scene, in the order of their names. The scene of a single file is its name without suffix.

    Raises
    ------
    SceneError
        If there are no labels, or two for one scene.
    """
    if SCENE in path:
        found = _files_by_scene(path)
    elif Path(path).is_dir():
        found = {p.stem: str(p) for p in _rasters(Path(path).iterdir())}
    else:
        return {Path(path).stem: path}
    if not found:
        raise SceneError(
            f"no label is found by {path}; give a file, a folder of GeoTIFFs, or a pattern such as "
            f"labels/{SCENE}.tif."
        )
    return found


def find_layout(folder: str, layout: str) -> dict[str, str]:
    """Find the labels of a dataset that is kept as its makers publish it.

    Parameters
    ----------
    folder
        Folder of the dataset, or of a part of it.
    layout
        A name in :data:`LAYOUTS`.

    Returns
    -------
    dict
        Paths by scene.

    Raises
    ------
    SceneError
        If there are no labels, or no such layout is known.
    """
    if layout not in LAYOUTS:
        raise SceneError(
            f"there is no layout {layout!r}; choose from {', '.join(LAYOUTS)}.{meant(layout, LAYOUTS)}"
        )
    known = LAYOUTS[layout]
    for pattern in known.patterns:
        if found := _files_by_scene(f"{folder.rstrip('/')}/{pattern}", nested=known.nested):
            return found
    raise SceneError(
        f"{folder} has no labels of the layout {layout} ({' or '.join(known.patterns)})."
    )


def find_prediction(path: str, scene: str) -> str:
    """Find the prediction of a scene.

    Parameters
    ----------
    path
        A file; a folder of files, each with the scene's name in its own; or a path with ``{scene}`` in it
        and wildcards.
    scene
        Name of the scene.

    Returns
    -------
    str
        Path or URL.

    Raises
    ------
    SceneError
        If there is no such file, or there are several.
    """
    if SCENE in path:
        wildcards = glob.has_magic(path)
        wanted = path.replace(SCENE, glob.escape(scene) if wildcards else scene)
        found = glob.glob(wanted, recursive=True) if wildcards else _if_there(wanted)
    elif Path(path).is_dir():
        wanted = f"{path} (named after {scene})"
        found = _files_named_after(Path(path), scene)
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
    """Find the predictions of all scenes.

    Parameters
    ----------
    scenes
        Names of the scenes.
    predictions
        By predictor, the path as for :func:`find_prediction` and its mapping.
    mosaics
        Whether a path of one file may be the prediction of several scenes.

    Returns
    -------
    dict
        By scene, the rasters by predictor.

    Raises
    ------
    SceneError
        If a prediction is missing, or one file would be the prediction of several scenes.
    """
    found: dict[str, dict[str, ClassRaster]] = {scene: {} for scene in scenes}
    for name, (path, mapping) in predictions.items():
        single = SCENE not in path and not Path(path).is_dir()
        if single and len(found) > 1 and not mosaics:
            raise SceneError(
                f"there are {len(found)} scenes with labels and one file {path} of {name}; give a folder, or a "
                f"path with {SCENE}."
            )
        scene_of: dict[str, str] = {}
        for scene, rasters in found.items():
            uri = find_prediction(path, scene)
            if not single and scene_of.setdefault(uri, scene) != scene:
                raise SceneError(
                    f"{uri} would be the prediction by {name} of both {scene_of[uri]} and {scene}; one of theirs is "
                    f"missing, or the names are too much alike: give a pattern with {SCENE} that tells them apart."
                )
            rasters[name] = ClassRaster(uri, mapping)
    return found


def pair(
    labels: Mapping[str, str],
    label_mapping: ClassMapping,
    predictions: Mapping[str, tuple[str, ClassMapping]],
) -> list[Case]:
    """Pair each label with its predictions.

    Parameters
    ----------
    labels
        Paths by scene.
    label_mapping
        Mapping of all labels.
    predictions
        By predictor, the path as for :func:`find_prediction` and its mapping.

    Raises
    ------
    SceneError
        If a prediction is missing, or one file would be the prediction of several scenes.
    """
    found = find_predictions(labels, predictions)
    return [
        Case(scene, ClassRaster(label, label_mapping), found[scene])
        for scene, label in labels.items()
    ]


# --- files ----------------------------------------------------------------------------


def _files_by_scene(pattern: str, nested: bool = False) -> dict[str, str]:
    """Return the files that match a pattern, by the name in place of ``{scene}``."""
    paths = glob.glob(pattern.replace(SCENE, "*/*" if nested else "*"), recursive=True)
    matcher = re.compile(_expression(pattern, "[^/]+/[^/]+" if nested else "[^/]+"))
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
    """Return a pattern as a regular expression, with a group for the scene."""
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


def _if_there(path: str) -> list[str]:
    """Return a path if there is such a file, and a URL in any case."""
    return [path] if "://" in path or Path(path).exists() else []


def _files_named_after(folder: Path, scene: str) -> list[str]:
    """Return the rasters in a folder with the scene's name in their own; only the one that is equal, if there is."""
    for suffix in _SUFFIXES:
        if (exact := folder / f"{scene}{suffix}").is_file():
            return [str(exact)]
    # A slash in the name of a scene is a folder, or an underscore.
    name = "[/_]+".join(re.escape(part) for part in scene.split("/"))
    named = re.compile(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])")
    below = _rasters(folder.rglob("*"))
    found = [str(p) for p in below if named.search(p.relative_to(folder).as_posix())]
    if len(found) > 1:  # a mask product has its confidence beside it
        return [each for each in found if each.endswith("ucl.tif")] or found
    return found


def _rasters(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in _SUFFIXES and p.is_file())

"""The photographs that the demo cuts up: those in the scikit-image wheel, or the user's own.

They are opened by path. scikit-image's own functions are not used: they may download.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WHEEL_PHOTOGRAPHS", "NoPicturesError", "Photograph", "photographs_in", "wheel_folder"]

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class NoPicturesError(ValueError):
    """There is nothing to cut up; the message says where it was looked for."""


@dataclass(frozen=True)
class Photograph:
    """One picture file and the label of everything cut from it."""

    path: Path
    label: str


@dataclass(frozen=True)
class WheelPhotograph:
    """A photograph in the scikit-image wheel, with the licence its documentation states."""

    file_name: str
    label: str
    title: str
    licence: str


WHEEL_PHOTOGRAPHS = (
    WheelPhotograph(
        "astronaut.png", "astronaut", "Astronaut Eileen Collins, by NASA", "public domain"
    ),
    WheelPhotograph("brick.png", "brick", "Brick wall, from CC0Textures", "CC0"),
    WheelPhotograph("camera.png", "camera", "Photographer and camera, by Lav Varshney", "CC0"),
    WheelPhotograph("cell.png", "cell", "Cell moving against glass", "CC0"),
    WheelPhotograph("chelsea.png", "chelsea", "Chelsea the cat, by Stefan van der Walt", "CC0"),
    WheelPhotograph(
        "clock_motion.png",
        "clock",
        "Clock, camera in motion, by Stefan van der Walt",
        "public domain",
    ),
    WheelPhotograph("coffee.png", "coffee", "Cup of coffee, by Rachel Michetti", "CC0"),
    WheelPhotograph("grass.png", "grass", "Grass, by linolafett", "CC0"),
    WheelPhotograph("gravel.png", "gravel", "Gravel, from CC0Textures", "CC0"),
    WheelPhotograph(
        "hubble_deep_field.jpg", "hubble", "Hubble eXtreme Deep Field, by NASA", "public domain"
    ),
    WheelPhotograph("retina.jpg", "retina", "Human retina, by Mikael Häggström", "CC0"),
    WheelPhotograph(
        "rocket.jpg", "rocket", "Falcon 9 before its launch, by SpaceX", "public domain"
    ),
)


def wheel_folder() -> Path:
    """The folder of the installed scikit-image that holds its pictures."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


def photographs_in(images: Path | None) -> list[Photograph]:
    """The photographs below `images`, or those of the scikit-image wheel if it is None.

    Args:
        images: A folder with a sub-folder for each label, or a flat one, where the label of
            each picture is its file name without the ending.

    Raises:
        NoPicturesError: There is none.
    """
    found = _in_wheel() if images is None else _in_folder(images)
    if not found:
        raise NoPicturesError(
            "The installed scikit-image carries none of the demo's photographs: "
            "give pictures of your own with --images DIR."
            if images is None
            else f"No pictures in {images} or its sub-folders "
            f"({', '.join(sorted(PICTURE_SUFFIXES))})."
        )
    return found


def _in_wheel() -> list[Photograph]:
    folder = wheel_folder()
    return [
        Photograph(folder / each.file_name, each.label)
        for each in WHEEL_PHOTOGRAPHS
        if (folder / each.file_name).is_file()
    ]


def _in_folder(images: Path) -> list[Photograph]:
    labelled = [
        Photograph(path, folder.name)
        for folder in sorted(images.iterdir())
        if folder.is_dir()
        for path in _pictures(folder)
    ]
    return labelled or [Photograph(path, path.stem) for path in _pictures(images)]


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    )

#!/usr/bin/env python3
"""Writes one picture and its labels in the encodings that labs have them in.

usage: python3 make_same_picture.py FOLDER

FOLDER/same.json lists them: the paths of images and labels, the options that reading them takes,
what a reader has to find (shape, sum and the value at [-1, 5, 7] of the images, the pixels of
foreground, and how many labels are known), and the case whose outcome is the same to the last
digit, because it is the same picture (`like`). `only_eval`: the labels say the same, but a training
would draw its patches from another part of the volume. `prediction`: what is evaluated in place of
what a network predicts, where labels go with the numbers in the names of its files.
"""

import json
import sys
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tensorstore
import tifffile
import zarr

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
CASES = []
Z, Y, X = 24, 40, 56


def made():
    """Smooth grey noise with two dark bodies, and the bodies."""
    random = np.random.default_rng(11)
    grey = random.random((Z, Y, X))
    for axis in range(3):
        grey = sum(np.roll(grey, shift, axis) for shift in (-1, 0, 1)) / 3
    grey = (grey - grey.min()) / np.ptp(grey)
    z, y, x = np.ogrid[:Z, :Y, :X]
    bodies = ((z - 9) / 7) ** 2 + ((y - 14) / 9) ** 2 + ((x - 19) / 12) ** 2 < 1
    bodies |= ((z - 16) / 6) ** 2 + ((y - 29) / 8) ** 2 + ((x - 40) / 10) ** 2 < 1
    return (60 + 195 * grey - 60 * bodies).astype(np.uint8), bodies


RAW, BODIES = made()
MASK = BODIES.astype(np.uint8)


def case(name, raw, labels, like=None, options=(), image=RAW, bodies=BODIES, known=None, **more):
    known = np.ones(image.shape, bool) if known is None else known
    CASES.append(
        {
            "name": name,
            "raw": str(OUT / raw),
            "labels": str(OUT / labels),
            "options": options,
            "like": like,
            "shape": image.shape,
            "sum": float(image.astype(np.float64).sum()),
            "value": float(image[-1, 5, 7]),
            "foreground": int((bodies & known).sum()),
            "known": int(known.sum()),
            **more,
        }
    )


def tiff(name, array, **options):
    tifffile.imwrite(OUT / name, array, photometric="minisblack", **options)


def ome(name, array, axes, version, scale=None, shift=None, unit=None):
    """An OME-Zarr image of one level."""
    steps = [{"type": "scale", "scale": scale or [1.0] * array.ndim}]
    if shift:
        steps.append({"type": "translation", "translation": shift})
    about = [{"name": a, "type": "space", **({"unit": unit} if unit else {})} for a in axes]
    level = {"path": "0", "coordinateTransformations": steps}
    images = [{"version": version, "axes": about, "datasets": [level]}]
    is_old = version == "0.4"
    group = zarr.open_group(str(OUT / name), mode="w", zarr_format=2 if is_old else 3)
    chunks = tuple(min(side, 20) for side in array.shape)
    group.create_array("0", shape=array.shape, dtype=array.dtype, chunks=chunks)[:] = array
    group.attrs.update(
        {"multiscales": images} if is_old else {"ome": {"version": version, "multiscales": images}}
    )


def hdf5(name, array, keys=None):
    with h5py.File(OUT / name, "w") as file:
        data = file.create_dataset("data", data=array, chunks=True)
        if keys:
            axes = [{"key": k, "typeFlags": 1 if k == "c" else 2} for k in keys]
            data.attrs["axistags"] = json.dumps({"axes": axes})


def folder(name, sections, stem):
    (OUT / name).mkdir()
    for number, section in sections:
        tiff(f"{name}/{stem}{number:03}.tif", section)


turned = np.ascontiguousarray(RAW.T)
tiff("raw.tif", RAW)
tiff("mask.tif", MASK)
case("plain", "raw.tif", "mask.tif")

# Images.
ome("xyz_04.zarr", turned, "xyz", "0.4")
ome("xyz_05.zarr", turned, "xyz", "0.5")
ome("nm.zarr", RAW, "zyx", "0.4", [50.0, 5.0, 5.0], [100.0, 20.0, 30.0], "nanometer")
names = {"data": turned, "chunks": (20, 20, 20), "dimension_names": ["x", "y", "z"]}
zarr.create_array(str(OUT / "names.zarr"), **names)
hdf5("tags_xyz.h5", turned, "xyz")
hdf5("tags_zyxc.h5", RAW[..., None], "zyxc")
tiff("lzw.tif", RAW, compression="lzw", tile=(16, 48))
calibrated = {"imagej": True, "resolution": (1 / 5, 1 / 5)}
tiff("ij.tif", RAW, **calibrated, metadata={"axes": "ZYX", "spacing": 50, "unit": "nm"})
folder("raw", enumerate(RAW), "section_")
with mrcfile.new(OUT / "raw.mrc") as file:
    file.set_data(RAW.astype(np.uint16))
n5 = {"driver": "n5", "kvstore": {"driver": "file", "path": str(OUT / "raw.n5")}, "create": True}
sides = {"dimensions": [X, Y, Z], "blockSize": [20, 20, 20], "dataType": "uint8"}
n5["metadata"] = {**sides, "compression": {"type": "gzip"}}
tensorstore.open(n5).result().write(turned).result()
for name in (
    "xyz_04.zarr",
    "xyz_05.zarr",
    "nm.zarr",
    "names.zarr",
    "tags_xyz.h5",
    "tags_zyxc.h5",
    "lzw.tif",
    "ij.tif",
    "raw",
    "raw.mrc",
    "raw.n5",
):
    case(name, name, "mask.tif", "plain")

# The same in 16 bits.
wide = RAW.astype(np.uint16) * 200
tiff("u16.tif", wide)
tiff("u16_lzw.tif", wide, compression="lzw", tile=(16, 48), predictor=True)
case("u16", "u16.tif", "mask.tif", image=wide)
case("u16_lzw", "u16_lzw.tif", "mask.tif", "u16", image=wide)

# Labels.
for kind in ("uint64", "int64"):
    segments = BODIES.astype(kind) * 3
    tiff(f"{kind}.tif", segments)
    zarr.create_array(str(OUT / f"{kind}.zarr"), data=segments, chunks=(20, 20, 20))
    hdf5(f"{kind}.h5", segments)
    for ending in ("tif", "zarr", "h5"):
        case(f"{kind}.{ending}", "raw.tif", f"{kind}.{ending}", "plain")
zarr.create_array(str(OUT / "bool.zarr"), data=BODIES, chunks=(20, 20, 20))
case("bool.zarr", "raw.tif", "bool.zarr", "plain")
colours = np.zeros((3, 256), np.uint16)
colours[:, 1:] = np.random.default_rng(3).integers(0, 65535, (3, 255))
tifffile.imwrite(OUT / "palette.tif", MASK, photometric="palette", colormap=colours)
case("palette.tif", "raw.tif", "palette.tif", "plain")
tiff("one_two.tif", np.where(BODIES, 1, 2).astype(np.uint8))
case("one_two.tif", "raw.tif", "one_two.tif", "plain", ("--label-value", "1"))
folder("masks", enumerate(MASK, 5), "mask")
case("masks", "raw", "masks", "plain")

# Labels of a part: where the rest has a value of its own, and where it is not in the file.
IGNORE = ("--ignore-value", "255")


def partly(name, part, like=None, **more):
    known = np.zeros(RAW.shape, bool)
    known[part] = True
    tiff(name, np.where(known, MASK, 255).astype(np.uint8))
    case(name, "raw.tif", name, like, IGNORE, known=known, **more)
    return known


wrong = np.where(np.indices(MASK.shape).sum(axis=0) % 5 == 0, 1 - MASK, MASK)
tiff("prediction.tif", wrong)
folder("prediction", enumerate(wrong), "p")
STACK = {"prediction": str(OUT / "prediction.tif"), "only_eval": True}
FILES = {**STACK, "prediction": str(OUT / "prediction")}
band = np.s_[:, 14:]
known = partly("unknown.tif", band)
tiff("band.tif", MASK[band])
part = {"known": known, "only_eval": True}
case("band.tif", "raw.tif", "band.tif", "unknown.tif", ("--label-offset", "0,14,0"), **part)
sections = [4, 16]
known = partly("two.tif", np.s_[sections], **STACK)
folder("two", [(z, MASK[z]) for z in sections], "mask_")
case("two", "raw", "two", "two.tif", known=known, **FILES)
known = partly("one.tif", np.s_[[9]], **STACK)
folder("one", [(9, MASK[9])], "mask_")
case("one", "raw", "one", "one.tif", known=known, **FILES)
box = np.s_[3:21, 4:36, 6:52]
known = np.zeros(RAW.shape, bool)
known[box] = True
tiff("box.tif", MASK[box])
case("box.tif", "raw.tif", "box.tif", None, ("--label-offset", "3,4,6"), known=known)
nm = ([50.0, 5.0, 5.0], [250.0, 40.0, 60.0], "nanometer")
ome("box_nm.zarr", MASK[box], "zyx", "0.4", *nm)
case("box_nm.zarr", "nm.zarr", "box_nm.zarr", "box.tif", known=known)
ome("zyx.zarr", RAW, "zyx", "0.5")
ome("box_zyx.zarr", MASK[box], "zyx", "0.5", None, [3.0, 4.0, 6.0])
case("box_zyx.zarr", "zyx.zarr", "box_zyx.zarr", "box.tif", known=known)

# A short stack, as tifffile writes one that nobody told it of.
short = RAW[7:10].copy()
tiff("short.tif", short)
tifffile.imwrite(OUT / "short_rgb.tif", short)
tiff("short_mask.tif", MASK[7:10])
brief = {"image": short, "bodies": BODIES[7:10]}
case("short", "short.tif", "short_mask.tif", **brief)
case("short_rgb", "short_rgb.tif", "short_mask.tif", "short", ("--axes", "ZYX"), **brief)

(OUT / "same.json").write_text(json.dumps(CASES))

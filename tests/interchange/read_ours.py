#!/usr/bin/env python3
"""Opens what askem wrote with zarr-python and tifffile and says what is in it.

usage: python3 read_ours.py SCORES.zarr IMAGE.zarr SEGMENTATION.tif

Prints one JSON object; differences between the image and the TIFF, and faults of the metadata, end it with an error.
"""

import json
import sys

import numpy as np
import tifffile
import zarr

scores, image, tiff = sys.argv[1:]
store = zarr.open_group(scores, mode="r")
about = store.attrs["askem"]
assert store["scores"].dtype == "float32" and store["positions"].dtype == "int32"
assert store["embeddings"].dtype == "float16" and store["embeddings"].shape[1] == about["dim"]
assert np.isfinite(store["scores"][:]).all() and (store["positions"][:] >= 0).all()

group = zarr.open_group(image, mode="r")
(multiscales,) = group.attrs["ome"]["multiscales"]
assert group.attrs["ome"]["version"] == "0.5"
assert [axis["name"] for axis in multiscales["axes"]] == ["z", "y", "x"]
assert all(axis["unit"] == "nanometer" for axis in multiscales["axes"])
full = group["s0"][:]
for level, dataset in enumerate(multiscales["datasets"]):
    array = group[dataset["path"]]
    kinds = {t["type"]: t[t["type"]] for t in dataset["coordinateTransformations"]}
    assert kinds["scale"] == [40.0, 8.0 * 2**level, 4.5 * 2**level]
    shift = (2**level - 1) / 2
    assert kinds.get("translation", [0.0, 0.0, 0.0]) == [0.0, 8.0 * shift, 4.5 * shift]
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert array.shape == (full.shape[0], -(-full.shape[1] // 2**level), -(-full.shape[2] // 2**level))
if len(multiscales["datasets"]) > 1:
    coarse = group["s1"][:]
    even = full[:, : full.shape[1] // 2 * 2, : full.shape[2] // 2 * 2]
    means = even.reshape(full.shape[0], even.shape[1] // 2, 2, even.shape[2] // 2, 2).mean((2, 4))
    assert np.abs(coarse[:, : means.shape[1], : means.shape[2]] - means).max() < 1e-6
pages = tifffile.imread(tiff)
assert pages.dtype == full.dtype and pages.shape == full.shape and (pages == full).all()
with tifffile.TiffFile(tiff) as file:
    (series,) = file.series
    assert file.is_imagej and series.axes == "ZYX", series.axes
    about = file.imagej_metadata
    assert (about["unit"], about["spacing"], about["slices"]) == ("nm", 40.0, full.shape[0]), about
    for name, side in [("XResolution", 4.5), ("YResolution", 8.0)]:
        pixels, nm = file.pages[0].tags[name].value
        assert abs(nm / pixels - side) < 1e-6, (name, pixels, nm)
print(
    json.dumps(
        {
            "patches": store["scores"].shape[0],
            "best": int(store["scores"][:].argmax()),
            "levels": len(multiscales["datasets"]),
            "largest": float(full.max()),
        }
    )
)

"""Reads a query of a project as tifffile does, and writes labels for it with tifffile, zarr-python and h5py.

    answer_query.py PROJECT RAW.tif FOLDER

Prints the names of the written files, and writes what they hold as FOLDER/labels.bin (a byte a pixel).
"""
import json
import pathlib
import sys

import h5py
import numpy as np
import tifffile
import zarr

project, raw, out = (pathlib.Path(argument) for argument in sys.argv[1:])
query = project / "queries" / "000"
about = json.loads((query / "query.json").read_text())
volume = tifffile.imread(raw)
patch, margin = about["patch"], about["margin"]
with tifffile.TiffFile(query / "raw.tif") as file:
    assert file.is_imagej and file.series[0].axes == "ZYX", (file.is_imagej, file.series)
    pages = file.asarray()
context = tifffile.imread(query / "context.tif")
start = tifffile.imread(query / "start.tif")
assert list(volume.shape) == about["shape"]
assert pages.dtype == volume.dtype and start.shape == pages.shape and (start == 255).all()
padded = np.pad(volume, ((0, 0), (margin, margin), (margin, margin)))
for page in about["patches"]:
    z, y, x = page["z"], page["y"], page["x"]
    assert (pages[page["page"]] == volume[z, y : y + patch, x : x + patch]).all(), page
    wide = padded[z, y : y + patch + 2 * margin, x : x + patch + 2 * margin]
    assert (context[page["page"]] == wide).all(), page

rng = np.random.default_rng(3)
labels = rng.choice(np.array([0, 1, 254, 255], np.uint8), pages.shape)
tifffile.imwrite(out / "imagej.tif", labels, imagej=True, metadata={"axes": "ZYX"})
tifffile.imwrite(out / "tiled.tif", labels, tile=(16, 16), compression="zlib", photometric="minisblack")
zarr.create_array(str(out / "labels.zarr"), data=labels, chunks=(1, 20, 20))
with h5py.File(out / "labels.h5", "w") as file:
    file.create_dataset("labels", data=labels, compression="gzip")
(out / "labels.bin").write_bytes(labels.tobytes())
# The query's own OME-Zarr, in which the labels are painted.
image = zarr.open_group(str(query / "query.zarr"))
ome = image.attrs["ome"]
assert ome["version"] == "0.5" and [a["name"] for a in ome["multiscales"][0]["axes"]] == ["z", "y", "x"]
assert (image[ome["multiscales"][0]["datasets"][0]["path"]][:] == pages).all()
(name,) = image["labels"].attrs["ome"]["labels"]
painted = image["labels"][name]
assert painted.attrs["ome"]["image-label"]["source"]["image"] == "../../"
assert (painted["0"][:] == start).all()
painted["0"][:] = labels
print(f"imagej.tif\ntiled.tif\nlabels.zarr\nlabels.h5\n{query / 'query.zarr'}")

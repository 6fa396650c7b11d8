#!/usr/bin/env python3
"""Opens objects that askem wrote with tifffile and zarr-python, and measures them again.

usage: python3 read_objects.py PROBABILITIES.tif THRESHOLD OBJECTS.tif OBJECTS.zarr

The tables lie beside them, ending in .csv. Prints one JSON object; differences end it with an error.
"""

import csv
import json
import pathlib
import sys

import numpy as np
import tifffile
import zarr

probabilities, threshold, tiff, image = sys.argv[1:]
foreground = tifffile.imread(probabilities) > np.float32(threshold)
labels = tifffile.imread(tiff)
group = zarr.open_group(image, mode="r")
ome = group.attrs["ome"]
assert ome["version"] == "0.5" and "image-label" in ome, ome
assert group["s0"].dtype == "uint32" and labels.dtype == "uint16"
assert (group["s0"][:] == labels).all()
assert not labels[~foreground].any()
for dataset in ome["multiscales"][0]["datasets"]:
    assert set(np.unique(group[dataset["path"]][:])) <= set(np.unique(labels))

voxel = np.array([40.0, 8.0, 4.5])
tables = [pathlib.Path(path).with_suffix(".csv").read_text() for path in (tiff, image)]
assert tables[0] == tables[1]
rows = list(csv.DictReader(tables[0].splitlines()))
assert [int(row["label"]) for row in rows] == list(range(1, labels.max() + 1))
firsts = []
for row in rows:
    at = np.argwhere(labels == int(row["label"]))
    firsts.append(tuple(at[0]))
    numbers = {name: float(value) for name, value in row.items()}
    assert numbers["voxels"] == len(at)
    assert abs(numbers["volume_nm3"] / (len(at) * voxel.prod()) - 1) < 1e-6
    assert numbers["surface_nm2"] >= 0
    for i, axis in enumerate("zyx"):
        assert numbers[f"{axis}_min"] == at[:, i].min() and numbers[f"{axis}_max"] == at[:, i].max()
        assert abs(numbers[f"centroid_{axis}"] - at[:, i].mean()) < 1e-3
        assert abs(numbers[f"centroid_{axis}_nm"] / voxel[i] - at[:, i].mean()) < 1e-6 * (1 + at[:, i].mean())
assert firsts == sorted(firsts)
print(json.dumps({"objects": len(rows), "foreground": int(foreground.sum()), "voxels": int((labels > 0).sum())}))

#!/usr/bin/env python3
"""Writes small volumes as labs have them: axes in any order, channels, wide labels, odd tiles.

usage: python3 make_lab_files.py FOLDER

FOLDER/lab.json lists them: name, path of the volume, options that reading it takes, and either
shape, type and the file with its pixels as f64, or words that its refusal has to hold.
"""

import bz2
import gzip
import json
import struct
import sys
from itertools import permutations
from pathlib import Path

import containers
import h5py
import mrcfile
import numcodecs
import numpy as np
import tensorstore
import tifffile
import zarr

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
CASES = []
# No two sides alike, and none that a chunk divides.
SHAPE = (5, 37, 50)


def pixels(dtype="u1", seed=0, shape=SHAPE):
    """Numbers that differ from neighbour to neighbour along each axis."""
    z, y, x = np.indices(shape, dtype=np.int64)
    return ((1009 * z + 101 * y + 7 * x + 31 * seed) % 251).astype(dtype)


def labels(dtype):
    """Three segments, of which one has a number that no float holds, where there is room."""
    z, y, x = np.indices(SHAPE)
    largest = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    segments = np.zeros(SHAPE, dtype)
    segments[(y - 12) ** 2 + (x - 20) ** 2 < 60] = 1
    segments[(y - 25) ** 2 + (x - 35) ** 2 < 40] = largest - 1 if largest > 1 else 1
    segments[:, :3, :4] = largest
    return segments


def add(name, path, array, *options, kind="raw", **more):
    file = OUT / f"{name}.pixels"
    array = np.asarray(array)
    array.astype("<f8").tofile(file)
    dtype = {"b": "u1"}.get(array.dtype.kind, array.dtype.kind + str(array.dtype.itemsize))
    dtype = dtype[0] + str(8 * int(dtype[1:]))
    shape = (1,) * (3 - array.ndim) + array.shape
    foreground = int((array != 0).sum())
    case = {"shape": shape, "dtype": dtype, "pixels": str(file), "foreground": foreground, **more}
    if kind == "labels":
        values, counts = np.unique(array, return_counts=True)
        case["values"] = {str(int(value)): int(count) for value, count in zip(values, counts)}
    CASES.append({"name": name, "path": str(path), "options": options, "kind": kind, **case})


def refuse(name, path, *parts, options=(), kind="raw"):
    CASES.append(
        {"name": name, "path": str(path), "options": options, "kind": kind, "refused": parts}
    )


def stored(array, axes, **more):
    """An array of z, y, x in the order of `axes`; `more` says how long other axes are.

    The array lies at their last index.

    Elsewhere along them lies something else.
    """
    sides = [more.get(axis, 0) or array.shape["zyx".index(axis)] for axis in axes]
    whole = (np.indices(sides).sum(axis=0) % 13).astype(array.dtype)
    here = tuple(sides[i] - 1 if axis in more else slice(None) for i, axis in enumerate(axes))
    spatial = [axis for axis in axes if axis in "zyx"]
    dropped = array if "z" in spatial else array[0]
    names = "zyx" if "z" in spatial else "yx"
    whole[here] = np.transpose(dropped, [names.index(axis) for axis in spatial])
    return whole


def chosen(axes, **more):
    options = []
    for axis, option in (("c", "--channel"), ("t", "--time")):
        if more.get(axis, 1) > 1:
            options += [option, str(more[axis] - 1)]
    return options


# Axes as they come, with the lengths of those that are not in space.
ORDERS = [("".join(order), {}) for order in permutations("zyx")] + [
    ("czyx", {"c": 1}),
    ("czyx", {"c": 3}),
    ("zcyx", {"c": 1}),
    ("zyxc", {"c": 1}),
    ("zyxc", {"c": 2}),
    ("xyzc", {"c": 2}),
    ("tczyx", {"t": 1, "c": 1}),
    ("tczyx", {"t": 2, "c": 3}),
    ("txyzc", {"t": 1, "c": 1}),
    ("tyx", {"t": 1}),
    ("yxc", {"c": 1}),
    ("yxc", {"c": 3}),
]


def named(axes, more):
    return axes + "".join(str(more[axis]) for axis in axes if axis in more)


def expected(array, axes):
    return array if "z" in axes else array[:1]


def ome_axes(axes):
    kinds = {"c": "channel", "t": "time"}
    return [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]


def zarr_files():
    grey = pixels()
    for axes, more in ORDERS:
        data = stored(grey, axes, **more)
        chunks = tuple(min(side, 16) for side in data.shape)
        want = expected(grey, axes)
        for version, zarr_format in [("0.4", 2), ("0.5", 3)]:
            path = OUT / f"ome_{version}_{named(axes, more)}.zarr"
            group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
            group.create_array("0", data=data, chunks=chunks)
            datasets = [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [1.0] * data.ndim}],
                }
            ]
            multiscales = [{"version": version, "axes": ome_axes(axes), "datasets": datasets}]
            if zarr_format == 2:
                group.attrs["multiscales"] = multiscales
            else:
                group.attrs["ome"] = {"version": version, "multiscales": multiscales}
            add(path.stem, path, want, *chosen(axes, **more))
            if axes == "xyz":
                add(f"{path.stem}_array", path / "0", want)
        path = OUT / f"names_{named(axes, more)}.zarr"
        shards = {"shards": tuple(32 for _ in axes)} if axes == "xzy" else {}
        chunks = chunks if not shards else tuple(16 for _ in axes)
        zarr.create_array(path, data=data, chunks=chunks, dimension_names=list(axes), **shards)
        add(path.stem, path, want, *chosen(axes, **more))
        for zarr_format in [2, 3]:
            path = OUT / f"xarray{zarr_format}_{named(axes, more)}.zarr"
            order = {"order": "F"} if zarr_format == 2 and axes == "yxz" else {}
            array = zarr.create_array(
                path, data=data, chunks=chunks, zarr_format=zarr_format, **order
            )
            array.attrs["_ARRAY_DIMENSIONS"] = [
                {"z": "plane", "c": "Channel"}.get(axis, axis) for axis in axes
            ]
            add(path.stem, path, want, *chosen(axes, **more))
    # The layout of bioformats2raw, and labels beside an image.
    for zarr_format, version in [(2, "0.4"), (3, "0.5")]:
        for images in [1, 2]:
            path = OUT / f"converted_{zarr_format}_{images}.zarr"
            root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
            root.create_group("OME")
            layout = {"bioformats2raw.layout": 3}
            root.attrs.update(layout if zarr_format == 2 else {"ome": {"version": version, **layout}})
            steps = [{"type": "scale", "scale": [1.0] * 5}]
            for number in range(images):
                image = root.create_group(str(number))
                image.create_array("0", data=grey[None, None], chunks=(1, 1, 4, 16, 16))
                datasets = [{"path": "0", "coordinateTransformations": steps}]
                about = [{"version": version, "axes": ome_axes("tczyx"), "datasets": datasets}]
                if zarr_format == 2:
                    image.attrs["multiscales"] = about
                else:
                    image.attrs["ome"] = {"version": version, "multiscales": about}
            if images == 1:
                add(path.stem, path, grey)
            else:
                refuse(path.stem, path, "several images (0, 1)")
                add(f"{path.stem}_named", path / "1", grey)
    # Without names: lengths of 1 do not count, others are asked for.
    for shape in [(1, 1, 5, 37, 50), (5, 37, 50, 1), (1, 5, 37, 50, 1), (5, 1, 37, 50)]:
        name = "bare_" + "_".join(map(str, shape))
        zarr.create_array(
            OUT / f"{name}.zarr", data=grey.reshape(shape), chunks=tuple(min(16, s) for s in shape)
        )
        add(name, OUT / f"{name}.zarr", grey)
    zarr.create_array(OUT / "bare_2d.zarr", data=grey[0][..., None], chunks=(16, 16, 1))
    add("bare_2d", OUT / "bare_2d.zarr", grey[:1])
    data = stored(grey, "zyxc", c=2)
    path = OUT / "bare_zyxc.zarr"
    zarr.create_array(path, data=data, chunks=(4, 16, 16, 2))
    refuse("bare_zyxc", path, "5 x 37 x 50 x 2", "--axes")
    refuse("bare_zyxc_axes", path, "--channel N", options=["--axes", "ZYXC"])
    refuse("bare_zyxc_channel", path, "--channel 2", options=["--axes", "ZYXC", "--channel", "2"])
    refuse("bare_zyxc_letters", path, "--axes ZYX", options=["--axes", "ZYX"])
    add("bare_zyxc_chosen", path, grey, "--axes", "zyxc", "--channel", "1")
    path = OUT / "rgb_section.zarr"
    zarr.create_array(path, data=stored(grey, "yxc", c=3), chunks=(16, 16, 3))
    refuse("rgb_section", path, "channels", "--axes")
    path = OUT / "names_c3.zarr"
    zarr.create_array(
        path,
        data=stored(grey, "czyx", c=3),
        chunks=(1, 4, 16, 16),
        dimension_names=["c", "z", "y", "x"],
    )
    refuse("names_c3", path, "--channel N", "0 to 2")
    # The option counts more than names that are wrong.
    path = OUT / "wrong_names.zarr"
    zarr.create_array(path, data=grey, chunks=(4, 16, 16), dimension_names=["x", "y", "z"])
    add("wrong_names", path, grey, "--axes", "ZYX")
    path = OUT / "names_twice.zarr"
    zarr.create_array(path, data=grey, chunks=(4, 16, 16), dimension_names=["y", "y", "x"])
    refuse("names_twice", path, "twice", "--axes")
    path = OUT / "names_some.zarr"
    zarr.create_array(
        path, data=stored(grey, "xzy"), chunks=(16, 4, 16), dimension_names=["x", None, "y"]
    )
    add("names_some", path, grey)
    path = OUT / "names_times.zarr"
    zarr.create_array(path, data=grey, chunks=(4, 16, 16), dimension_names=["t", "y", "x"])
    refuse("names_times", path, "--time N", "--axes")
    add("names_times_axes", path, grey, "--axes", "ZYX")
    add("names_times_chosen", path, grey[2], "--time", "2")
    for dtype in ["u8", "i8", "?"]:
        for zarr_format in [2, 3]:
            kind = np.dtype(dtype).name
            path = OUT / f"labels_{kind}_{zarr_format}.zarr"
            zarr.create_array(
                path, data=stored(labels(dtype), "xyz"), chunks=(16, 16, 4), zarr_format=zarr_format
            )
            add(path.stem, path, labels(dtype), "--axes", "XYZ", kind="labels")


def write_n5(path, array, block, compression=None, **attributes):
    """Writes an array of z, y, x as N5 does, fastest axis first, blocks cut at the array's end."""
    compression = compression or {"type": "raw"}
    kind = compression["type"]
    pack = {
        "raw": bytes,
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "zstd": lambda data: bytes(numcodecs.Zstd().encode(data)),
        "blosc": lambda data: bytes(numcodecs.Blosc("lz4", shuffle=1).encode(data)),
    }[kind]
    path.mkdir(parents=True, exist_ok=True)
    metadata = {
        "dimensions": array.shape[::-1],
        "blockSize": block[::-1],
        "dataType": array.dtype.name,
        "compression": compression,
        **attributes,
    }
    (path / "attributes.json").write_text(json.dumps(metadata))
    for at in np.ndindex(*(-(-side // step) for side, step in zip(array.shape, block))):
        part = array[tuple(slice(i * step, (i + 1) * step) for i, step in zip(at, block))]
        if not part.any():
            continue
        file = path.joinpath(*map(str, at[::-1]))
        file.parent.mkdir(parents=True, exist_ok=True)
        header = struct.pack(f">HH{part.ndim}I", 0, part.ndim, *part.shape[::-1])
        numbers = part.astype(part.dtype.newbyteorder(">"))
        file.write_bytes(header + pack(np.ascontiguousarray(numbers).tobytes()))


def n5_files():
    packed = [
        {"type": "raw"},
        {"type": "gzip", "level": -1},
        {"type": "bzip2", "blockSize": 9},
        {"type": "zstd", "level": 3},
        {
            "type": "blosc",
            "cname": "lz4",
            "clevel": 5,
            "shuffle": 1,
            "blocksize": 0,
            "nthreads": 1,
        },
    ]
    for number, compression in enumerate(packed):
        for dtype in ["u1", "i2", "u4", "f4", "f8"]:
            grey = pixels(dtype)
            root = OUT / f"n5_{number}_{dtype}.n5"
            write_n5(root / "volumes" / "raw" / "s0", grey, (2, 16, 24), compression)
            (root / "attributes.json").write_text(json.dumps({"n5": "2.5.1"}))
            add(root.stem, root / "volumes" / "raw" / "s0", grey)
    # As tensorstore writes it.
    for number, compression in enumerate(packed):
        grey = pixels("u2")
        path = OUT / f"n5_tensorstore_{number}.n5"
        metadata = {
            "dataType": "uint16",
            "dimensions": SHAPE[::-1],
            "blockSize": [24, 16, 2],
            "compression": {
                key: value
                for key, value in compression.items()
                if key not in ("nthreads", "blocksize")
            },
        }
        written = tensorstore.open(
            {
                "driver": "n5",
                "kvstore": {"driver": "file", "path": str(path)},
                "metadata": metadata,
                "create": True,
            }
        ).result()
        written.write(np.ascontiguousarray(grey.T)).result()
        add(path.stem, path, grey)
    grey = pixels("u2")
    nm = {"pixelResolution": {"dimensions": [4.0, 5.0, 40.0], "unit": "nm"}}
    write_n5(OUT / "pyramid.n5" / "c0" / "s0", grey, (4, 16, 16), **nm)
    write_n5(OUT / "pyramid.n5" / "c0" / "s1", grey[::2, ::2, ::2], (4, 16, 16))
    (OUT / "pyramid.n5" / "attributes.json").write_text(json.dumps({"n5": "4.0.0"}))
    (OUT / "pyramid.n5" / "c0" / "attributes.json").write_text(json.dumps({"multiScale": True}))
    add("n5_pyramid", OUT / "pyramid.n5", grey, voxel_nm=[40.0, 5.0, 4.0])
    write_n5(OUT / "turned.n5", stored(grey, "xyz"), (16, 16, 4), axes=["z", "y", "x"])
    add("n5_turned", OUT / "turned.n5", grey)
    write_n5(OUT / "section.n5", grey[0], (16, 16))
    add("n5_section", OUT / "section.n5", grey[:1])
    write_n5(OUT / "channels.n5", stored(grey, "czyx", c=2), (1, 4, 16, 16))
    refuse("n5_channels", OUT / "channels.n5", "--axes")
    options = ["--axes", "XYZC", "--channel", "1"]
    add("n5_channels_axes", OUT / "channels.n5", grey, *options)
    for dtype in ["u8", "i8"]:
        path = OUT / f"labels_{np.dtype(dtype).name}.n5"
        write_n5(path, labels(dtype), (2, 16, 16), {"type": "gzip", "level": 1})
        add(f"n5_{path.stem}", path, labels(dtype), kind="labels")
    for name, said in [("lz4", '"lz4"'), ("useZlib", '"gzip", "useZlib": true')]:
        path = OUT / f"{name}.n5"
        write_n5(path, grey, (4, 16, 16))
        metadata = (path / "attributes.json").read_text().replace('"raw"', said)
        (path / "attributes.json").write_text(metadata)
        refuse(f"n5_{name}", path, name, "zstd")


def hdf5_files():
    grey = pixels("u2")
    for axes, more in ORDERS:
        data = stored(grey, axes, **more)
        want = expected(grey, axes)
        tags = [
            {"key": axis, "typeFlags": 1 if axis == "c" else 2, "resolution": 0, "description": ""}
            for axis in axes
        ]
        for storage in [{"chunks": True}, {}]:
            place = "chunked" if storage else "contiguous"
            path = OUT / f"tags_{named(axes, more)}_{place}.h5"
            with h5py.File(path, "w") as file:
                file.create_dataset("exported_data", data=data, **storage).attrs["axistags"] = (
                    json.dumps({"axes": tags})
                )
            add(path.stem, path, want, *chosen(axes, **more))
        path = OUT / f"dims_{named(axes, more)}.h5"
        with h5py.File(path, "w", userblock_size=512 if axes == "xyz" else 0) as file:
            dataset = file.create_dataset("volume/data", data=data, chunks=True, compression="gzip")
            for i, axis in enumerate(axes):
                dataset.dims[i].label = axis
            # What is no stack does not stand in the way.
            file["scale"] = np.eye(3)[0]
            file["note"] = "text"
        add(path.stem, path, want, *chosen(axes, **more))
    path = OUT / "dims_fixed.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=stored(grey, "yxz")).attrs["DIMENSION_LABELS"] = np.array(
            [b"Y", b"X", b"Z"], "S1"
        )
    add("dims_fixed", path, grey)
    path = OUT / "bare_zyxc.h5"
    with h5py.File(path, "w") as file:
        file["data"] = stored(grey, "zyxc", c=3)
    refuse("bare_zyxc_h5", path, "bare_zyxc.h5:/data", "--axes")
    add("bare_zyxc_h5_chosen", path, grey, "--axes", "ZYXC", "--channel", "2")
    for dtype in ["u8", "i8", "?"]:
        path = OUT / f"labels_{np.dtype(dtype).name}.h5"
        with h5py.File(path, "w") as file:
            file["labels"] = labels(dtype)
        more = {"dtype": "i8"} if dtype == "?" else {}
        add(path.stem + "_h5", path, labels(dtype), kind="labels", **more)


def tiff_files():
    grey = pixels("u2")
    write = tifffile.imwrite
    for axes, more in [
        ("tzcyx", {"t": 1, "c": 1}),
        ("tzcyx", {"t": 1, "c": 3}),
        ("tzcyx", {"t": 2, "c": 2}),
        ("tzcyx", {"t": 3, "c": 1}),
    ]:
        path = OUT / f"imagej_{named(axes, more)}.tif"
        write(path, stored(grey, axes, **more), imagej=True, metadata={"axes": axes.upper()})
        add(path.stem, path, grey, *chosen(axes, **more))
    # In the order of ImageJ: without --channel there is nothing to be read.
    refuse("imagej_channels", OUT / "imagej_tzcyx13.tif", "--channel N", "0 to 2")
    add(
        "imagej_pages",
        OUT / "imagej_tzcyx13.tif",
        stored(grey, "tzcyx", t=1, c=3).reshape(-1, 37, 50),
        "--axes",
        "ZYX",
    )
    path = OUT / "imagej_times.tif"
    write(path, grey, imagej=True, metadata={"axes": "TYX"})
    add("imagej_times", path, grey)
    add("imagej_time", path, grey[3], "--time", "3")
    for axes, more in [
        ("czyx", {"c": 2}),
        ("zcyx", {"c": 2}),
        ("tczyx", {"t": 2, "c": 3}),
        ("ctzyx", {"t": 2, "c": 2}),
        ("zcyx", {"c": 1}),
    ]:
        path = OUT / f"ome_{named(axes, more)}.ome.tif"
        write(
            path,
            stored(grey, axes, **more),
            ome=True,
            photometric="minisblack",
            metadata={"axes": axes.upper()},
        )
        add(f"ome_tiff_{named(axes, more)}", path, grey, *chosen(axes, **more))
    # Pages in another order than planes.
    plain = OUT / "ome_turned.ome.tif"
    planes = "".join(f'<TiffData FirstZ="{4 - z}" IFD="{z}" PlaneCount="1"/>' for z in range(5))
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="50" SizeY="37" SizeZ="5" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )
    write(plain, grey, photometric="minisblack", description=xml, metadata=None)
    add("ome_turned", plain, grey[::-1])
    path = OUT / "ome_two_images.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for image in [grey, grey[:2]]:
            writer.write(image, photometric="minisblack", metadata={"axes": "ZYX"})
    refuse("ome_two_images", path, "2 images", "--axes ZYX")
    for axes in ["xyz", "yxz", "zxy", "xzy", "yzx", "zyx"]:
        for byteorder in "<>":
            path = OUT / f"shaped_{axes}_{'big' if byteorder == '>' else 'little'}.tif"
            compression = {"compression": "zlib", "predictor": True} if axes == "xyz" else {}
            write(
                path,
                stored(grey, axes),
                photometric="minisblack",
                byteorder=byteorder,
                metadata={"axes": axes.upper()},
                **compression,
            )
            add(path.stem, path, grey)
        path = OUT / f"plain_{axes}.tif"
        write(path, stored(grey, axes), photometric="minisblack", metadata=None)
        add(path.stem, path, grey, "--axes", axes.upper())
    path = OUT / "shaped_czyx.tif"
    write(path, stored(grey, "czyx", c=2), photometric="minisblack")
    refuse("shaped_czyx", path, "--axes")
    add("shaped_czyx_axes", path, grey, "--axes", "CZYX", "--channel", "1")
    # A short stack that tifffile takes for a picture, and a picture.
    path = OUT / "three.tif"
    write(path, grey[:3], photometric="rgb", planarconfig="separate", metadata=None)
    refuse("three", path, "--axes ZYX")
    add("three_sections", path, grey[:3], "--axes", "ZYX")
    add("three_channels", path, grey[1], "--channel", "1")
    write(OUT / "three_default.tif", grey[:3].astype("u1"))
    add("three_default", OUT / "three_default.tif", grey[:3].astype("u1"), "--axes", "ZYX")
    write(OUT / "four_default.tif", grey[:4].astype("u1"))
    add("four_default", OUT / "four_default.tif", grey[:4].astype("u1"), "--axes", "ZYX")
    path = OUT / "rgb.tif"
    write(path, stored(grey, "zyxc", c=3), photometric="rgb")
    refuse("rgb", path, "--channel N")
    add("rgb_channel", path, grey, "--channel", "2")
    # LZW in tiles, of which the last ones may reach beyond the image.
    for dtype in ["u1", "u2", "u4", "f4"]:
        for size in [(5, 37, 50), (2, 64, 96), (2, 40, 56)]:
            for tile in [(16, 16), (16, 48), (32, 32), (64, 64)]:
                for predictor in [False, True]:
                    for byteorder in "<>":
                        order = "big" if byteorder == ">" else "little"
                        name = f"lzw_{dtype}_{size[1]}x{size[2]}_{tile[0]}x{tile[1]}_{int(predictor)}_{order}"
                        array = pixels(dtype, shape=size) * (3 if dtype == "f4" else 1)
                        if dtype == "f4":
                            array /= 7
                        options = {"predictor": 2 if predictor and dtype != "f4" else predictor}
                        write(
                            OUT / f"{name}.tif",
                            array,
                            photometric="minisblack",
                            compression="lzw",
                            tile=tile,
                            byteorder=byteorder,
                            **options,
                        )
                        add(name, OUT / f"{name}.tif", array)
    for white in ["minisblack", "miniswhite"]:
        path = OUT / f"lzw_{white}.tif"
        write(path, pixels("u1"), photometric=white, compression="lzw", tile=(16, 48))
        add(f"lzw_{white}", path, pixels("u1") if white == "minisblack" else 255 - pixels("u1"))
    path = OUT / "lzw_rgb.tif"
    write(
        path,
        np.repeat(pixels("u2")[..., None], 3, axis=-1),
        photometric="rgb",
        compression="lzw",
        tile=(16, 48),
        predictor=True,
    )
    add("lzw_rgb", path, pixels("u2"))
    path = OUT / "zstd.tif"
    write(path, grey, photometric="minisblack", compression="zstd", tile=(16, 48))
    add("zstd", path, grey)
    # Labels.
    for dtype in ["u8", "i8"]:
        for name, options in {
            "plain": {},
            "tiles": {"tile": (16, 48)},
            "lzw": {"tile": (16, 48), "compression": "lzw"},
        }.items():
            path = OUT / f"labels_{np.dtype(dtype).name}_{name}.tif"
            write(path, labels(dtype), photometric="minisblack", **options)
            add(path.stem + "_tif", path, labels(dtype), kind="labels")
        path = OUT / f"labels_{np.dtype(dtype).name}_xyz.tif"
        write(
            path, stored(labels(dtype), "xyz"), photometric="minisblack", metadata={"axes": "XYZ"}
        )
        add(path.stem + "_tif", path, labels(dtype), kind="labels")
    for depth in [8, 16]:
        colours = np.random.default_rng(3).integers(0, 65535, (3, 2**depth)).astype("u2")
        for byteorder in "<>":
            for big in [False, True]:
                path = (
                    OUT
                    / f"labels_palette_{depth}_{'big' if byteorder == '>' else 'little'}_{int(big)}.tif"
                )
                array = labels(f"u{depth // 8}")
                write(
                    path,
                    array,
                    photometric="palette",
                    colormap=colours,
                    byteorder=byteorder,
                    bigtiff=big,
                )
                add(path.stem, path, array, kind="labels")
    refuse("palette_raw", OUT / "labels_palette_8_little_0.tif", "palette holds colours")
    path = OUT / "jpeg2000.tif"
    write(path, pixels("u1"), photometric="minisblack", compression="jpeg2000")
    refuse("jpeg2000", path, "JPEG 2000")
    path = OUT / "volumetric.tif"
    write(
        path,
        pixels("u1", shape=(16, 48, 64)),
        photometric="minisblack",
        tile=(16, 16, 16),
        volumetric=True,
    )
    refuse("volumetric", path, "volumetric")
    for name in ["upper.TIF", "upper.TIFF"]:
        write(OUT / name, grey, photometric="minisblack")
        add(name, OUT / name, grey)
    folder = OUT / "folder"
    folder.mkdir()
    for x, section in enumerate(stored(grey, "xyz")):
        write(folder / f"{x:03}.TIF", section, photometric="minisblack", metadata=None)
    add("folder_xyz", folder, grey, "--axes", "XYZ")


def mrc_files():
    grey = pixels("i2")
    names = {"x": 1, "y": 2, "z": 3}
    for order in permutations("zyx"):
        axes = "".join(order)
        for ending in ["mrc", "REC", "ali", "ST", "map"]:
            if ending != "mrc" and axes != "xyz":
                continue
            path = OUT / f"mapped_{axes}.{ending}"
            with mrcfile.new(path) as file:
                file.set_data(np.ascontiguousarray(stored(grey, axes)))
                file.header.maps, file.header.mapr, file.header.mapc = (
                    names[axis] for axis in axes
                )
            add(f"mapped_{axes}_{ending}", path, grey)
    # Files of before there were stamps are told by their names.
    for ending in ["REC", "ali", "ST", "Map", "mrc"]:
        path = OUT / f"old.{ending}"
        with mrcfile.new(path) as file:
            file.set_data(grey)
        old = bytearray(path.read_bytes())
        old[64:76] = bytes(12)
        old[208:212] = bytes(4)
        path.write_bytes(old)
        add(f"old_{ending}", path, grey)
    path = OUT / "mapped_wrong.mrc"
    with mrcfile.new(path) as file:
        file.set_data(grey)
        file.header.maps, file.header.mapr, file.header.mapc = 1, 1, 1
    refuse("mapped_wrong", path, "--axes")
    add("mapped_wrong_axes", path, grey, "--axes", "ZYX")


def calibrated_files():
    """Voxels of 40 x 8 x 4 nm, wherever a format keeps that."""
    grey = pixels()
    size = {"z": 40, "y": 8, "x": 4}
    nm = [40, 8, 4]
    for version, zarr_format in [("0.4", 2), ("0.5", 3)]:
        for axes, unit, factor in [
            ("zyx", "nanometer", 1),
            ("xyzc", "micrometer", 1e-3),
            ("zyx", "angstrom", 10),
        ]:
            path = OUT / f"scale_{version}_{unit}.zarr"
            group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
            data = stored(grey, axes, **({"c": 1} if "c" in axes else {}))
            group.create_array("0", data=data, chunks=data.shape)
            scale = [size.get(axis, 1) * factor / 2 for axis in axes]
            datasets = [
                {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            ]
            of_all = [{"type": "scale", "scale": [2 if axis in size else 1 for axis in axes]}]
            named_axes = [
                dict(axis, unit=unit) if axis["type"] == "space" else axis
                for axis in ome_axes(axes)
            ]
            image = {
                "version": version,
                "axes": named_axes,
                "datasets": datasets,
                "coordinateTransformations": of_all,
            }
            if zarr_format == 2:
                group.attrs["multiscales"] = [image]
            else:
                group.attrs["ome"] = {"version": version, "multiscales": [image]}
            add(f"scale_{version}_{unit}", path, grey, voxel_nm=nm)
    for unit, factor in [("nm", 1), ("micron", 1000), ("\\u00B5m", 1000), ("um", 1000)]:
        path = OUT / f"scale_imagej_{factor}_{len(unit)}.tif"
        resolution = (factor / 4, factor / 8)
        metadata = {"axes": "ZYX", "spacing": 40 / factor, "unit": unit}
        tifffile.imwrite(path, grey, imagej=True, resolution=resolution, metadata=metadata)
        add(path.stem, path, grey, voxel_nm=nm)
    path = OUT / "scale.ome.tif"
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeZ": 0.04,
        "PhysicalSizeY": 8,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeX": 40,
        "PhysicalSizeXUnit": "Å",
    }
    tifffile.imwrite(path, grey, ome=True, photometric="minisblack", metadata=metadata)
    add("scale_ome_tiff", path, grey, voxel_nm=nm)
    for axes in ["zyx", "xyz"]:
        path = OUT / f"scale_{axes}.mrc"
        with mrcfile.new(path) as file:
            file.set_data(np.ascontiguousarray(stored(pixels("i2"), axes)))
            numbers = {"x": 1, "y": 2, "z": 3}
            file.header.maps, file.header.mapr, file.header.mapc = (numbers[axis] for axis in axes)
            file.header.mz, file.header.my, file.header.mx = SHAPE
            file.header.cella = tuple(
                10.0 * size[axis] * SHAPE["zyx".index(axis)] for axis in "xyz"
            )
        add(f"scale_mrc_{axes}", path, pixels("i2"), voxel_nm=nm)
    for name, key, values in [
        ("um", "element_size_um", [0.04, 0.008, 0.004]),
        ("cremi", "resolution", [40.0, 8.0, 4.0]),
    ]:
        path = OUT / f"scale_{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("volumes/raw", data=grey).attrs[key] = values
        add(f"scale_h5_{name}", path, grey, voxel_nm=nm)


zarr_files()
n5_files()
calibrated_files()
hdf5_files()
tiff_files()
mrc_files()
containers.write(sys.modules[__name__])
(OUT / "lab.json").write_text(json.dumps(CASES, indent=1))
print(f"{len(CASES)} files")

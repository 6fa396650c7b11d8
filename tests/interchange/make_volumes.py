#!/usr/bin/env python3
"""Writes small volumes with the writers that labs use, and what a reader has to get.

usage: python3 make_volumes.py FOLDER

FOLDER/cases.json lists them: name, path of the volume, shape, type, and the file with its pixels as f32.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorstore
import tifffile
import zarr
from numcodecs import Blosc, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
CASES = []
# Sides that no chunk divides.
SHAPE = (5, 37, 50)
CHUNKS = (2, 16, 32)


def pixels(dtype, shape=SHAPE, seed=0):
    """Smooth, so that codecs have something to do, with negative values where there can be any."""
    z, y, x = np.indices(shape[-3:], dtype=np.float64)
    values = 100 * np.sin(x / 7 + seed) + 20 * np.cos(y / 5) + 3 * z
    dtype = np.dtype(dtype)
    if dtype.kind == "u":
        values = np.abs(values)
    if dtype.itemsize > 1 and dtype.kind in "iu":
        values = values * 200
    return values.reshape(shape).astype(dtype)


def case(name, path, array, masked=None):
    expected = np.asarray(array if masked is None else masked).astype("<f4").reshape((-1, *array.shape[-2:]))
    file = OUT / f"{name}.f32"
    expected.tofile(file)
    kind = {"u": "u", "i": "i", "f": "f"}[array.dtype.kind] + str(8 * array.dtype.itemsize)
    CASES.append({"name": name, "path": str(path), "shape": expected.shape, "dtype": kind, "pixels": str(file)})


def zarr_case(name, array, **options):
    path = OUT / f"{name}.zarr"
    options.setdefault("chunks", CHUNKS[-array.ndim :])
    stored = zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    stored[...] = array
    case(name, path, array)


def zarr_volumes():
    grey = pixels("u1")
    for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"]:
        for version in [2, 3]:
            zarr_case(f"zarr{version}_{dtype}", pixels(dtype), zarr_format=version)
    two = {
        "none": None,
        "zstd": Zstd(level=3),
        "gzip": GZip(level=5),
        "zlib": Zlib(level=1),
        "blosc_lz4": Blosc("lz4", 5, Blosc.SHUFFLE),
        "blosc_zstd_bits": Blosc("zstd", 3, Blosc.BITSHUFFLE),
        "blosc_zlib": Blosc("zlib", 3, Blosc.NOSHUFFLE),
    }
    for name, compressor in two.items():
        zarr_case(f"zarr2_{name}", pixels("u2"), zarr_format=2, compressors=compressor)
    zarr_case("zarr2_big_endian", pixels(">i2"), zarr_format=2)
    zarr_case("zarr2_fortran", pixels("u2"), zarr_format=2, order="F")
    zarr_case("zarr2_slashes", grey, zarr_format=2, chunk_key_encoding={"name": "v2", "separator": "/"})
    three = {
        "none": None,
        "zstd": ZstdCodec(level=3),
        "zstd_checksum": ZstdCodec(level=1, checksum=True),
        "gzip": GzipCodec(level=5),
        "crc32c": Crc32cCodec(),
        "blosc_lz4": BloscCodec(cname="lz4", shuffle="shuffle"),
        "blosc_zstd_bits": BloscCodec(cname="zstd", shuffle="bitshuffle"),
    }
    for name, compressor in three.items():
        zarr_case(f"zarr3_{name}", pixels("u2"), zarr_format=3, compressors=compressor)
    zarr_case("zarr3_big_endian", pixels("u2"), serializer=BytesCodec(endian="big"))
    zarr_case("zarr3_transposed", pixels("u2"), filters=TransposeCodec(order=(2, 0, 1)))
    zarr_case("zarr3_sharded", pixels("u2"), shards=(4, 32, 64), compressors=ZstdCodec())
    zarr_case("zarr3_sharded_blosc", grey, shards=(2, 32, 64), compressors=BloscCodec(cname="lz4"))
    zarr_case("zarr3_keys_v2", grey, chunk_key_encoding={"name": "v2", "separator": "."})
    zarr_case("zarr3_2d", grey[0], chunks=(16, 32))
    five = grey.reshape((1, 1, *SHAPE))
    zarr_case("zarr2_5d", five, zarr_format=2, chunks=(1, 1, *CHUNKS))

    zarr_case("wide", pixels("u1", (2, 40, 600)), chunks=(1, 40, 128))

    # Chunks that nobody wrote are the fill value.
    for version in [2, 3]:
        path = OUT / f"zarr{version}_holes.zarr"
        stored = zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype="u1", fill_value=7, zarr_format=version)
        expected = np.full(SHAPE, 7, "u1")
        stored[2:4, 16:32, :32] = expected[2:4, 16:32, :32] = grey[2:4, 16:32, :32]
        case(f"zarr{version}_holes", path, expected)

    # A group with one array, and a pyramid whose first level counts.
    path = OUT / "group_of_one.zarr"
    zarr.open_group(path, mode="w").create_array("raw", data=grey, chunks=CHUNKS)
    case("group_of_one", path, grey)
    case("inside_a_group", path / "raw", grey)
    for version, zarr_format in [("0.4", 2), ("0.5", 3)]:
        path = OUT / f"ome_{version}.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
        group.create_array("s0", data=grey, chunks=CHUNKS)
        group.create_array("s1", data=grey[:, ::2, ::2], chunks=CHUNKS)
        axes = [{"name": name, "type": "space"} for name in "zyx"]
        datasets = [
            {"path": f"s{level}", "coordinateTransformations": [{"type": "scale", "scale": [1, 2**level, 2**level]}]}
            for level in range(2)
        ]
        multiscales = [{"version": version, "axes": axes, "datasets": datasets}]
        if zarr_format == 2:
            group.attrs["multiscales"] = multiscales
        else:
            group.attrs["ome"] = {"version": version, "multiscales": multiscales}
        case(f"ome_{version}", path, grey)


def tensorstore_volumes():
    def write(name, driver, array, metadata):
        path = OUT / f"{name}.{'n5' if driver == 'n5' else 'zarr'}"
        spec = {
            "driver": driver,
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "metadata": metadata,
            "create": True,
        }
        tensorstore.open(spec).result().write(array).result()
        case(name, path, array)

    array = pixels("u2")
    compressor = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}
    write(
        "tensorstore_zarr2",
        "zarr",
        array,
        {"shape": SHAPE, "chunks": CHUNKS, "dtype": "<u2", "compressor": compressor},
    )
    grid = {"name": "regular", "configuration": {"chunk_shape": CHUNKS}}
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip", "configuration": {"level": 1}}]
    write(
        "tensorstore_zarr3",
        "zarr3",
        array,
        {"shape": SHAPE, "chunk_grid": grid, "data_type": "uint16", "codecs": codecs},
    )
    inner = {"chunk_shape": CHUNKS, "codecs": codecs}
    shards = {"name": "regular", "configuration": {"chunk_shape": (4, 32, 64)}}
    write(
        "tensorstore_zarr3_sharded",
        "zarr3",
        array,
        {
            "shape": SHAPE,
            "chunk_grid": shards,
            "data_type": "uint16",
            "codecs": [{"name": "sharding_indexed", "configuration": inner}],
        },
    )


def tiff_volumes():
    variants = {
        "plain": {},
        "big": {"bigtiff": True},
        "big_endian": {"byteorder": ">"},
        "strips": {"rowsperstrip": 5},
        "tiles": {"tile": (16, 32)},
        "deflate": {"compression": "zlib"},
        "deflate_tiles": {"compression": "zlib", "tile": (16, 16), "predictor": True},
        "lzw": {"compression": "lzw"},
        "lzw_predictor": {"compression": "lzw", "predictor": True},
        "packbits": {"compression": "packbits"},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    }
    for dtype in ["u1", "u2"]:
        for name, options in variants.items():
            if name == "packbits" and dtype != "u1":
                continue
            array = pixels(dtype)
            path = OUT / f"tiff_{name}_{dtype}.tif"
            tifffile.imwrite(path, array, photometric="minisblack", **options)
            case(f"tiff_{name}_{dtype}", path, array)
    for dtype in ["i1", "i2", "u4", "i4", "f2", "f4", "f8"]:
        path = OUT / f"tiff_{dtype}.tif"
        tifffile.imwrite(path, pixels(dtype), photometric="minisblack")
        case(f"tiff_{dtype}", path, pixels(dtype))


zarr_volumes()
tensorstore_volumes()
tiff_volumes()
(OUT / "cases.json").write_text(json.dumps(CASES, indent=1))
print(f"{len(CASES)} volumes")

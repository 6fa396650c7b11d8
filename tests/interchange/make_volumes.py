#!/usr/bin/env python3
"""Writes small volumes with the writers that labs use, and what a reader has to get.

usage: python3 make_volumes.py FOLDER

FOLDER/cases.json lists them: name, path of the volume, shape, type, and the file with its pixels as f32.
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
    kind = array.dtype.kind + str(8 * array.dtype.itemsize)
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

    # A volume that says how large its voxels are, as what is made of it has to.
    path = OUT / "wide.zarr"
    wide = pixels("u1", (2, 40, 600))
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", data=wide, chunks=(1, 40, 128))
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": [40.0, 8.0, 4.5]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    multiscales = [{"name": "wide", "axes": axes, "datasets": datasets}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    case("wide", path, wide)

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


def hdf5_volumes():
    def write(name, array, libver=None, userblock=0, expected=None, **options):
        path = OUT / f"{name}.h5"
        with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
            file.create_dataset("volumes/raw", data=array, **options)
            # What is no volume does not stand in the way.
            file["note"] = "text"
            file["spacing"] = np.array([40.0, 4.0, 4.0])
        case(name, path, array if expected is None else expected)

    for dtype in ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", ">u2", ">f4"]:
        write(f"hdf5_{dtype.replace('>', 'big_')}", pixels(dtype), chunks=CHUNKS, compression="gzip")
    variants = {
        "contiguous": {},
        "chunked": {"chunks": CHUNKS},
        "latest": {"chunks": CHUNKS, "libver": "latest"},
        "latest_gzip": {"chunks": CHUNKS, "compression": "gzip", "libver": "latest"},
        "latest_contiguous": {"libver": "latest"},
        "gzip_shuffle": {"chunks": CHUNKS, "compression": "gzip", "compression_opts": 9, "shuffle": True},
        "lzf_shuffle": {"chunks": CHUNKS, "compression": "lzf", "shuffle": True},
        "checksum": {"chunks": CHUNKS, "fletcher32": True},
        "checksum_gzip": {"chunks": CHUNKS, "fletcher32": True, "compression": "gzip", "shuffle": True},
        "scaleoffset": {"chunks": CHUNKS, "scaleoffset": 0},
        "resizable": {"chunks": CHUNKS, "maxshape": (None, None, None), "compression": "gzip"},
        "resizable_latest": {"chunks": CHUNKS, "maxshape": (None, 37, 50), "libver": "latest"},
        "userblock": {"chunks": CHUNKS, "userblock": 512},
    }
    for name, options in variants.items():
        write(f"hdf5_{name}", pixels("u2"), **options)
    write("hdf5_2d", pixels("u1")[0])
    write("hdf5_5d", pixels("u1").reshape((1, 1, *SHAPE)), chunks=(1, 1, *CHUNKS))
    write("hdf5_booleans", pixels("i1") > 0, expected=(pixels("i1") > 0).astype("i1"))

    # Several datasets: one is named. Chunks that nobody wrote are the fill value.
    path = OUT / "hdf5_several.h5"
    grey = pixels("u1")
    with h5py.File(path, "w") as file:
        file["raw"] = grey
        file["labels"] = grey > 50
        holes = file.create_dataset("group/holes", SHAPE, "u1", chunks=CHUNKS, fillvalue=7)
        expected = np.full(SHAPE, 7, "u1")
        holes[2:4, 16:32, :32] = expected[2:4, 16:32, :32] = grey[2:4, 16:32, :32]
    case("hdf5_named", f"{path}:/raw", grey)
    case("hdf5_holes", f"{path}:/group/holes", expected)


def mrc_volumes():
    for dtype in ["i1", "i2", "u2", "f2", "f4"]:
        path = OUT / f"mrc_{dtype}.mrc"
        with mrcfile.new(path) as file:
            file.set_data(pixels(dtype))
        case(f"mrc_{dtype}", path, pixels(dtype))
    # The other order of bytes, an extended header, and one image.
    path = OUT / "mrc_big_endian.mrc"
    with mrcfile.new(path) as file:
        file.set_data(pixels("i2"))
    turned = bytearray(path.read_bytes())
    words = np.frombuffer(turned[:208], "<i4").byteswap().tobytes()
    turned[:208] = words
    turned[212:216] = b"\x11\x11\0\0"
    turned[1024:] = pixels(">i2").tobytes()
    path.write_bytes(turned)
    with mrcfile.open(path) as file:
        assert (file.data == pixels("i2")).all()
    case("mrc_big_endian", path, pixels("i2"))
    path = OUT / "mrc_extended.mrc"
    with mrcfile.new(path) as file:
        file.set_extended_header(np.zeros(3 * 1024, "u1"))
        file.set_data(pixels("f4"))
    case("mrc_extended", path, pixels("f4"))
    path = OUT / "mrc_2d.rec"
    with mrcfile.new(path) as file:
        file.set_data(pixels("f4")[0])
    case("mrc_2d", path, pixels("f4")[0])
    # IMOD says that its bytes have no sign.
    path = OUT / "mrc_imod.st"
    with mrcfile.new(path) as file:
        file.set_data(pixels("u1").view("i1"))
    imod = bytearray(path.read_bytes())
    imod[152:160] = np.array([1146047817, 0], "<i4").tobytes()
    path.write_bytes(imod)
    case("mrc_imod", path, pixels("u1"))


zarr_volumes()
tensorstore_volumes()
tiff_volumes()
hdf5_volumes()
mrc_volumes()
(OUT / "cases.json").write_text(json.dumps(CASES, indent=1))
print(f"{len(CASES)} volumes")

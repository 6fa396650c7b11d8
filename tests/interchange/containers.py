"""Files that hold images in ways of their own: packed HDF5, Imaris, BigDataViewer.

`make_lab_files.py` calls `write` with itself as `lab`, for its pixels and its list of cases.
"""

import h5py
import hdf5plugin
import numpy as np

# Larger in each axis than the image: chunks reach beyond it.
CHUNK = (2, 16, 24)


def packed_hdf5(lab):
    """Every compression that labs add to HDF5, of each size of number."""
    packings = {
        "lz4": hdf5plugin.LZ4(),
        "lz4_blocks": hdf5plugin.LZ4(nbytes=256),
        "zstd": hdf5plugin.Zstd(clevel=5),
        "bzip2": hdf5plugin.BZip2(),
        "bitshuffle": hdf5plugin.Bitshuffle(cname="none"),
        "bitshuffle_lz4": hdf5plugin.Bitshuffle(cname="lz4"),
        "bitshuffle_zstd": hdf5plugin.Bitshuffle(cname="zstd"),
        "bitshuffle_zstd_blocks": hdf5plugin.Bitshuffle(nelems=64, cname="zstd"),
    }
    for codec in ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"]:
        for shuffle in [0, 1, 2]:
            packings[f"blosc_{codec}_{shuffle}"] = hdf5plugin.Blosc(cname=codec, shuffle=shuffle)
    for name, packing in packings.items():
        for dtype in ["u1", "<u2", ">u2", "f4"]:
            grey = lab.pixels(dtype)
            order = "big_" if dtype.startswith(">") else ""
            path = lab.OUT / f"{name}_{order}{np.dtype(dtype).name}.h5"
            with h5py.File(path, "w") as file:
                file.create_dataset("raw", data=grey, chunks=CHUNK, compression=packing)
            lab.add(f"{path.stem}_h5", path, grey.astype(grey.dtype.newbyteorder("=")))
        path = lab.OUT / f"labels_{name}.h5"
        with h5py.File(path, "w") as file:
            labels = lab.stored(lab.labels("u8"), "xzy")
            dataset = file.create_dataset(
                "labels", data=labels, chunks=(24, 2, 16), compression=packing
            )
            for i, axis in enumerate("xzy"):
                dataset.dims[i].label = axis
        lab.add(f"{path.stem}_h5", path, lab.labels("u8"), kind="labels")
    # Beside other filters, and chunks that were never written.
    path = lab.OUT / "bitshuffle_zstd_checked.h5"
    sparse = lab.pixels("u2")
    sparse[:2, :16, :24] = 7
    with h5py.File(path, "w", libver="latest") as file:
        packing = hdf5plugin.Bitshuffle(cname="zstd")
        options = {"chunks": CHUNK, "fletcher32": True, "compression": packing, "fillvalue": 7}
        dataset = file.create_dataset("raw", shape=sparse.shape, dtype="u2", **options)
        for at in dataset.iter_chunks():
            if any(part.start for part in at):
                dataset[at] = sparse[at]
    lab.add(path.stem, path, sparse)
    for name, packing in {
        "ZFP": hdf5plugin.Zfp(reversible=True),
        "Blosc2": hdf5plugin.Blosc2(),
        "SZ3": hdf5plugin.SZ3(absolute=0.1),
    }.items():
        path = lab.OUT / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("raw", data=lab.pixels("f4"), chunks=CHUNK, compression=packing)
        lab.refuse(path.stem, path, f"{name}.h5:/raw", name, "h5repack -f GZIP=4")


def characters(text):
    """Text as Imaris keeps it in attributes: an array of single characters."""
    return np.array([character.encode() for character in str(text)], "S1")


def write_imaris(path, images, told=None, **about):
    """`images` are lists of channels, one list for each time point."""
    with h5py.File(path, "w") as file:
        for key in ["ImarisDataSet", "DataSetDirectoryName", "DataSetInfoDirectoryName"]:
            file.attrs[key] = characters(key.removesuffix("DirectoryName"))
        info = file.create_group("DataSetInfo/Image")
        size = images[0][0].shape
        said = {letter: side for letter, side in zip("ZYX", told or size)}
        for key, value in {**said, "Unit": "um", **about}.items():
            info.attrs[key] = characters(value)
        for level in range(2):
            for time, channels in enumerate(images):
                for channel, image in enumerate(channels):
                    image = image[:, :: level + 1, :: level + 1]
                    group = file.create_group(
                        f"DataSet/ResolutionLevel {level}/TimePoint {time}/Channel {channel}"
                    )
                    for letter, side in zip("ZYX", image.shape):
                        group.attrs[f"ImageSize{letter}"] = characters(side)
                    # Whole chunks, and what is no image in them.
                    chunk = (4, 16, 16)
                    padding = [(0, -side % step) for side, step in zip(image.shape, chunk)]
                    filled = np.pad(image, padding, constant_values=199)
                    group.create_dataset("Data", data=filled, chunks=chunk, compression="gzip")
                    group.create_dataset("Histogram", data=np.zeros(256, "u8"))
        file.create_dataset("Thumbnail/Data", data=np.zeros((256, 1024), "u1"))


def imaris(lab):
    reach = {"ExtMin0": "1.5", "ExtMax0": "1.7", "ExtMin1": "-0.296", "ExtMax1": "0"}
    reach |= {"ExtMin2": "0", "ExtMax2": "0.2"}
    nm = [40, 8, 4]
    for dtype in ["u1", "u2", "f4"]:
        grey = lab.pixels(dtype)
        path = lab.OUT / f"imaris_{np.dtype(dtype).name}.ims"
        write_imaris(path, [[grey]], **reach)
        lab.add(path.stem, path, grey, voxel_nm=nm)
        level = "/DataSet/ResolutionLevel 1/TimePoint 0/Channel 0/Data"
        half = grey[:, ::2, ::2]
        half_nm = [40, 0.296e3 / half.shape[1], 0.2e3 / half.shape[2]]
        lab.add(f"{path.stem}_half", f"{path}:{level}", half, voxel_nm=half_nm)
    images = [[lab.pixels("u2", 3 * time + channel) for channel in range(3)] for time in range(2)]
    path = lab.OUT / "imaris_many.ims"
    write_imaris(path, images, Unit="nm", ExtMin0="0", ExtMax0="200")
    lab.refuse("imaris_many", path, "--time N", "0 to 1")
    lab.refuse("imaris_time", path, "--channel N", "0 to 2", options=["--time", "1"])
    for time, channels in enumerate(images):
        for channel, image in enumerate(channels):
            options = ["--time", str(time), "--channel", str(channel)]
            lab.add(f"imaris_{time}_{channel}", path, image, *options)
    named = f"{path}:/DataSet/ResolutionLevel 0/TimePoint 1/Channel 2/Data"
    lab.add("imaris_named", named, images[1][2])
    lab.refuse("imaris_axes", path, "--axes ZYX", options=["--axes", "ZYX"])
    path = lab.OUT / "imaris_larger.ims"
    write_imaris(path, [[lab.pixels()]], told=(5, 37, 500))
    lab.refuse(path.stem, path, "37, 500]", "37, 50]", "save it again")
    path = lab.OUT / "imaris_lacks.ims"
    write_imaris(path, images)
    with h5py.File(path, "a") as file:
        del file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 1"]
    lab.refuse(path.stem, path, "2 time points", "lacks", "TimePoint 1/Channel 1")
    path = lab.OUT / "imaris_unsaid.ims"
    write_imaris(path, [[lab.pixels()]])
    with h5py.File(path, "a") as file:
        del file["DataSetInfo/Image"].attrs["X"]
        del file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"].attrs["ImageSizeX"]
    lab.refuse(path.stem, path, "how large the image is")


SETUP = """<ViewSetup><id>{id}</id><name>{id}</name><size>50 37 5</size>
<voxelSize><unit>{unit}</unit><size>{size}</size></voxelSize></ViewSetup>"""
XML = """<?xml version="1.0" encoding="UTF-8"?><SpimData version="0.2"><BasePath type="relative">.
</BasePath><SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5 type="relative">{name}</hdf5>
</ImageLoader><ViewSetups>{setups}</ViewSetups></SequenceDescription></SpimData>"""


def write_bdv(path, setups, times=1, unit=None, size="0.004 0.008 0.04"):
    """`setups` are images for each time point, one list for each setup; numbers of 16 bits are
    written with a sign, as Java has them."""
    with h5py.File(path, "w") as file:
        for setup, images in enumerate(setups):
            file[f"s{setup:02}/resolutions"] = np.array([[1, 1, 1], [2, 2, 1]], "f8")
            file[f"s{setup:02}/subdivisions"] = np.array([[16, 16, 4], [16, 16, 4]], "i4")
            for time in range(times):
                for level in range(2):
                    image = images[time][:, :: level + 1, :: level + 1]
                    image = image.view("i2") if image.dtype == "u2" else image
                    place = f"t{time:05}/s{setup:02}/{level}/cells"
                    file.create_dataset(place, data=image, chunks=(4, 16, 16), compression="gzip")
    if unit:
        described = "".join(
            SETUP.format(id=setup, unit=unit, size=size) for setup in range(len(setups))
        )
        path.with_suffix(".xml").write_text(XML.format(name=path.name, setups=described))


def big_data_viewer(lab):
    nm = [40, 8, 4]
    # Half of them are negative where they have a sign.
    bright = lab.pixels("u2") * 257 + 99
    assert (bright > 40000).any()
    path = lab.OUT / "bdv.h5"
    write_bdv(path, [[bright]], unit="micrometer")
    lab.add("bdv", path, bright, voxel_nm=nm)
    half = bright[:, ::2, ::2]
    lab.add("bdv_half", f"{path}:/t00000/s00/1/cells", half, voxel_nm=[40, 16, 8])
    lab.add("bdv_cells", f"{path}:/t00000/s00/0/cells", bright, voxel_nm=nm)
    path = lab.OUT / "bdv_bytes.h5"
    write_bdv(path, [[lab.pixels()]], unit="pixel", size="1 1 1")
    lab.add("bdv_bytes", path, lab.pixels())
    setups = [[lab.pixels("u2", 2 * setup + time) for time in range(2)] for setup in range(2)]
    path = lab.OUT / "bdv_many.h5"
    write_bdv(path, setups, times=2, unit="nm", size="4 8 40")
    lab.refuse("bdv_many", path, "2 setups (s00, s01)", f"{path}:/s00")
    lab.refuse("bdv_times", f"{path}:/s01", "--time N", "0 to 1")
    for setup, images in enumerate(setups):
        for time, image in enumerate(images):
            name = f"bdv_{setup}_{time}"
            lab.add(name, f"{path}:/s0{setup}", image, "--time", str(time), voxel_nm=nm)
    path = lab.OUT / "bdv_lacks.h5"
    write_bdv(path, setups[:1], times=2)
    with h5py.File(path, "a") as file:
        del file["t00001/s00/0/cells"]
    lab.refuse("bdv_lacks", path, "lacks /t00001/s00/0/cells")
    path = lab.OUT / "bdv_sizes.h5"
    write_bdv(path, [[bright, bright[:, :, :40]]], times=2)
    lab.refuse("bdv_sizes", path, "/t00001/s00/0/cells differs")


def write(lab):
    packed_hdf5(lab)
    imaris(lab)
    big_data_viewer(lab)

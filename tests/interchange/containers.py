"""Files that hold images in ways of their own: packed HDF5, Imaris, BigDataViewer, zipped Zarr,
and sets of OME-TIFFs.

`make_lab_files.py` calls `write` with itself as `lab`, for its pixels and its list of cases.
"""

import json
import shutil
import struct
import zipfile

import h5py
import hdf5plugin
import numpy as np
import tifffile
import zarr
from zarr.storage import ZipStore

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


def ome(group, axes, scale, unit="nanometer"):
    """Says that the array `0` of a group is an image of OME-Zarr 0.5."""
    steps = [{"type": "scale", "scale": scale}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    named = [{"name": axis, "type": "space", "unit": unit} for axis in axes]
    image = {"version": "0.5", "axes": named, "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}


def pack(path, folder, method=zipfile.ZIP_STORED, below="", comment=b""):
    """A folder in an archive, or what is in it."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, below + file.relative_to(folder).as_posix())
        archive.comment = comment


def zipped_zarr(lab):
    grey = lab.pixels("u2")
    methods = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}
    for how, method in methods.items():
        # As zarr-python writes archives: arrays, and images with labels.
        for zarr_format in [2, 3]:
            for shards in [None, (4, 32, 32)] if zarr_format == 3 else [None]:
                path = lab.OUT / f"{how}_{zarr_format}{'_shards' * bool(shards)}.zarr.zip"
                with ZipStore(path, mode="w", compression=method) as store:
                    options = {"chunks": (2, 16, 16), "zarr_format": zarr_format}
                    options |= {"shards": shards} if shards else {}
                    zarr.create_array(store, data=grey, **options)
                lab.add(f"zip_{path.name}", path, grey)
        path = lab.OUT / f"image_{how}.ozx"
        with ZipStore(path, mode="w", compression=method) as store:
            root = zarr.create_group(store)
            root.create_array("0", data=lab.stored(grey, "xyz"), chunks=(16, 16, 4))
            ome(root, "xyz", [4, 8, 40])
            inside = root.create_group("labels").create_group("cells")
            inside.create_array("0", data=lab.labels("u8"), chunks=(4, 16, 16))
            ome(inside, "zyx", [40, 8, 4])
        lab.add(path.name, path, grey, voxel_nm=[40, 8, 4])
        for inside in ["labels/cells", "labels/cells/0"]:
            name = f"{path.name}_{inside.count('/')}"
            lab.add(name, path / inside, lab.labels("u8"), kind="labels", voxel_nm=[40, 8, 4])
        # As people pack folders, with what their system adds.
        folder = lab.OUT / "packed" / f"{how}.zarr"
        root = zarr.open_group(folder, mode="w", zarr_format=3)
        root.create_array("a", data=grey, chunks=(4, 16, 16), compressors=None)
        root.create_array("b", data=grey + 1, chunks=(4, 16, 16))
        path = lab.OUT / f"{how}.zip"
        pack(path, folder, method, f"{how}.zarr/")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"__MACOSX/{how}.zarr/._zarr.json", b"resource")
        lab.refuse(path.name, path, "several arrays (a, b)", f"{how}.zip/{how}.zarr/a")
        lab.add(f"{path.name}_a", path / f"{how}.zarr" / "a", grey)
        lab.add(f"{path.name}_b", path / "b", grey + 1)
    hostile_archives(lab, lab.OUT / "packed" / "stored.zarr" / "a")


def hostile_archives(lab, folder):
    good = lab.OUT / "good.zip"
    pack(good, folder)
    lab.add("zip_good", good, lab.pixels("u2"))
    whole = good.read_bytes()

    def damaged(name, data, *parts):
        path = lab.OUT / f"{name}.zip"
        path.write_bytes(data)
        lab.refuse(f"zip_{name}", path, f"{name}.zip", *parts)

    damaged("cut", whole[: len(whole) // 2], "directory of the ZIP archive", "copy it again")
    end = whole.rindex(b"PK\5\6")
    counts = struct.pack("<HH", 65535, 65535)
    damaged("counts", whole[: end + 8] + counts + whole[end + 12 :], "directory of the ZIP")
    # One bit of the first chunk's numbers.
    chunk = folder / "c" / "0" / "0" / "0"
    at = whole.index(chunk.read_bytes()[:64])
    flipped = bytes([whole[at] ^ 1])
    damaged("bit", whole[:at] + flipped + whole[at + 1 :], "not those that were packed")

    def packed(name, entries, *parts, method=zipfile.ZIP_DEFLATED):
        path = lab.OUT / f"{name}.zip"
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
        with zipfile.ZipFile(path, "w", method) as archive:
            for inside, file in files.items():
                if file.is_file() and inside not in entries:
                    archive.write(file, inside)
            for inside, data in entries.items():
                if data is not None:
                    archive.writestr(inside, data)
        lab.refuse(f"zip_{name}", path, f"{name}.zip", *parts)
        return path

    packed("bomb", {"c/0/0/0": bytes(50_000_000)}, "has 50000000 bytes where a chunk has 2048")
    metadata = b" " * 70_000_000 + (folder / "zarr.json").read_bytes()
    packed("metadata", {"zarr.json": metadata}, "too many for metadata")
    array = json.dumps({"zarr_format": 2, "shape": [5, 37, 50]}).encode() + b" " * 70_000_000
    packed("zarray", {"zarr.json": None, ".zarray": array}, "too many for metadata")
    packed("outside", {"../../outside": b"x"}, "../../outside", "leads out of it")
    packed("absolute", {"/outside": b"x"}, "/outside", "leads out of it")
    packed("bzip2", {}, "Bzip2", "stored or deflated", method=zipfile.ZIP_BZIP2)
    path = packed("claim", {"c/0/0/0": b"x"}, "can't be right")
    data = bytearray(path.read_bytes())
    # The size that the directory says: it lies 24 bytes into the entry of the last file.
    entry = data.rindex(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFF00)
    path.write_bytes(data)
    words = lab.OUT / "words.zip"
    with zipfile.ZipFile(words, "w") as archive:
        archive.writestr("words.txt", b"words")
    lab.refuse("zip_words", words, "holds no Zarr array or group", "unpack it")
    with zipfile.ZipFile(lab.OUT / "empty.zip", "w"):
        pass
    lab.refuse("zip_empty", lab.OUT / "empty.zip", "holds no Zarr array or group")
    lab.refuse("zip_missing", good / "none", "good.zip/none", "of that name")
    shutil.rmtree(lab.OUT / "packed")


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">"""
PIXELS = """<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16"
SizeX="50" SizeY="{rows}" SizeZ="5" SizeC="{channels}" SizeT="1" PhysicalSizeX="4"
PhysicalSizeXUnit="nm" PhysicalSizeY="0.008" PhysicalSizeZ="0.04">{data}</Pixels></Image>"""


def ome_pixels(data, order="XYZCT", channels=1, rows=37):
    told = "".join(
        f'<Channel ID="Channel:0:{number}" SamplesPerPixel="1"/>' for number in range(channels)
    )
    return PIXELS.format(order=order, channels=channels, rows=rows, data=told + data)


def tiff_data(file, **said):
    said = "".join(f' {key}="{value}"' for key, value in said.items())
    return f'<TiffData{said}><UUID FileName="{file}">urn:uuid:{file}</UUID></TiffData>'


class TiffSet:
    """A folder of TIFFs with the same OME-XML in each of them."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.folder = lab.OUT / "sets" / name
        self.folder.mkdir(parents=True)

    def write(self, files, pixels, after=""):
        """`files` has the pages of each file."""
        for file, pages in files.items():
            xml = OME.format(uuid=file) + pixels + after + "</OME>"
            options = {"photometric": "minisblack", "metadata": None, "description": xml}
            tifffile.imwrite(self.folder / file, pages, **options)
        return self

    def add(self, file, want, *options, readable=True, **more):
        path = self.folder / file
        if readable:
            # tifffile takes them for the same.
            assert np.array_equal(tifffile.imread(path).reshape(-1, *want.shape)[-1], want)
        self.lab.add(f"{self.name}_{file}_{len(self.lab.CASES)}", path, want, *options, **more)

    def refuse(self, file, *parts, **more):
        self.lab.refuse(f"{self.name}_{file}", self.folder / file, *parts, **more)


def ome_sets(lab):
    grey, other = lab.pixels("u2"), lab.pixels("u2", 5)
    nm = [40, 8, 4]
    names = [f"z{z}.ome.tif" for z in range(5)]
    # A section in each file; some are turned around.
    places = [3, 1, 4, 0, 2]
    data = "".join(tiff_data(names[places[z]], FirstZ=z, IFD=0, PlaneCount=1) for z in range(5))
    files = {names[places[z]]: grey[z] for z in range(5)}
    sections = TiffSet(lab, "sections").write(files, ome_pixels(data))
    for name in [names[0], names[4]]:
        sections.add(name, grey, voxel_nm=nm)
    sections.add(names[3], grey[:1], "--axes", "ZYX", readable=False, voxel_nm=nm)
    # A channel in each file, with and without the number of its pages.
    counted = [{"FirstC": c, "IFD": 0, "PlaneCount": 5} for c in range(2)]
    for name, said in {"counted": counted, "uncounted": [{"FirstC": c} for c in range(2)]}.items():
        data = "".join(tiff_data(f"c{c}.ome.tif", **said[c]) for c in range(2))
        channels = TiffSet(lab, name)
        channels.write({"c0.ome.tif": grey, "c1.ome.tif": other}, ome_pixels(data, channels=2))
        channels.refuse("c0.ome.tif", "--channel N", "0 to 1")
        channels.add("c0.ome.tif", other, "--channel", "1", voxel_nm=nm)
        channels.add("c1.ome.tif", grey, "--channel", "0", readable=False, voxel_nm=nm)
    # Pages of both files in turn, and a file that was given another name.
    data = "".join(
        tiff_data("ab"[z % 2] + ".tif", FirstZ=z, IFD=2 - z // 2, PlaneCount=1) for z in range(5)
    )
    files = {"a.tif": grey[[4, 2, 0]], "b.tif": np.stack([other[0], grey[3], grey[1]])}
    turns = TiffSet(lab, "turns").write(files, ome_pixels(data, order="XYCZT"))
    turns.add("a.tif", grey, voxel_nm=nm)
    turns.add("b.tif", grey, readable=False, voxel_nm=nm)
    renamed = TiffSet(lab, "renamed").write(files, ome_pixels(data, order="XYCZT"))
    (renamed.folder / "b.tif").rename(renamed.folder / "other.tif")
    renamed.add("other.tif", grey, readable=False, voxel_nm=nm)
    renamed.refuse("a.tif", "b.tif is not there", "copy it there")
    # A description as long as that of thousands of planes.
    padding = "<!--" + "x" * 2_000_000 + "-->"
    told = TiffSet(lab, "long").write(files, ome_pixels(padding + data))
    told.add("a.tif", grey, readable=False, voxel_nm=nm)
    # Companions, of images and of labels.
    for name, array, kind in [("image", grey, "raw"), ("labels", lab.labels("u8"), "labels")]:
        pages = {f"{z}.tif": array[z] for z in range(5)}
        data = "".join(tiff_data(file, FirstZ=z, IFD=0) for z, file in enumerate(pages))
        binary = f'<BinaryOnly MetadataFile="{name}.companion.ome" UUID="urn:uuid:x"/>'
        companion = TiffSet(lab, name).write(pages, binary)
        xml = OME.format(uuid="x") + ome_pixels(data) + "</OME>"
        words = "<?xml version='1.0'?>\n<!-- " + "words " * 200 + "-->"
        xml = xml if kind == "raw" else words + xml.split("?>", 1)[1]
        (companion.folder / f"{name}.companion.ome").write_text(xml)
        for file in [f"{name}.companion.ome", "3.tif"]:
            companion.add(file, array, readable=False, kind=kind, voxel_nm=nm)
    binary = '<BinaryOnly MetadataFile="lonely.companion.ome" UUID="urn:uuid:x"/>'
    lonely = TiffSet(lab, "lonely").write({"0.tif": grey[0]}, binary)
    lonely.refuse("0.tif", "lonely.companion.ome", "not beside it", "--axes ZYX")
    lonely.add("0.tif", grey[:1], "--axes", "ZYX", readable=False)
    refused_sets(lab, grey)


def refused_sets(lab, grey):
    def two(name, second, pages, *parts, after="", rows=37, count=4, **said):
        data = tiff_data("a.tif", IFD=0, PlaneCount=count)
        data += tiff_data(second, **{"FirstZ": 4, "IFD": 0, **said})
        files = {"a.tif": grey[:4], **({"b.tif": pages} if pages is not None else {})}
        TiffSet(lab, name).write(files, ome_pixels(data, rows=rows), after).refuse("a.tif", *parts)

    two("outside", "../b.tif", None, "../b.tif", "not one beside it")
    two("absolute", "/etc/passwd", None, "/etc/passwd", "not one beside it")
    two("missing", "b.tif", None, "b.tif is not there")
    two("page", "b.tif", grey[4], "page 8 of", "which has 1", IFD=7)
    two("beyond", "b.tif", grey[4], "of 5", PlaneCount=9)
    two("smaller", "b.tif", grey[4, :30], "differ", "37 x 50", "30 x 50")
    two("types", "b.tif", grey[4].astype("u1"), "differ", "u16", "u8")
    two("rows", "b.tif", grey[4], "400 x 50", "37 x 50", rows=400)
    two("twice", "b.tif", grey[4], "two places", FirstZ=3)
    two("lacks", "b.tif", grey[3], "1 of its 5 planes", count=3)
    two("images", "b.tif", grey[4], "2 images", "bfconvert -series", after=ome_pixels(""))


def write(lab):
    packed_hdf5(lab)
    zipped_zarr(lab)
    ome_sets(lab)
    imaris(lab)
    big_data_viewer(lab)

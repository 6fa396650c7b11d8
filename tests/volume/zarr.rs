//! Damaged and absurd Zarr stores, written by hand: a clear sentence or a defined result, and no more memory than a chunk.

use std::path::Path;

use askem::data::volume::{Region, Volume, open_raw};
use serde_json::{Value, json};

use crate::files::Folder;

/// Metadata of version 2: 4 x 6 x 10 in chunks of 2 x 4 x 8, uncompressed.
fn metadata() -> Value {
    json!({
        "zarr_format": 2, "shape": [4, 6, 10], "chunks": [2, 4, 8], "dtype": "|u1", "compressor": null,
        "fill_value": 9, "order": "C", "filters": null
    })
}

/// A chunk whose pixels count from `first`.
fn chunk(first: u8) -> Vec<u8> {
    (0..64).map(|i| first.wrapping_add(i)).collect()
}

fn store(name: &str, change: impl FnOnce(&mut Value)) -> Folder {
    let folder = Folder::new();
    let mut metadata = metadata();
    change(&mut metadata);
    folder.write(&format!("{name}/.zarray"), metadata.to_string().as_bytes());
    folder
}

fn refused(path: &Path, parts: &[&str]) {
    let message = match open_raw(path) {
        Err(error) => error.to_string(),
        Ok(volume) => volume.read_section(0).expect_err("a refusal").to_string(),
    };
    assert!(!message.contains('\n') && message.len() > 20, "{message:?}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

#[test]
fn a_missing_chunk_is_the_fill_value() {
    let folder = store("a.zarr", |_| {});
    folder.write("a.zarr/0.1.1", &chunk(100));
    let volume = open_raw(&folder.path().join("a.zarr")).unwrap();
    assert_eq!((volume.shape(), volume.chunk()), ([4, 6, 10], [2, 4, 8]));
    let pixels = volume.read_section(1).unwrap().pixels;
    assert_eq!(pixels[0], 9.0);
    // Row 4 and column 8 begin the chunk, whose second section begins at 32.
    assert_eq!(pixels[4 * 10 + 8], 132.0);
    assert_eq!(pixels[5 * 10 + 9], 141.0);
    assert_eq!(volume.read_section(2).unwrap().pixels[59], 9.0);
    assert!(volume.read_section(4).is_err());
    assert!(volume.read_block(&Region { z: 0..1, y: 0..7, x: 0..1 }).is_err());
}

#[test]
fn torn_and_padded_chunks_are_damage() {
    for bytes in [&chunk(0)[..63], &[&chunk(0)[..], &[0]].concat(), &[]] {
        let folder = store("torn.zarr", |_| {});
        folder.write("torn.zarr/0.0.0", bytes);
        refused(&folder.path().join("torn.zarr"), &["0.0.0", "the chunk is damaged"]);
    }
    for codec in [
        json!({"id": "zstd", "level": 1}),
        json!({"id": "gzip", "level": 1}),
        json!({"id": "zlib", "level": 1}),
        json!({"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 1, "blocksize": 0}),
    ] {
        let folder = store("codec.zarr", |m| m["compressor"] = codec);
        // A chunk that another codec wrote, or none.
        folder.write("codec.zarr/0.0.0", &chunk(3));
        refused(&folder.path().join("codec.zarr"), &["0.0.0", "the chunk is damaged"]);
    }
}

#[test]
fn unknown_codecs_and_types_are_named() {
    let folder = store("a.zarr", |m| m["compressor"] = json!({"id": "secret"}));
    refused(&folder.path().join("a.zarr"), &["a.zarr", "secret"]);
    let folder = store("b.zarr", |m| m["dtype"] = json!("<i8"));
    refused(&folder.path().join("b.zarr"), &["b.zarr", "int64", "integers of 8, 16 and 32 bits"]);
    let folder = store("c.zarr", |m| {
        m["dtype"] = json!("<c8");
        m["fill_value"] = json!([0.0, 0.0]);
    });
    refused(&folder.path().join("c.zarr"), &["c.zarr", "complex"]);
}

#[test]
fn absurd_sizes_are_refused_before_memory_is_taken() {
    let huge = 1_u64 << 20;
    for (shape, chunks, part) in [
        (json!([huge, huge, huge]), json!([1, 64, 64]), "can't be right"),
        (json!([u64::MAX, 4, 4]), json!([1, 4, 4]), "can't be right"),
        (json!([4, 1 << 20, 1 << 20]), json!([1, 1 << 20, 1 << 20]), "larger than 1 GiB"),
        (json!([4, 0, 6]), json!([1, 1, 6]), "empty"),
        (json!([5]), json!([5]), "sections, rows and columns"),
        (json!([3, 4, 6, 10]), json!([1, 2, 4, 8]), "--axes, such as ZYXC"),
    ] {
        let folder = store("a.zarr", |m| {
            m["shape"] = shape.clone();
            m["chunks"] = chunks;
        });
        let path = folder.path().join("a.zarr");
        let message = open_raw(&path).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(part), "{shape}: {message}");
    }
    // A chunk of no rows.
    let folder = store("b.zarr", |m| m["chunks"] = json!([2, 0, 8]));
    refused(&folder.path().join("b.zarr"), &["b.zarr"]);
}

#[test]
fn damaged_metadata_are_refused() {
    let folder = Folder::new();
    folder.write("a.zarr/zarr.json", b"{\"zarr_format\": 3, \"node_type\": \"arr");
    refused(&folder.path().join("a.zarr"), &["zarr.json", "not JSON"]);
    folder.write("b.zarr/zarr.json", b"{}");
    refused(&folder.path().join("b.zarr"), &["neither an array nor a group"]);
    folder.write("c.zarr/.zarray", b"{}");
    refused(&folder.path().join("c.zarr"), &["c.zarr"]);
    folder.write("d.zarr/.zgroup", b"{\"zarr_format\": 2}");
    refused(&folder.path().join("d.zarr"), &["without arrays"]);
    folder.write("d.zarr/one/.zarray", metadata().to_string().as_bytes());
    folder.write("d.zarr/two/.zarray", metadata().to_string().as_bytes());
    refused(&folder.path().join("d.zarr"), &["one, two", "name one"]);
    let ome = json!({"multiscales": [{"datasets": [{"path": "../../one"}]}]});
    folder.write("d.zarr/.zattrs", ome.to_string().as_bytes());
    refused(&folder.path().join("d.zarr"), &["../../one", "no array"]);
    refused(&folder.path().join("d.zarr/three"), &["no such file or folder"]);
}

#[test]
fn bombs_are_refused_by_what_they_claim() {
    // A header of zstd that claims 2^40 bytes: magic, an eight-byte size in one segment.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    bomb.extend((1_u64 << 40).to_le_bytes());
    bomb.extend([1, 0, 0]);
    let folder = store("a.zarr", |m| m["compressor"] = json!({"id": "zstd", "level": 1}));
    folder.write("a.zarr/0.0.0", &bomb);
    refused(&folder.path().join("a.zarr"), &["0.0.0", "more than the 64 bytes of a chunk"]);

    // A header of blosc that claims 2 GiB.
    let mut bomb = vec![2, 1, 1, 1];
    bomb.extend(0x7fff_0000_u32.to_le_bytes());
    bomb.extend([0, 0, 1, 0, 16, 0, 0, 0]);
    let blosc = json!({"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 1, "blocksize": 0});
    let folder = store("b.zarr", |m| m["compressor"] = blosc);
    folder.write("b.zarr/0.0.0", &bomb);
    refused(&folder.path().join("b.zarr"), &["0.0.0", "more than the 64 bytes of a chunk"]);
}

/// A store of version 3: 4 x 4 x 8 in one shard of two chunks, whose bytes and index are these.
fn shard(name: &str, chunks: &[u8], index: [(u64, u64); 2]) -> Folder {
    let folder = Folder::new();
    let zstd = json!([{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1, "checksum": false}}]);
    let bytes = json!([{"name": "bytes", "configuration": {"endian": "little"}}]);
    let sharding = json!({"chunk_shape": [2, 4, 8], "codecs": zstd, "index_codecs": bytes, "index_location": "end"});
    let metadata = json!({
        "zarr_format": 3, "node_type": "array", "shape": [4, 4, 8], "data_type": "uint8", "fill_value": 9,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4, 8]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}], "attributes": {}
    });
    folder.write(&format!("{name}/zarr.json"), metadata.to_string().as_bytes());
    let index = index.iter().flat_map(|&(at, len)| [at, len]).flat_map(u64::to_le_bytes);
    let bytes: Vec<u8> = chunks.iter().copied().chain(index).collect();
    folder.write(&format!("{name}/c/0/0/0"), &bytes);
    folder
}

#[test]
fn shards_are_read_by_chunk_and_looked_at_too() {
    // A frame that says its size, with one raw block: magic, one segment, 64 bytes; last block, type 0, 64 << 3.
    let mut good = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 64, 1, 2, 0];
    good.extend(chunk(5));
    let missing = (u64::MAX, u64::MAX);
    let folder = shard("a.zarr", &good, [missing, (0, good.len() as u64)]);
    let volume = open_raw(&folder.path().join("a.zarr")).unwrap();
    assert_eq!(volume.chunk(), [2, 4, 8]);
    assert_eq!(volume.read_section(1).unwrap().pixels, [9.0; 32]);
    assert_eq!(volume.read_section(3).unwrap().pixels[1], 5.0 + 32.0 + 1.0);

    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    bomb.extend((1_u64 << 40).to_le_bytes());
    bomb.extend([1, 0, 0]);
    let folder = shard("b.zarr", &bomb, [(0, bomb.len() as u64), missing]);
    refused(&folder.path().join("b.zarr"), &["c/0/0/0", "more than the 64 bytes of a chunk"]);
    // An index that points beyond the file, or claims a chunk of 2^60 bytes.
    for entry in [(1 << 20, 64), (0, 1 << 60), (u64::MAX - 8, 16)] {
        let folder = shard("c.zarr", &good, [entry, missing]);
        refused(&folder.path().join("c.zarr"), &["c/0/0/0", "damaged"]);
    }
    // Not even an index.
    let folder = shard("d.zarr", &[], [missing; 2]);
    folder.write("d.zarr/c/0/0/0", &[1, 2, 3]);
    refused(&folder.path().join("d.zarr"), &["c/0/0/0", "damaged"]);
}

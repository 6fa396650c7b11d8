//! Where the chunks of a shard lie in its file.
//!
//! Source: [the sharding codec](https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html). Its index is read here, beside the
//! decoder, because the decoder makes room for whatever the index claims.

use std::io::{Read, SeekFrom};

use zarrs::array::{Array, ArrayMetadata};
use zarrs::storage::ReadableStorageTraits;

use super::archive::ReadSeek;
use super::bounds::Compressor;
use super::place::Place;

/// The index of a shard, as the array's metadata describe it.
#[derive(Debug)]
pub(super) struct ShardIndex {
    /// Chunks of a shard along each axis.
    counts: Vec<u64>,
    at_end: bool,
    big_endian: bool,
    /// Bytes of a checksum after the index.
    checksum: u64,
}

impl ShardIndex {
    /// Nothing where there are no shards, or their index is coded in a way that is not known here.
    pub(super) fn of(
        array: &Array<dyn ReadableStorageTraits>,
        shard: &[u64],
        chunk: &[u64],
    ) -> Option<Self> {
        let ArrayMetadata::V3(metadata) = array.metadata() else { return None };
        let codec = metadata.codecs.last().filter(|codec| codec.name() == "sharding_indexed")?;
        let configuration = codec.configuration()?;
        let (mut big_endian, mut checksum) = (false, 0);
        for codec in configuration.get("index_codecs")?.as_array()? {
            match codec.as_str().or(codec.get("name").and_then(|name| name.as_str()))? {
                "bytes" => {
                    let order = codec.pointer("/configuration/endian");
                    big_endian = order.and_then(|order| order.as_str()) == Some("big");
                }
                "crc32c" => checksum += 4,
                _ => return None,
            }
        }
        let location = configuration.get("index_location").and_then(|place| place.as_str());
        let counts = shard.iter().zip(chunk).map(|(shard, chunk)| shard / chunk).collect();
        Some(Self { counts, at_end: location != Some("start"), big_endian, checksum })
    }

    /// Refuses a chunk that does not lie in its shard's file or decodes to more than `expected` bytes.
    ///
    /// `chunk` is its place in the whole array, in chunks. One that is not stored is no error.
    pub(super) fn check(
        &self,
        file: &Place,
        chunk: &[u64],
        compressor: Compressor,
        expected: u64,
    ) -> Result<(), String> {
        let mut file = match file.open() {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(()),
            Err(e) => return Err(format!("it can't be read: {e}")),
        };
        let stored =
            self.stored(&mut *file, chunk).map_err(|e| format!("it can't be read: {e}"))?;
        match stored {
            Some(bytes) => compressor.check_bytes(&bytes?, expected),
            None => Ok(()),
        }
    }

    /// The bytes of a chunk, or what is wrong with the index's entry.
    fn stored(
        &self,
        file: &mut dyn ReadSeek,
        chunk: &[u64],
    ) -> std::io::Result<Option<Result<Vec<u8>, String>>> {
        let length = file.seek(SeekFrom::End(0))?;
        let entries: u64 = self.counts.iter().product();
        let size = entries * 16 + self.checksum;
        let Some(rest) = length.checked_sub(size) else {
            return Ok(Some(Err(format!("{length} bytes are less than the index of a shard"))));
        };
        let number =
            chunk.iter().zip(&self.counts).fold(0, |n, (at, count)| n * count + at % count);
        file.seek(SeekFrom::Start(if self.at_end { rest } else { 0 } + 16 * number))?;
        let mut entry = [0; 16];
        file.read_exact(&mut entry)?;
        let [at, len] = [0, 8].map(|i| {
            let bytes: [u8; 8] = std::array::from_fn(|k| entry[i + k]);
            if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
        });
        if (at, len) == (u64::MAX, u64::MAX) {
            return Ok(None);
        }
        if at.checked_add(len).is_none_or(|end| end > length) {
            return Ok(Some(Err(format!(
                "its index says that a chunk has {len} bytes from byte {at} on, of {length}"
            ))));
        }
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        Ok(Some(Ok(bytes)))
    }
}

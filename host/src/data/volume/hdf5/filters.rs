//! What chunks are packed with: the filters of the HDF5 library, and those that labs add to it.
//!
//! All but one are decoded by `rust-hdf5`. Source: the [registered
//! filters](https://support.hdfgroup.org/documentation/hdf5-docs/registered_filter_plugins.html),
//! and [bitshuffle](https://github.com/kiyo-masui/bitshuffle) for its blocks.

use rust_hdf5::format::messages::filter::{
    FILTER_BSHUF, FILTER_ZSTD, reverse_filters_masked_bounded,
};
use rust_hdf5::{Filter, FilterPipeline};

/// Filters that are decoded, by their registered numbers.
const READ: [u16; 14] =
    [1, 2, 3, 4, 5, 6, 307, 32000, 32001, 32004, FILTER_BSHUF, FILTER_ZSTD, 32022, 32023];

/// What the values of bitshuffle say: bytes of a number, numbers of a block, and the compression of
/// blocks.
const NUMBER: usize = 2;
const BLOCK: usize = 3;
const PACKED: usize = 4;
const PACKED_LZ4: u32 = 2;
const PACKED_ZSTD: u32 = 3;

/// Refuses what isn't decoded.
///
/// Errors: the filter's name and what helps, without the file's name.
pub(super) fn check(filters: &[Filter]) -> Result<(), String> {
    for filter in filters {
        let name = match filter.id {
            FILTER_BSHUF => match filter.cd_values.get(PACKED) {
                None | Some(&(0 | PACKED_LZ4 | PACKED_ZSTD)) => continue,
                Some(_) => "a compression of bitshuffle that isn't known".to_owned(),
            },
            id if READ.contains(&id) => continue,
            32013 => "ZFP".into(),
            32017 => "SZ".into(),
            32018 => "FCIDECOMP".into(),
            32019 => "JPEG".into(),
            32024 => "SZ3".into(),
            32026 => "Blosc2".into(),
            32028 => "SPERR".into(),
            _ => "a filter that isn't known".into(),
        };
        return Err(format!(
            "its chunks are packed with {name} (HDF5 filter {}), which isn't read; pack it anew \
             with gzip, such as `h5repack -f GZIP=4 IN OUT` where HDF5 has that filter's plugin, \
             or in Python with h5py and hdf5plugin",
            filter.id
        ));
    }
    Ok(())
}

/// Whether chunks are decoded by [`unpack`]: `rust-hdf5` knows no bitshuffle with zstd in it.
pub(super) fn is_unpacked_here(filters: &[Filter]) -> bool {
    filters.iter().any(is_shuffled_zstd)
}

fn is_shuffled_zstd(filter: &Filter) -> bool {
    filter.id == FILTER_BSHUF && filter.cd_values.get(PACKED) == Some(&PACKED_ZSTD)
}

/// The `image` bytes of a chunk that is stored so; bits of `mask` are filters that it did without.
///
/// Errors: what is wrong with the stored bytes.
pub(super) fn unpack(
    filters: &[Filter],
    stored: &[u8],
    mask: u32,
    image: usize,
) -> Result<Vec<u8>, String> {
    let mut pipeline = FilterPipeline { filters: filters.to_vec() };
    let mut bytes = stored.to_vec();
    let used = |i: usize| i >= 32 || mask & 1 << i == 0;
    if let Some(at) = filters.iter().position(is_shuffled_zstd).filter(|&at| used(at)) {
        // What came after it is taken off first, with room for what compression may add.
        let most = image.saturating_mul(2).saturating_add(1 << 16);
        let later = FilterPipeline { filters: pipeline.filters.split_off(at + 1) };
        bytes = undo(&later, &bytes, mask.checked_shr(at as u32 + 1).unwrap_or(0), most)?;
        let values = &mut pipeline.filters[at].cd_values;
        let number = values.get(NUMBER).map_or(0, |&number| number as usize);
        let (blocks, block) = inflate_blocks(&bytes, number, image)?;
        bytes = blocks;
        (values[BLOCK], values[PACKED]) = (block, 0);
    }
    let bytes = undo(&pipeline, &bytes, mask, image)?;
    match bytes.len() == image {
        true => Ok(bytes),
        false => Err(format!("it decodes to {} bytes in place of {image}", bytes.len())),
    }
}

fn undo(
    pipeline: &FilterPipeline,
    bytes: &[u8],
    mask: u32,
    most: usize,
) -> Result<Vec<u8>, String> {
    reverse_filters_masked_bounded(pipeline, bytes, mask, most).map_err(|e| e.to_string())
}

/// The shuffled blocks of bitshuffle with zstd, one after the other and unpacked, and how many
/// numbers a block has.
///
/// Its header is the size of all and of a block, in bytes; a block is its packed size and a frame
/// of zstd. Numbers that fill no eight at the end are stored as they are.
fn inflate_blocks(packed: &[u8], number: usize, most: usize) -> Result<(Vec<u8>, u32), String> {
    let short = || "it ends too early".to_owned();
    let (total, rest) = packed.split_first_chunk::<8>().ok_or_else(short)?;
    let (block, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let total = usize::try_from(u64::from_be_bytes(*total)).ok().filter(|&total| total <= most);
    let total = total.ok_or_else(|| format!("it says that it has more than {most} bytes"))?;
    let block = u32::from_be_bytes(*block) as usize;
    if number == 0 || block == 0 || !block.is_multiple_of(8 * number) {
        return Err(format!("blocks of {block} bytes of numbers of {number} can't be right"));
    }
    let zstd = Filter { id: FILTER_ZSTD, flags: 0, cd_values: Vec::new() };
    let zstd = FilterPipeline { filters: vec![zstd] };
    let shuffled = total - total % (8 * number);
    let mut blocks = Vec::with_capacity(total);
    while blocks.len() < shuffled {
        let (size, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let size = u32::from_be_bytes(*size) as usize;
        let (frame, after) = after.split_at_checked(size).ok_or_else(short)?;
        let wanted = block.min(shuffled - blocks.len());
        let bytes = undo(&zstd, frame, 0, wanted)?;
        if bytes.len() != wanted {
            return Err(format!("a block has {} bytes in place of {wanted}", bytes.len()));
        }
        blocks.extend(bytes);
        rest = after;
    }
    blocks.extend(rest.get(..total - shuffled).ok_or_else(short)?);
    Ok((blocks, (block / number) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled_zstd() -> Filter {
        Filter { id: FILTER_BSHUF, flags: 0, cd_values: vec![0, 4, 2, 16, PACKED_ZSTD, 3] }
    }

    #[test]
    fn blocks_come_back_and_damage_is_told() {
        let plain: Vec<u8> = (0..202).map(|i| (i * i % 251) as u8).collect();
        // Shuffled by the crate without compression, and packed here: 96 numbers in blocks of 16,
        // and 5 that are left over.
        let mut bare = shuffled_zstd();
        bare.cd_values[PACKED] = 0;
        let zstd = |bytes: &[u8]| {
            let filter = Filter { id: FILTER_ZSTD, flags: 0, cd_values: vec![3] };
            let one = FilterPipeline { filters: vec![filter] };
            rust_hdf5::format::messages::filter::apply_filters(&one, bytes).unwrap()
        };
        let pipeline = FilterPipeline { filters: vec![bare] };
        let all = rust_hdf5::format::messages::filter::apply_filters(&pipeline, &plain).unwrap();
        let mut stored = 202_u64.to_be_bytes().to_vec();
        stored.extend(32_u32.to_be_bytes());
        for block in all[..192].chunks(32) {
            let frame = zstd(block);
            stored.extend((frame.len() as u32).to_be_bytes());
            stored.extend(frame);
        }
        stored.extend(&all[192..]);
        let filters = [shuffled_zstd()];
        assert!(check(&filters).is_ok() && is_unpacked_here(&filters));
        assert_eq!(unpack(&filters, &stored, 0, 202).unwrap(), plain);
        // A chunk that did without the filter.
        assert_eq!(unpack(&filters, &plain, 1, 202).unwrap(), plain);
        for length in 0..stored.len() {
            assert!(unpack(&filters, &stored[..length], 0, 202).is_err(), "{length}");
        }
        let mut large = stored.clone();
        large[..8].fill(0xff);
        assert!(unpack(&filters, &large, 0, 202).unwrap_err().contains("more than 202"));
        assert!(unpack(&filters, &stored, 0, 210).unwrap_err().contains("in place of 210"));
    }

    #[test]
    fn filters_that_are_not_read_are_named() {
        let filter = |id, values: &[u32]| Filter { id, flags: 0, cd_values: values.to_vec() };
        for (filter, name) in [
            (filter(32013, &[]), "ZFP (HDF5 filter 32013)"),
            (filter(32026, &[]), "Blosc2"),
            (filter(40000, &[]), "HDF5 filter 40000"),
            (filter(FILTER_BSHUF, &[0, 4, 2, 0, 9]), "bitshuffle"),
        ] {
            let message = check(&[filter]).unwrap_err();
            assert!(message.contains(name) && message.contains("h5repack"), "{message}");
        }
    }
}

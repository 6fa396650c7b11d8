//! Parts of sections as pictures, as the page draws them.

use std::sync::Arc;

use crate::annotate::label_files::encode;
use crate::data::pool::Region;
use crate::data::volume::{CachedVolume, Volume};
use crate::error::{Error, Result};

/// Rows and columns of a tile.
const SIDE: usize = 256;
/// Scales that are answered: voxels along a pixel.
const SCALES: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Sections kept in memory, of volumes that are stored by sections.
const CACHED: usize = 3;
/// Squares by which the range of grey values is found, and their side.
const SAMPLES: usize = 128;
const SAMPLE_SIDE: usize = 64;

pub(super) struct Tiles {
    volume: CachedVolume<Arc<dyn Volume>>,
    /// Grey values that are black and white.
    range: [f32; 2],
}

impl Tiles {
    pub(super) fn new(raw: Arc<dyn Volume>) -> Result<Self> {
        let volume = CachedVolume::new(raw, CACHED);
        let mut values = Vec::new();
        let region = Region::whole(volume.shape());
        for (at, side) in region.samples(SAMPLES, SAMPLE_SIDE) {
            volume.for_each_row(at.z, at.y..at.y + side, at.x..at.x + side, |row| {
                values.extend(row.iter().copied().filter(|value| value.is_finite()));
            })?;
        }
        values.sort_by(f32::total_cmp);
        let at = |share: f64| values.get(((values.len() as f64 - 1.0) * share) as usize).copied();
        let range = [at(0.005).unwrap_or(0.0), at(0.995).unwrap_or(1.0)];
        Ok(Self { volume, range })
    }

    pub(super) fn shape(&self) -> [usize; 3] {
        self.volume.shape()
    }

    /// A tile as PNG: the mean of `scale` x `scale` voxels in each pixel.
    pub(super) fn png(&self, z: usize, y: usize, x: usize, scale: usize) -> Result<Vec<u8>> {
        let [depth, height, width] = self.volume.shape();
        let is_there = z < depth && y < height && x < width && SCALES.contains(&scale);
        if !is_there || !(y | x).is_multiple_of(SIDE) {
            return Err(Error::Usage(format!("there is no tile {z}, {y}, {x} at scale {scale}")));
        }
        let rows = y..(y + SIDE * scale).min(height);
        let columns = x..(x + SIDE * scale).min(width);
        let side = [rows.len().div_ceil(scale), columns.len().div_ceil(scale)];
        let mut sums = vec![0.0_f32; side[0] * side[1]];
        let mut counts = vec![0_u32; side[0] * side[1]];
        let mut row = 0;
        self.volume.for_each_row(z, rows, columns, |values| {
            let to = row / scale * side[1];
            for (column, value) in values.iter().enumerate() {
                sums[to + column / scale] += value;
                counts[to + column / scale] += 1;
            }
            row += 1;
        })?;
        let [black, white] = self.range;
        let span = (white - black).max(f32::MIN_POSITIVE);
        let pixels: Vec<u8> = sums
            .iter()
            .zip(&counts)
            .map(|(sum, &count)| (255.0 * (sum / count as f32 - black) / span) as u8)
            .collect();
        encode(&pixels, side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::ArrayVolume;

    #[test]
    fn a_tile_holds_means_between_black_and_white() {
        let pixels: Vec<u8> = (0..2 * 300 * 300).map(|i| (i % 300 / 2) as u8).collect();
        let volume = ArrayVolume::from_u8([2, 300, 300], &pixels).unwrap();
        let tiles = Tiles::new(Arc::new(volume)).unwrap();
        let read = |bytes: Vec<u8>| {
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            let info = reader.info();
            ([info.height as usize, info.width as usize], pixels)
        };
        let (size, pixels) = read(tiles.png(1, 0, 256, 1).unwrap());
        assert_eq!((size, pixels.len()), ([256, 44], 256 * 44));
        let (size, pixels) = read(tiles.png(0, 0, 0, 2).unwrap());
        assert_eq!(size, [150, 150]);
        assert!(pixels[..150].is_sorted() && pixels[0] == 0 && pixels[149] >= 254);
        for (z, y, x, scale) in [(2, 0, 0, 1), (0, 1, 0, 1), (0, 512, 0, 1), (0, 0, 0, 3)] {
            assert!(tiles.png(z, y, x, scale).is_err());
        }
    }
}

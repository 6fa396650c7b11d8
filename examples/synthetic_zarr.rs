//! A large OME-Zarr volume for trying out `askem score`: chunked, zstd-compressed, written chunk by chunk.
//!
//! `cargo run --release --example synthetic_zarr -- OUT.zarr SECTIONS ROWS COLUMNS`
//!
//! The phantom is drawn once for a few chunks and repeated, turned over and a little brighter or darker each time: drawing a gigavoxel
//! of tissue would take hours. Without arguments a small one is written to the temporary folder and read back.

use std::path::{Path, PathBuf};

use askem::data::phantom::Phantom;
use askem::data::volume::{OmeKind, OmeZarrWriter, Volume, open_raw};
use serde_json::json;

/// Sides of the piece that is repeated: those of a chunk.
const TILE: [usize; 3] = [16, 512, 512];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        let out = std::env::temp_dir().join(format!("askem-synthetic-{}.zarr", std::process::id()));
        let outcome = write(&out, [18, 96, 600]).and_then(|()| show(&out));
        let _ = std::fs::remove_dir_all(&out);
        return Ok(outcome?);
    }
    let sides: Vec<usize> =
        arguments[1..].iter().map(|side| side.parse()).collect::<Result<_, _>>()?;
    let shape =
        sides.try_into().map_err(|_| "usage: synthetic_zarr OUT.zarr SECTIONS ROWS COLUMNS")?;
    let out = PathBuf::from(&arguments[0]);
    write(&out, shape)?;
    Ok(show(&out)?)
}

fn write(out: &Path, shape: [usize; 3]) -> askem::Result<()> {
    let tile_shape = [0, 1, 2].map(|i| TILE[i].min(shape[i]));
    let tile = Phantom::new(tile_shape, 1)?;
    let sections: Vec<Vec<f32>> = (0..tile_shape[0])
        .map(|z| Ok(tile.read_section(z)?.pixels))
        .collect::<askem::Result<_>>()?;
    let about = json!({"example": "a repeated phantom"});
    let writer = OmeZarrWriter::create(out, shape, OmeKind::Grey, about, false)?;
    let [_, rows, columns] = tile_shape;
    for chunk in (0..writer.chunks()).filter(|&chunk| !writer.is_done(chunk)) {
        let region = writer.region(chunk);
        // Eight ways to turn a chunk over, and seven brightnesses.
        let turn = [chunk & 1, chunk & 2, chunk & 4].map(|bit| bit > 0);
        let brightness = (chunk % 7) as f32 * 3.0 - 9.0;
        let at = |i: usize, side: usize, turned: bool| if turned { side - 1 - i } else { i };
        let mut values = Vec::with_capacity(region.z.len() * region.height() * region.width());
        for z in 0..region.z.len() {
            let section = &sections[at(z, tile_shape[0], turn[0])];
            for y in 0..region.height() {
                let row = &section[at(y, rows, turn[1]) * columns..][..columns];
                let pixel =
                    |x: usize| (row[at(x, columns, turn[2])] + brightness).clamp(0.0, 255.0);
                values.extend((0..region.width()).map(pixel));
            }
        }
        writer.write(chunk, &values)?;
    }
    writer.finish()
}

fn show(out: &Path) -> askem::Result<()> {
    let volume = open_raw(out)?;
    let [z, y, x] = volume.shape();
    let section = volume.read_section(z - 1)?;
    let mean = section.pixels.iter().sum::<f32>() / section.pixels.len() as f32;
    println!("{z} x {y} x {x}, chunks of {:?}, mean of the last section {mean:.1}", volume.chunk());
    Ok(())
}

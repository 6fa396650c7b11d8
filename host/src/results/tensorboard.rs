//! Event files that TensorBoard reads.
//!
//! Source: TensorFlow's `event.proto` and `summary.proto` (the fields used here), and its TFRecord framing: length, masked CRC-32C of the
//! length, payload, masked CRC-32C of the payload, all little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::{Message, Oneof};

use crate::error::{Error, Result};

/// Writes events into a folder, in a file of its own; what it has taken is on disk.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// A new file in a folder, which is made if it is missing.
    ///
    /// If the folder has event files, TensorBoard forgets what they say of `from` and later steps.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn create(folder: &Path, from: i64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, "can't make the folder", e))?;
        let look = |e| Error::io(folder, "can't look into the folder", e);
        let earlier = fs::read_dir(folder).map_err(look)?.count();
        // TensorBoard reads files in order of their names.
        let path =
            folder.join(format!("events.out.tfevents.{:010}.{earlier:04}.askem", now() as u64));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| Error::io(&path, "can't make the event file", e))?;
        let mut writer = Self { path, file };
        writer.event(0, What::FileVersion("brain.Event:2".into()))?;
        if earlier > 0 {
            writer.event(from, What::SessionLog(SessionLog { status: SESSION_START }))?;
        }
        Ok(writer)
    }

    /// A point of a curve.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn scalar(&mut self, tag: &str, step: i64, value: f64) -> Result<()> {
        self.value(tag, step, Kind::SimpleValue(value as f32))
    }

    /// A picture: the bytes of a PNG file with colours.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn image(
        &mut self,
        tag: &str,
        step: i64,
        [height, width]: [usize; 2],
        png: Vec<u8>,
    ) -> Result<()> {
        let [height, width] = [height, width].map(|side| i32::try_from(side).unwrap_or(i32::MAX));
        self.value(tag, step, Kind::Image(Image { height, width, colorspace: RGB, encoded: png }))
    }

    fn value(&mut self, tag: &str, step: i64, kind: Kind) -> Result<()> {
        let values = vec![Value { tag: tag.into(), kind: Some(kind) }];
        self.event(step, What::Summary(Summary { values }))
    }

    fn event(&mut self, step: i64, what: What) -> Result<()> {
        let event = Event { wall_time: now(), step, what: Some(what) };
        let record = record(&event.encode_to_vec());
        self.file.write_all(&record).map_err(|e| Error::io(&self.path, "can't write", e))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A payload as a TFRecord.
fn record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let checksum = |bytes: &[u8]| masked(crc32c::crc32c(bytes)).to_le_bytes();
    [&length[..], &checksum(&length), payload, &checksum(payload)].concat()
}

/// A checksum made unlike that of data which holds checksums.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `SessionLog.START`.
const SESSION_START: i32 = 1;
/// `Summary.Image.colorspace`.
const RGB: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Kind", tags = "2, 4")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // The check value of CRC-32C, and TensorFlow's own test of its mask.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let crc = crc32c::crc32c(b"foo");
        assert_ne!(masked(crc), crc);
        assert_eq!(masked(0), 0xa282_ead8);
        assert_eq!(record(b"").len(), 16);
    }
}

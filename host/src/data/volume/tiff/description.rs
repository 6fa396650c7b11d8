//! What ImageJ and OME write into a TIFF's description: how many images, slices and channels.
//!
//! Pages of several channels or time points lie in one file one after the other. Read as
//! sections they would make a volume that never existed, so such files are refused.

use crate::{Error, Result};
use std::path::Path;

/// The counts of a description; 1 where it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// Images in the file, by ImageJ's count.
    pub(super) images: usize,
    slices: usize,
    channels: usize,
    times: usize,
}

impl Description {
    /// Reads `key=value` lines of ImageJ, or the attributes of OME-XML.
    pub(super) fn parse(text: &str) -> Self {
        let imagej = text.starts_with("ImageJ=");
        let ome = !imagej && text.contains("<OME");
        let read = |line: &str, attribute: &str| -> usize {
            let found = if imagej {
                text.lines().find_map(|l| l.strip_prefix(line))
            } else if ome {
                text.find(attribute).map(|at| &text[at + attribute.len()..])
            } else {
                None
            };
            let digits: String =
                found.unwrap_or("").chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(1).max(1)
        };
        Self {
            images: read("images=", "\0"),
            slices: read("slices=", " SizeZ=\""),
            channels: read("channels=", " SizeC=\""),
            times: read("frames=", " SizeT=\""),
        }
    }

    /// An error where the pages are more than one stack of sections.
    ///
    /// Time points without slices are taken for sections: that is how a stack looks when nobody
    /// told ImageJ which axis it is.
    pub(super) fn check_stack(&self, path: &Path, sections: usize) -> Result<()> {
        let interleaved =
            |count: usize| count > 1 && sections > 1 && sections.is_multiple_of(count);
        // An RGB page counts as three channels in OME, but as one page.
        let (what, count) = if interleaved(self.channels) && sections > self.slices * self.times {
            ("channels", self.channels)
        } else if interleaved(self.times) && self.slices > 1 && sections > self.slices {
            ("time points", self.times)
        } else {
            return Ok(());
        };
        Err(Error::Input(format!(
            "{}: the file holds {count} {what} in {sections} pages; save one of them as its own stack",
            path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, sections: usize) -> bool {
        Description::parse(text).check_stack(Path::new("a.tif"), sections).is_err()
    }

    #[test]
    fn stacks_pass_and_mixtures_are_refused() {
        assert!(!refused("", 20));
        assert!(!refused("ImageJ=1.53t\nimages=20\nslices=20\nloop=false\n", 20));
        assert!(!refused("ImageJ=1.53t\nimages=20\nframes=20\n", 20));
        assert!(refused("ImageJ=1.53t\nimages=40\nchannels=2\nslices=20\n", 40));
        assert!(refused("ImageJ=1.53t\nimages=40\nslices=20\nframes=2\n", 40));
        let ome =
            |c, z, t| format!("<?xml?><OME><Pixels SizeC=\"{c}\" SizeT=\"{t}\" SizeZ=\"{z}\"/>");
        assert!(!refused(&ome(1, 20, 1), 20));
        assert!(!refused(&ome(3, 21, 1), 21), "an RGB page is one page");
        assert!(refused(&ome(2, 20, 1), 40));
        assert!(refused(&ome(1, 20, 3), 60));
        assert_eq!(Description::parse("ImageJ=1.53t\nimages=7\n").images, 7);
        assert_eq!(Description::parse("ImageJ=x\nimages=\n").images, 1);
    }
}

//! What of a project's files is missing, or belongs to nothing.

use std::collections::HashSet;
use std::fs;

use super::{Asked, Project};
use crate::annotate::label_files::{self, FOLDER};
use crate::annotate::marks::State;
use crate::data::pool::Position;

impl Project {
    /// What should be there and is not, and what is there and belongs to nothing.
    pub(super) fn find_missing(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let show = self.path().display();
        let patches = self.patches();
        let has_file = |asked: &&Asked| label_files::path_of(self.path(), asked.at).exists();
        let done = patches.iter().filter(|asked| asked.state == State::Done);
        let missing = done.filter(|asked| !has_file(asked)).count();
        if missing > 0 {
            notes.push(format!(
                "{show}: {missing} patches are marked as done and have no file in {FOLDER}; put the \
                 files back, or label the patches again"
            ));
        }
        let known: HashSet<Position> = patches.iter().map(|asked| asked.at).collect();
        let files = fs::read_dir(self.path().join(FOLDER)).into_iter().flatten().flatten();
        let strange = files
            .filter_map(|file| label_files::position_of(&file.file_name().to_string_lossy()))
            .filter(|at| !known.contains(at))
            .count();
        if strange > 0 {
            notes.push(format!(
                "{show}: {strange} files in {FOLDER} are of no patch that the journal knows, and \
                 count for nothing; askem import takes them when their patches are asked for"
            ));
        }
        if !self.records.is_empty() && matches!(self.last_network(), Ok(None)) {
            notes.push(format!(
                "{show}: the network of the last round is missing; the next one begins anew"
            ));
        }
        notes
    }
}

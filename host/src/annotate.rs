//! A person in the loop: a folder with a volume's labels and networks, files for other tools, and
//! a page on which to paint while the network learns.

mod import;
mod label_files;
mod learn;
mod live;
mod marks;
mod person;
mod project;
mod queries;
pub mod server;
mod undo;

pub use import::{Imported, import};
pub use label_files::{UNLABELLED, UNSURE};
pub use learn::learn;
pub use marks::State;
pub use project::{Asked, Project, require_person};
pub use queries::write_query;
pub use undo::{Undone, undo};

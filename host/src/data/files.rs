//! Files that appear under their names only when they are complete and on the disk, and what kills leave of others.
//!
//! A file is written beside its name as `.NAME.PROCESS.NUMBER.partial`, under a lock that ends with the process. So a file of that
//! kind whose lock is free belongs to a process that is dead, on whatever machine it ran, and may be taken away.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Writes a file under another name, waits until it is on the disk, then gives it its name.
///
/// # Errors
/// If the disk is full or refuses; the file of that name is then as before.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = Partial::create(path).and_then(|(partial, mut file)| {
        file.write_all(bytes)?;
        partial.place(&file)
    });
    written.map_err(|e| Error::io(path, "can't write", e))
}

/// A file on its way: removed if it is dropped before it has its name.
pub(crate) struct Partial {
    path: PathBuf,
    temporary: PathBuf,
}

impl Partial {
    /// Makes a file beside the name that it is to have.
    pub(crate) fn create(path: &Path) -> io::Result<(Self, File)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let temporary =
                path.with_file_name(format!(".{name}.{}.{number}.partial", std::process::id()));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            let file = match options.open(&temporary) {
                Ok(file) => file,
                // Of a process of the same number, on another machine or long ago.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            };
            // Where a file system knows no locks, nobody takes files for dead either.
            let locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            // Another process may have looked between the two and taken it for a dead one's.
            if locked && temporary.exists() {
                return Ok((Self { path: path.to_path_buf(), temporary }, file));
            }
        }
    }

    /// Gives the file its name, over a file of that name, when its bytes are on the disk; then the name is too.
    pub(crate) fn place(self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        sync_folder(&self.path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After `place` there is no such file any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Waits until the names in a file's folder are on the disk. Other systems than Unix do so by themselves.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder)?.sync_all() {
        // Some network file systems refuse to; they keep names on the server.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Makes a folder and those above it, and waits until they are on the disk.
///
/// # Errors
/// If the system refuses.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    let made = fs::create_dir_all(folder)
        .and_then(|()| missing.into_iter().rev().try_for_each(sync_folder));
    made.map_err(|e| Error::io(folder, "making the folder", e))
}

/// Removes what dead processes left half-written of the files of a folder that are `ours`. What can't be judged is left.
pub(crate) fn remove_leftovers(folder: &Path, ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(partial) = name.to_str().and_then(PartialName::parse) else { continue };
        if !ours(partial.target) || !partial.may_be_dead() {
            continue;
        }
        let path = entry.path();
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        if file.try_lock().is_ok() {
            // Under the lock, so that nobody begins with it meanwhile; it may be gone already.
            let _ = fs::remove_file(&path);
        }
    }
}

/// What the name of a half-written file says.
struct PartialName<'a> {
    /// The name that the file would have got.
    target: &'a str,
    process: u64,
    /// Whether its writer holds a lock; programs of before there were numbers hold none.
    is_locked: bool,
}

impl<'a> PartialName<'a> {
    /// `.NAME.PROCESS.NUMBER.partial`, or `.NAME.PROCESS.partial` of earlier versions.
    fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix('.')?.strip_suffix(".partial")?;
        let (before, last) = rest.rsplit_once('.')?;
        let last: u64 = last.parse().ok()?;
        if let Some((target, process)) = before.rsplit_once('.')
            && let Ok(process) = process.parse()
        {
            return Some(Self { target, process, is_locked: true });
        }
        Some(Self { target: before, process: last, is_locked: false })
    }

    /// Whether a free lock says that the writer is dead.
    fn may_be_dead(&self) -> bool {
        let processes = Path::new("/proc");
        self.is_locked
            || processes.join("self").exists() && !processes.join(self.process.to_string()).exists()
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

/// What a hasher has come to, in hexadecimal.
pub(crate) fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        write_atomically(&path, b"old").unwrap();
        let (partial, mut file) = Partial::create(&path).unwrap();
        file.write_all(b"ne").unwrap();
        drop(partial);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.tif"]);
        assert!(write_atomically(&folder.path().join("none/a.tif"), b"").is_err());
    }

    #[test]
    fn only_what_the_dead_left_of_ours_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mine = format!(".a.tif.{}.partial", std::process::id());
        for name in [
            ".a.tif.4194999.0.partial",
            ".a.tif.4194999.partial",
            ".b.tif.4194999.0.partial",
            "thesis.partial",
            ".a.tif.notes.partial",
            &mine,
        ] {
            fs::write(at(name), "x").unwrap();
        }
        let (alive, _file) = Partial::create(&at("a.tif")).unwrap();
        remove_leftovers(folder.path(), |name| name == "a.tif");
        let mut left = vec![
            mine,
            ".a.tif.notes.partial".into(),
            ".b.tif.4194999.0.partial".into(),
            "thesis.partial".into(),
            alive.temporary.file_name().unwrap().to_str().unwrap().to_string(),
        ];
        left.sort();
        assert_eq!(names(folder.path()), left);
    }
}

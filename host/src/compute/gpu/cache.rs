//! What a later start need not find out again, in the user's cache folder.
//!
//! There is a folder for each kind of finding and in it a file for each device with its driver. A
//! file that is damaged or absent costs time, and nothing else.

#[cfg(feature = "files")]
pub(super) use files::{Cache, Kind};
#[cfg(not(feature = "files"))]
pub(super) use nothing::{Cache, Kind};

#[cfg(feature = "files")]
mod files {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;
    use std::{env, fs, io, process};

    use crate::compute::loaded_from;

    /// The findings about one device.
    #[derive(Clone, Debug)]
    pub(in crate::compute::gpu) struct Cache {
        /// All that tells the device and its driver from others.
        device: String,
    }

    /// A kind of finding.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::compute::gpu) enum Kind {
        /// Which forms of shaders are the fastest. Of no use to other shaders.
        Tuning,
        /// Whether the self-test passed. Of no use to another build of the program either, or where
        /// other forms are asked for.
        SelfTest,
        /// Pipelines as the driver compiled them.
        Pipelines,
    }

    impl Kind {
        fn folder(self) -> &'static str {
            match self {
                Self::Tuning => "tuning",
                Self::SelfTest => "self-test",
                Self::Pipelines => "pipelines",
            }
        }
    }

    impl Cache {
        pub(in crate::compute::gpu) fn of_device(device: String) -> Self {
            Self { device }
        }

        /// The device's description, which files hold for people who read them.
        pub(in crate::compute::gpu) fn device(&self) -> &str {
            &self.device
        }

        /// Where a finding is kept, if anywhere.
        pub(in crate::compute::gpu) fn file(&self, kind: Kind) -> Option<PathBuf> {
            let mut hasher = DefaultHasher::new();
            (&self.device, shaders()).hash(&mut hasher);
            if kind == Kind::SelfTest {
                let settings = ["ASKEM_FORMS", "ASKEM_MEMORY_MODEL"].map(env::var_os);
                (binary(), settings).hash(&mut hasher);
            }
            let extension = if kind == Kind::Pipelines { "bin" } else { "json" };
            let name = format!("{:016x}.{extension}", hasher.finish());
            Some(folder()?.join(kind.folder()).join(name))
        }

        pub(in crate::compute::gpu) fn read(&self, kind: Kind) -> Option<Vec<u8>> {
            fs::read(self.file(kind)?).ok()
        }

        /// Keeps a finding for later starts, if it can be written.
        pub(in crate::compute::gpu) fn write(&self, kind: Kind, bytes: &[u8]) {
            if let Some(file) = self.file(kind) {
                let _ = write(&file, bytes);
            }
        }
    }

    /// `ASKEM_CACHE`, or askem's folder among the user's caches.
    fn folder() -> Option<PathBuf> {
        match env::var_os("ASKEM_CACHE") {
            Some(folder) => Some(folder.into()),
            None => Some(dirs::cache_dir()?.join("askem")),
        }
    }

    /// Changes with every shader.
    fn shaders() -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in askem_wgsl::SHADERS.iter().flat_map(|shader| shader.entries) {
            for form in entry.forms {
                form.source(&[]).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Changes with every build: the size and time of the file that holds this code, and of the file by whose name it was started, which is
    /// another one where a loader runs it.
    fn binary() -> [Option<(u64, SystemTime)>; 2] {
        let known = |path: PathBuf| {
            let file = fs::metadata(path).ok()?;
            Some((file.len(), file.modified().ok()?))
        };
        let started = env::args_os().next().map(PathBuf::from);
        [loaded_from::file(), started].map(|path| path.and_then(known))
    }

    fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        // Another process may write the same file: the last whole one stays.
        let part = file.with_extension(format!("{}.part", process::id()));
        fs::write(&part, bytes)?;
        fs::rename(&part, file)
    }
}

/// Without files nothing is kept.
#[cfg(not(feature = "files"))]
mod nothing {
    #[derive(Clone, Debug)]
    pub(in crate::compute::gpu) struct Cache;

    #[derive(Clone, Copy, Debug)]
    pub(in crate::compute::gpu) enum Kind {
        Pipelines,
    }

    impl Cache {
        pub(in crate::compute::gpu) fn of_device(_: String) -> Self {
            Self
        }

        pub(in crate::compute::gpu) fn read(&self, _: Kind) -> Option<Vec<u8>> {
            None
        }

        pub(in crate::compute::gpu) fn write(&self, _: Kind, _: &[u8]) {}
    }
}

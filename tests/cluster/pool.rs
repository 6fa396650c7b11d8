//! A pool that takes a while to score, what one process chooses from it, and the loss of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use askem::data::phantom::Phantom;
use askem::data::volume::Volume;
use serde_json::Value;
use tempfile::TempDir;
use tiff::encoder::colortype::Gray8;

use crate::program::{askem, binary};

/// An engine that takes longer is taken to hang.
const LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(20);
const PARTS: usize = 4;
const SCORE: [&str; 8] =
    ["--stride", "16", "--chunk-patches", "64", "--threads", "1", "--device", "cpu"];
const SELECT: [&str; 7] =
    ["--strategy", "core_set", "--query", "8", "--min-distance", "32", "--json"];

pub(crate) struct Pool {
    folder: TempDir,
}

impl Pool {
    /// Volume, weights and a pool.env in a folder.
    pub(crate) fn new() -> Self {
        let pool = Self { folder: TempDir::new().unwrap() };
        let shape = [12, 512, 512];
        let phantom = Phantom::pair(shape, 3).unwrap();
        let file = fs::File::create(pool.path("raw.tif")).unwrap();
        let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
        for z in 0..shape[0] {
            let pixels = phantom.raw.read_section(z).unwrap().pixels;
            let pixels: Vec<u8> = pixels.iter().map(|&pixel| pixel as u8).collect();
            encoder.write_image::<Gray8>(512, 512, &pixels).unwrap();
        }
        let small = ["--phantom-shape", "4x256x256", "--patch", "64", "--width", "8"];
        let short = ["--epochs", "1", "--initial", "4", "--pool", "4", "--iterations", "0"];
        let run = askem(["run", "--device", "cpu"]).args(small).args(short);
        run.path("--out", &pool.path("run")).succeed();
        let show = |path: PathBuf| path.display().to_string();
        let settings = [
            format!("ASKEM={}", binary().display()),
            format!("WEIGHTS={}", show(pool.path("run/weights.safetensors"))),
            format!("RAW={}", show(pool.path("raw.tif"))),
            format!("SCORES={}", show(pool.path("scores.zarr"))),
            format!("PICKS={}", show(pool.path("picks.jsonl"))),
            format!("PARTS={PARTS}"),
            format!("SCORE_OPTIONS=({})", SCORE.join(" ")),
            format!("SELECT_OPTIONS=({})", SELECT.join(" ")),
        ];
        fs::write(pool.path("pool.env"), settings.join("\n")).unwrap();
        pool
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What one process chooses, from a store of its own.
    fn choice_of_one_process(&self) -> String {
        let store = self.path("one.zarr");
        askem(["score"])
            .args(SCORE)
            .path("--raw", &self.path("raw.tif"))
            .path("--weights", &self.path("run/weights.safetensors"))
            .path("--out", &store)
            .succeed();
        askem(["select"]).args(SELECT).args([&store]).succeed().stdout
    }

    /// Kills a scoring process of the engine as `kill -9` does when part of the work is done, waits for the choice, and compares it.
    ///
    /// `alive` panics where the engine is at its end.
    pub(crate) fn survives_a_kill(&self, mut alive: impl FnMut()) {
        self.wait("a process at work", &mut alive, || {
            let chunks = fs::read_dir(self.path("scores.zarr/scores/c")).map_or(0, Iterator::count);
            let victim = self.scoring_process().filter(|_| chunks > 0)?;
            // It may have ended by itself.
            let kill = Command::new("kill").args(["-9", &victim.to_string()]).output().unwrap();
            kill.status.success().then_some(())
        });
        assert!(!self.path("picks.jsonl").exists(), "nothing was left to do");
        let choice = self.wait("the choice", &mut alive, || {
            fs::read_to_string(self.path("picks.jsonl")).ok().filter(|text| !text.is_empty())
        });
        let [choice, alone] = [choice, self.choice_of_one_process()].map(|text| picks(&text));
        assert_eq!(choice.len(), 8, "{choice:?}");
        assert_eq!(choice, alone);
    }

    /// A process of this pool that scores, by its arguments.
    fn scoring_process(&self) -> Option<u32> {
        let store = self.path("scores.zarr").display().to_string();
        let processes = fs::read_dir("/proc").expect("these tests need Linux");
        processes.flatten().find_map(|process| {
            let number = process.file_name().to_str()?.parse().ok()?;
            let arguments = fs::read(process.path().join("cmdline")).ok()?;
            let mut words = arguments.split(|&byte| byte == 0);
            let scores = words.next()?.ends_with(b"/askem")
                && words.next()? == b"score"
                && words.any(|word| word == store.as_bytes());
            scores.then_some(number)
        })
    }

    /// Waits for something, but not for ever.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        alive: &mut impl FnMut(),
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let clock = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            alive();
            assert!(clock.elapsed() < LIMIT, "{what} does not come; {}", self.logs());
            sleep(POLL);
        }
    }

    /// What the engine's tasks and daemons wrote.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for folder in [self.path("logs"), self.folder.path().to_path_buf()] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if [".out", ".err", ".log"].iter().any(|ending| name.ends_with(ending)) {
                    let written = fs::read_to_string(entry.path()).unwrap_or_default();
                    text += &format!("\n== {name}\n{written}");
                }
            }
        }
        text
    }
}

/// Lines of `askem select`, without the store's path.
fn picks(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text}"));
    let mut picks: Vec<Value> = text.lines().map(parse).collect();
    picks.iter_mut().for_each(|pick| drop(pick.as_object_mut().unwrap().remove("store")));
    picks
}

/// The folder of the scripts.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster")
}

/// A process that ends with the test.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        // Lets it end its own processes.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let clock = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && clock.elapsed() < Duration::from_secs(10) {
            sleep(POLL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! What a run shows and writes while it goes.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::estimate::Estimate;
use super::tensorboard::TensorBoard;
use crate::cli::progress::{Bar, human_time, interrupted, title};
use crate::cli::say;
use crate::data::volume::{Section, TiffStackWriter};
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, FirstChoice, Observer, Phase, Record, Test};
use crate::learning::train::{Losses, TrainState};
use crate::network::unet::Weights;
use crate::network::weights::TrainedNetwork;
use crate::results::report::{self, Details};
use crate::results::run_dir::RunDir;

/// Seconds between two checkpoints of one training.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

pub(super) struct RunObserver<'a> {
    dir: &'a RunDir,
    config: &'a Config,
    test: &'a [Test<'a>],
    /// Makes a file's network of weights.
    trained: &'a dyn Fn(Weights) -> TrainedNetwork,
    json: bool,
    board: Option<TensorBoard>,
    /// Of the whole run, in milliseconds of its estimate.
    bar: Option<Bar>,
    estimate: Estimate,
    /// The second of the estimate that is reached, and what a unit of the phase takes.
    at: f64,
    per_unit: f64,
    iterations: usize,
    saved: Instant,
    /// Of a test volume, whose number it is.
    segmentation: Option<(usize, TiffStackWriter)>,
    /// Of the iteration under way, for the report.
    details: Details,
    first: Option<FirstChoice>,
}

impl<'a> RunObserver<'a> {
    pub(super) fn new(
        dir: &'a RunDir,
        config: &'a Config,
        test: &'a [Test<'a>],
        trained: &'a dyn Fn(Weights) -> TrainedNetwork,
        json: bool,
        board: Option<TensorBoard>,
        estimate: Estimate,
    ) -> Self {
        let iterations = if config.strategy == "full" { 0 } else { config.iterations };
        Self {
            dir,
            config,
            test,
            trained,
            json,
            board,
            bar: None,
            estimate,
            at: 0.0,
            per_unit: 0.0,
            iterations,
            saved: Instant::now(),
            segmentation: None,
            details: Details::default(),
            first: None,
        }
    }

    pub(super) fn table_head(&self) -> Result<()> {
        say(COLUMNS.map(|(name, width)| format!("{name:>width$}")).join("  "))
    }

    pub(super) fn table_row(&self, record: &Record) -> Result<()> {
        let seconds = &record.seconds;
        let cells = [
            record.iteration.to_string(),
            record.labelled.to_string(),
            format!("{:.1} %", 100.0 * record.labelled_foreground),
            self.config.epochs_of_record(record).to_string(),
            format!("{:.4}", record.loss),
            record.jaccard.map_or_else(|| "-".into(), |jaccard| format!("{jaccard:.3}")),
            human_time(seconds.train),
            human_time(seconds.evaluate),
            human_time(seconds.score),
        ];
        let line: Vec<String> =
            cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect();
        say(line.join("  "))
    }

    /// One section of a test region with its segmentation, errors in colour.
    fn draw_overlay(&self, volume: usize, z: usize, classes: &[u8]) -> Result<()> {
        let Test { reader, labels } = self.test[volume];
        let region = &reader.region;
        let section = reader.section(z)?;
        let width = section.width;
        let labels = labels.section(z)?;
        let rows =
            || region.y.clone().map(|y| y * width + region.x.start..y * width + region.x.end);
        let raw = Section {
            height: region.height(),
            width: region.width(),
            pixels: rows().flat_map(|row| &section.pixels[row]).copied().collect(),
        };
        let labels: Vec<u8> = rows().flat_map(|row| &labels[row]).copied().collect();
        report::write_overlay(&self.file_of(volume, "png"), &raw, &labels, classes)
    }

    /// A file of a test volume's segmentation.
    fn file_of(&self, volume: usize, extension: &str) -> PathBuf {
        self.dir.segmentation(volume, self.test.len()).with_extension(extension)
    }

    /// The file to which sections of a volume's segmentation are written; completes that of the volume
    /// before.
    fn writer_of(&mut self, volume: usize) -> Result<&mut TiffStackWriter> {
        if let Some((_, before)) = self.segmentation.take_if(|(of, _)| *of != volume) {
            before.finish()?;
        }
        let writer = match self.segmentation.take() {
            Some((_, writer)) => writer,
            None => {
                let reader = self.test[volume].reader;
                let region = &reader.region;
                let shape = [region.z.len(), region.height(), region.width()];
                TiffStackWriter::create(&self.file_of(volume, "tif"), shape)?
                    .with_voxel_nm(reader.voxel_nm())
            }
        };
        Ok(&mut self.segmentation.insert((volume, writer)).1)
    }

    /// Ends the bar and completes the segmentation's file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.bar = None;
        self.segmentation.take().map_or(Ok(()), |(_, writer)| writer.finish())
    }
}

fn thousandths(seconds: f64) -> u64 {
    (1000.0 * seconds) as u64
}

/// The summary's columns: it grows by a row per iteration, so widths are fixed.
const COLUMNS: [(&str, usize); 9] = [
    ("iteration", 9),
    ("labelled", 8),
    ("foreground", 10),
    ("epochs", 6),
    ("loss", 7),
    ("Jaccard", 7),
    ("training", 11),
    ("evaluation", 11),
    ("selection", 11),
];

impl Observer for RunObserver<'_> {
    fn phase(&mut self, iteration: usize, phase: Phase, done: u64, total: u64) {
        let (before, seconds) = self.estimate.of(iteration, phase);
        self.at = before;
        self.per_unit = seconds / total.max(1) as f64;
        let whole =
            || Bar::new(String::new(), thousandths(before), thousandths(self.estimate.total()));
        let bar = self.bar.get_or_insert_with(whole);
        bar.set_title(title(iteration, self.iterations, phase));
        bar.message(String::new());
        self.advance(done);
    }

    fn advance(&mut self, units: u64) {
        self.at += units as f64 * self.per_unit;
        if let Some(bar) = &self.bar {
            bar.set_done(thousandths(self.at));
        }
    }

    fn epoch_done(&mut self, _: usize, epoch: usize, losses: Losses) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.message(format!("loss {:.4}", losses.train));
        }
        self.board.as_mut().map_or(Ok(()), |board| board.epoch_done(epoch, losses))
    }

    fn stop_requested(&self) -> bool {
        interrupted()
    }

    fn wants_checkpoint(&self) -> bool {
        self.saved.elapsed() > CHECKPOINT_EVERY
    }

    fn checkpoint(&mut self, iteration: usize, state: &TrainState) -> Result<()> {
        self.dir.write_checkpoint(iteration, state)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn segmentation(&mut self, volume: usize, z: usize, classes: &[u8]) -> Result<()> {
        let sections = &self.test[volume].reader.region.z;
        let middle = sections.start + sections.len() / 2;
        if let Some(folder) = self.file_of(volume, "tif").parent() {
            fs::create_dir_all(folder)
                .map_err(|e| Error::io(folder, "can't make the folder", e))?;
        }
        if z == middle {
            self.draw_overlay(volume, z, classes)?;
            self.details.sections.push(z);
        }
        let several_classes = self.config.net.classes > 2;
        let writer = self.writer_of(volume)?;
        match several_classes {
            false => writer.push_labels(classes),
            true => writer.push_classes(classes),
        }
    }

    fn calibration(&mut self, iteration: usize, bins: &[[u64; 2]; 10]) -> Result<()> {
        let sections = std::mem::take(&mut self.details.sections);
        let calibration = bins.to_vec();
        self.details = Details { iteration, calibration, sections, ..Details::default() };
        Ok(())
    }

    fn chosen(&mut self, _: usize, scores: &[f32], first: &FirstChoice) -> Result<()> {
        self.details.set_scores(scores);
        self.first = Some(first.clone());
        Ok(())
    }

    fn network(&mut self, iteration: usize, weights: &Weights) -> Result<()> {
        self.dir.write_network(iteration, &(self.trained)(weights.clone()))
    }

    fn iteration_done(&mut self, record: &Record) -> Result<()> {
        self.details.write(self.dir.path(), self.first.take().as_ref())?;
        let last = record.iteration == self.iterations;
        if last {
            self.bar = None;
        }
        if last && let Some((_, writer)) = self.segmentation.take() {
            // Before the journal's last line, after which nothing is computed again.
            writer.finish()?;
        }
        if let Some(board) = &mut self.board {
            board.iteration_done(record, self.config.epochs_of_record(record))?;
            if last && let Some(test) = self.test.first() {
                let region = &test.reader.region;
                let png = self.dir.segmentation(0, self.test.len()).with_extension("png");
                board.segmentation(record.labelled, [region.height(), region.width()], &png)?;
            }
        }
        let line = self.dir.append(record)?;
        let write = || if self.json { say(line) } else { self.table_row(record) };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

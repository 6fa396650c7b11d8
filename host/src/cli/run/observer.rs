//! What a run shows and writes while it goes.

use std::time::{Duration, Instant};

use super::tensorboard::TensorBoard;
use crate::cli::progress::{Bar, human_time, interrupted, title};
use crate::cli::say;
use crate::data::pool::PatchReader;
use crate::data::volume::{CachedLabels, Section, TiffStackWriter};
use crate::error::Result;
use crate::learning::protocol::{Config, FirstChoice, Observer, Phase, Record};
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
    test: &'a PatchReader,
    test_labels: &'a CachedLabels,
    json: bool,
    board: Option<TensorBoard>,
    bar: Option<Bar>,
    saved: Instant,
    segmentation: Option<TiffStackWriter>,
    /// Of the iteration under way, for the report.
    details: Details,
    first: Option<FirstChoice>,
}

impl<'a> RunObserver<'a> {
    pub(super) fn new(
        dir: &'a RunDir,
        config: &'a Config,
        test: &'a PatchReader,
        test_labels: &'a CachedLabels,
        json: bool,
        board: Option<TensorBoard>,
    ) -> Self {
        Self {
            dir,
            config,
            test,
            test_labels,
            json,
            board,
            bar: None,
            saved: Instant::now(),
            segmentation: None,
            details: Details::default(),
            first: None,
        }
    }

    fn iterations(&self) -> usize {
        if self.config.strategy == "full" { 0 } else { self.config.iterations }
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
            format!("{:.3}", record.jaccard_or_nan()),
            human_time(seconds.train),
            human_time(seconds.evaluate),
            human_time(seconds.score),
        ];
        let line: Vec<String> =
            cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect();
        say(line.join("  "))
    }

    /// One section of the test region with its segmentation, errors in colour.
    fn draw_overlay(&self, z: usize, classes: &[u8]) -> Result<()> {
        let region = &self.test.region;
        let section = self.test.section(z)?;
        let width = section.width;
        let labels = self.test_labels.section(z)?;
        let rows =
            || region.y.clone().map(|y| y * width + region.x.start..y * width + region.x.end);
        let raw = Section {
            height: region.height(),
            width: region.width(),
            pixels: rows().flat_map(|row| &section.pixels[row]).copied().collect(),
        };
        let labels: Vec<u8> = rows().flat_map(|row| &labels[row]).copied().collect();
        report::write_overlay(&self.dir.file("segmentation.png"), &raw, &labels, classes)
    }

    /// Ends the bar and completes the segmentation's file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.bar = None;
        self.segmentation.take().map_or(Ok(()), TiffStackWriter::finish)
    }
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
        self.bar = None;
        self.bar = Some(Bar::new(title(iteration, self.iterations(), phase), done, total));
    }

    fn advance(&mut self, units: u64) {
        if let Some(bar) = &self.bar {
            bar.advance(units);
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

    fn segmentation(&mut self, z: usize, classes: &[u8]) -> Result<()> {
        let region = &self.test.region;
        if z == region.z.start + region.z.len() / 2 {
            self.draw_overlay(z, classes)?;
        }
        let writer = match &mut self.segmentation {
            Some(writer) => writer,
            None => {
                let path = self.dir.file("segmentation.tif");
                let shape = [region.z.len(), region.height(), region.width()];
                let writer = TiffStackWriter::create(&path, shape)?;
                self.segmentation.insert(writer.with_voxel_nm(self.test.voxel_nm()))
            }
        };
        match self.config.net.classes {
            2 => writer.push_labels(classes),
            _ => writer.push_classes(classes),
        }
    }

    fn calibration(&mut self, iteration: usize, bins: &[[u64; 2]; 10]) -> Result<()> {
        self.details = Details { iteration, calibration: bins.to_vec(), ..Details::default() };
        Ok(())
    }

    fn chosen(&mut self, _: usize, scores: &[f32], first: &FirstChoice) -> Result<()> {
        self.details.set_scores(scores);
        self.first = Some(first.clone());
        Ok(())
    }

    fn network(&mut self, iteration: usize, weights: &Weights) -> Result<()> {
        let Config { net, patch, .. } = *self.config;
        let scaling = self.test.scaling;
        let trained = TrainedNetwork { net, weights: weights.clone(), patch, scaling };
        self.dir.write_network(iteration, &trained)
    }

    fn iteration_done(&mut self, record: &Record) -> Result<()> {
        self.bar = None;
        self.details.write(self.dir.path(), self.first.take().as_ref())?;
        let last = record.iteration == self.iterations();
        if last && let Some(writer) = self.segmentation.take() {
            // Before the journal's last line, after which nothing is computed again.
            writer.finish()?;
        }
        if let Some(board) = &mut self.board {
            board.iteration_done(record, self.config.epochs_of_record(record))?;
            if last {
                let region = &self.test.region;
                let png = self.dir.file("segmentation.png");
                board.segmentation(record.labelled, [region.height(), region.width()], &png)?;
            }
        }
        let line = self.dir.append(record)?;
        if self.json { say(line) } else { self.table_row(record) }
    }
}

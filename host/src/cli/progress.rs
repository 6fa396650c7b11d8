//! Progress bars on standard error, and the wish to stop.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::learning::protocol::Phase;

/// Set by the first Ctrl-C; the second one ends the process at once.
static STOP: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();

/// Lets Ctrl-C ask for a stop instead of killing the process.
pub(super) fn catch_interrupt() {
    HANDLER.call_once(|| {
        // Without a handler Ctrl-C just kills: the run still goes on from its last checkpoint.
        let _ = ctrlc::set_handler(|| {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            note!("\naskem: saving the state; press Ctrl-C again to stop at once");
        });
    });
}

/// Asks for a stop as Ctrl-C does.
pub(super) fn request_stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// Whether somebody pressed Ctrl-C.
pub(super) fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// One bar at a time, with its speed and the time that is left.
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar for `total` units; nothing is drawn where standard error is not a terminal.
    pub(super) fn new(title: String, done: u64, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = "{prefix:<30} {bar:30} {percent:>3} %  {msg}  {eta} left";
        let style = ProgressStyle::with_template(template).expect("a valid template");
        bar.set_style(style.progress_chars("━━ "));
        bar.set_prefix(title);
        bar.set_position(done);
        bar.reset_eta();
        Self { bar }
    }

    pub(super) fn advance(&self, units: u64) {
        self.bar.inc(units);
    }

    pub(super) fn message(&self, text: String) {
        self.bar.set_message(text);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar's title for a phase.
pub(super) fn title(iteration: usize, iterations: usize, phase: Phase) -> String {
    let phase = match phase {
        Phase::Train => "training",
        Phase::Evaluate => "evaluating",
        Phase::Score => "scoring the pool",
    };
    format!("iteration {iteration}/{iterations} {phase}")
}

/// A span of time as people say it: `3 d 4 h`, `12 min`, `5 s`.
pub(super) fn human_time(seconds: f64) -> String {
    let total = seconds.max(0.0).round() as u64;
    let (d, h, m, s) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{m} min {s} s"),
        (0, _, _) => format!("{h} h {m} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// A number of bytes as people say it.
pub(super) fn human_bytes(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        assert_eq!(human_time(4.6), "5 s");
        assert_eq!(human_time(125.0), "2 min 5 s");
        assert_eq!(human_time(7260.0), "2 h 1 min");
        assert_eq!(human_time(300_000.0), "3 d 11 h");
        assert_eq!(human_bytes(3 << 19), "1.5 MiB");
    }
}

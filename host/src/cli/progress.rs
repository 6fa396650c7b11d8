//! Progress bars on standard error, and the wish to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::is_quiet;
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

/// One bar at a time, with the time that is left. Where standard error is no terminal, a line every half
/// minute says the same.
pub(super) struct Bar {
    bar: ProgressBar,
    total: u64,
    lines: Mutex<Lines>,
}

/// When lines were written.
struct Lines {
    begun: Instant,
    /// Units that were done then.
    first: u64,
    last: Instant,
}

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(30);

impl Bar {
    /// A bar for `total` units, of which some are done.
    pub(super) fn new(title: String, done: u64, total: u64) -> Self {
        let target = match is_quiet() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{prefix:<30} {bar:30} {percent:>3} %  {msg}  {eta} left";
        let style = ProgressStyle::with_template(template).expect("a valid template");
        bar.set_style(style.progress_chars("━━ "));
        bar.set_prefix(title);
        bar.set_position(done);
        bar.reset_eta();
        let now = Instant::now();
        Self { bar, total, lines: Mutex::new(Lines { begun: now, first: done, last: now }) }
    }

    pub(super) fn advance(&self, units: u64) {
        self.bar.inc(units);
        self.say_if_due();
    }

    pub(super) fn set_title(&self, title: String) {
        self.bar.set_prefix(title);
    }

    /// So many units are done, whatever was said before.
    pub(super) fn set_done(&self, done: u64) {
        self.bar.set_position(done.min(self.total));
        self.say_if_due();
    }

    pub(super) fn message(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Writes something while the bar is out of the way.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    fn say_if_due(&self) {
        if !self.bar.is_hidden() || is_quiet() {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.elapsed() < LINE_EVERY {
            return;
        }
        lines.last = Instant::now();
        let share = |units: u64| units as f64 / self.total.max(1) as f64;
        let elapsed = lines.begun.elapsed().as_secs_f64();
        let line = line(share(lines.first), share(self.bar.position()), elapsed);
        note!("{}: {line}", self.bar.prefix());
    }
}

/// How far a work is that was at the share `from` of it so many seconds ago and is at `now`.
fn line(from: f64, now: f64, elapsed: f64) -> String {
    let percent = (100.0 * now).floor();
    if now <= from {
        return format!("{percent:.0} %");
    }
    let left = elapsed * (1.0 - now).max(0.0) / (now - from);
    format!("{percent:.0} %, about {} left", human_time(left))
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
    fn a_line_says_how_far_it_is_and_what_is_left() {
        assert_eq!(line(0.0, 0.25, 30.0), "25 %, about 1 min 30 s left");
        // Half of it was done before.
        assert_eq!(line(0.5, 0.75, 60.0), "75 %, about 1 min 0 s left");
        assert_eq!(line(0.5, 0.5, 60.0), "50 %");
        assert_eq!(line(0.0, 1.0, 60.0), "100 %, about 0 s left");
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(human_time(4.6), "5 s");
        assert_eq!(human_time(125.0), "2 min 5 s");
        assert_eq!(human_time(7260.0), "2 h 1 min");
        assert_eq!(human_time(300_000.0), "3 d 11 h");
        assert_eq!(human_bytes(3 << 19), "1.5 MiB");
    }
}

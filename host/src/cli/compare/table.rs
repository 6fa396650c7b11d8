//! What a comparison comes to, on the terminal.

use crate::cli::progress::human_time;
use crate::cli::table::Table;
use crate::results::comparison::{Summary, Test};

pub(super) fn of(summaries: &[Summary]) -> Table {
    let mut table = Table::new(&[
        "strategy",
        "Jaccard at the end",
        "from random (p)",
        "mean of the curve",
        "from random (p)",
        "labels saved",
        "claim",
        "for 90 %",
        "95 %",
        "foreground",
        "time",
    ]);
    let labels = |value: Option<f64>| value.map_or("-".into(), |v: f64| format!("{v:.0}"));
    let test = |test: Option<Test>| {
        test.map_or("-".into(), |t| format!("{:+.3} ({:.3})", t.difference, t.corrected))
    };
    for s in summaries {
        let claim = s.claim.as_ref();
        let saved = s.saving.filter(|_| claim.is_some()).map_or("-".into(), |saving| {
            let factor = saving.factor.map_or("never".into(), |f| format!("{f:.1} times"));
            format!("{factor} ({:.1} to {:.1})", saving.interval[0], saving.interval[1])
        });
        table.row(vec![
            s.strategy.clone(),
            s.last.show(),
            test(claim.map(|claim| claim.last)),
            s.area.show(),
            test(claim.map(|claim| claim.area)),
            saved,
            claim.map_or("-".into(), |claim| claim.verdict.to_string()),
            labels(s.labels_for_90),
            labels(s.labels_for_95),
            format!("{:.1} %", 100.0 * s.labelled_foreground.mean),
            human_time(s.seconds.mean),
        ]);
    }
    table
}

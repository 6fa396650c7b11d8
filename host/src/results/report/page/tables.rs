//! The tables of a run's page.

use super::super::escape;
use super::parts::section;
use crate::learning::protocol::Record;
use crate::learning::stopping::advice;

/// The Jaccard index of each class after each iteration.
pub(super) fn classes(records: &[Record]) -> String {
    let classes = records.iter().filter_map(|r| r.class_jaccard.as_ref()).map(Vec::len).max();
    let names: String =
        (1..=classes.unwrap_or(0)).map(|class| format!("<th>class {class}</th>")).collect();
    let mut out = format!(
        "<p class=\"soft\">Jaccard index on the test region; the index above is their \
         mean. A class that is neither there nor predicted has none.</p><div class=\"table\"><table>\
         <tr><th>labelled patches</th><th>mean</th>{names}</tr>"
    );
    let cell = |index: &Option<f64>| {
        format!("<td>{}</td>", index.map_or_else(|| "–".into(), |index| format!("{index:.3}")))
    };
    for r in records {
        let cells: String = r.class_jaccard.iter().flatten().map(cell).collect();
        out += &format!("<tr><td>{}</td>{}{cells}</tr>", r.labelled, cell(&r.jaccard));
    }
    section("Each class", false, &(out + "</table></div>"))
}

/// The Jaccard index on each test volume after each iteration.
pub(super) fn volumes(records: &[Record], tests: &[String]) -> String {
    let mut out = String::from(
        "<p class=\"soft\">Jaccard index on each test volume; the index above is \
         of all their pixels together.</p><div class=\"table\"><table><tr><th>volume</th>",
    );
    for record in records {
        out += &format!("<th>{} patches</th>", record.labelled);
    }
    out += "</tr>";
    for (volume, name) in tests.iter().enumerate() {
        out += &format!("<tr><td>{}</td>", escape(name));
        for record in records {
            let index = record.volume_jaccard.as_ref().and_then(|of| of.get(volume));
            out += &format!("<td>{}</td>", index.map_or("–".into(), |index| format!("{index:.3}")));
        }
        out += "</tr>";
    }
    section("Each volume", false, &(out + "</table></div>"))
}

/// What the rounds changed, and whether a person should go on.
pub(super) fn whether_to_go_on(records: &[Record]) -> String {
    let mut out = String::new();
    match advice(records) {
        Some(advice) => out += &format!("<p>{}</p>", escape(&advice.text)),
        None => {
            out += "<p class=\"soft\">That shows after two rounds that learnt from new labels.</p>"
        }
    }
    out += "<div class=\"table\"><table><tr><th>round</th><th>labelled patches</th>\
            <th>pixels changed</th><th>Jaccard index on labels not seen</th>\
            <th>mean entropy, nats</th></tr>";
    let cell = |value: Option<f64>, show: fn(f64) -> String| {
        format!("<td>{}</td>", value.map_or_else(|| "–".into(), show))
    };
    for r in records {
        out += &format!(
            "<tr><td>{}</td><td>{}</td>{}{}{}</tr>",
            r.iteration,
            r.labelled,
            cell(r.changed_pixels, |share| format!("{:.1} %", 100.0 * share)),
            cell(r.unseen_jaccard, |jaccard| format!("{jaccard:.3}")),
            cell(r.mean_entropy, |entropy| format!("{entropy:.3}")),
        );
    }
    section("When is it enough?", false, &(out + "</table></div>"))
}

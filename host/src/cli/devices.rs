//! `askem devices`: what there is to compute on.

use serde::Serialize;

use super::table::Table;
use super::{Common, say, say_json};
use crate::compute::device::{self, Cores, CoresFrom, DeviceReport, LeftOutForm, PrecisionState};
use crate::error::Result;

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    backend: &'a str,
    kind: &'a str,
    cores: Option<u32>,
    features: &'a [String],
    precisions: Vec<String>,
    by_precision: Vec<PrecisionRow<'a>>,
    left_out: Vec<LeftOutRow<'a>>,
    self_test: &'a str,
    auto: bool,
}

#[derive(Serialize)]
struct PrecisionRow<'a> {
    precision: String,
    /// `works`, `refused` or `not tried`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct LeftOutRow<'a> {
    precision: String,
    form: &'a str,
    why: &'a str,
}

fn by_precision(device: &DeviceReport) -> Vec<PrecisionRow<'_>> {
    let mut rows = Vec::new();
    for (precision, state) in &device.by_precision {
        let (state, why) = match state {
            PrecisionState::Works => ("works", None),
            PrecisionState::Refused(why) => ("refused", Some(why.as_str())),
            PrecisionState::NotTried(why) => ("not tried", Some(why.as_str())),
        };
        rows.push(PrecisionRow { precision: precision.to_string(), state, why });
    }
    rows
}

fn left_out(device: &DeviceReport) -> Vec<LeftOutRow<'_>> {
    let mut rows = Vec::new();
    for (precision, LeftOutForm { form, why }) in &device.left_out {
        rows.push(LeftOutRow { precision: precision.to_string(), form, why });
    }
    rows
}

/// Below the table: why a device does not compute in a precision that its kind may have, and without which forms it does.
fn reasons(device: &DeviceReport) -> Vec<String> {
    let mut lines = Vec::new();
    if device.backend == "native" {
        return lines;
    }
    for PrecisionRow { precision, state, why } in by_precision(device) {
        if let Some(why) = why {
            lines.push(format!("{}: {precision} is {state}: {why}", device.name));
        }
    }
    for LeftOutRow { precision, form, why } in left_out(device) {
        lines.push(format!("{}: {precision} does without {form}: {why}", device.name));
    }
    lines
}

fn precisions(device: &DeviceReport) -> Vec<String> {
    device.precisions.iter().map(ToString::to_string).collect()
}

/// What a device is taken to have, and how that is known if not by its name.
fn counted(cores: Cores) -> String {
    match cores.from {
        CoresFrom::Card => cores.count.to_string(),
        CoresFrom::Processor => format!("{} (threads)", cores.count),
        CoresFrom::Guess => format!("{} (a guess)", cores.count),
    }
}

pub(super) fn execute(common: &Common) -> Result<()> {
    let devices = device::list();
    if common.json {
        let rows: Vec<Row<'_>> = devices
            .iter()
            .map(|d| Row {
                name: &d.name,
                backend: d.backend,
                kind: d.kind,
                cores: d.cores.map(|cores| cores.count),
                features: &d.features,
                precisions: precisions(d),
                by_precision: by_precision(d),
                left_out: left_out(d),
                self_test: &d.self_test,
                auto: d.auto,
            })
            .collect();
        return say_json(&rows);
    }
    let mut table = Table::new(&[
        "device",
        "backend",
        "kind",
        "cores",
        "self-test",
        "auto",
        "precisions",
        "features",
    ]);
    for d in &devices {
        table.row(vec![
            d.name.clone(),
            d.backend.into(),
            d.kind.into(),
            d.cores.map(counted).unwrap_or_default(),
            d.self_test.clone(),
            if d.auto { "yes".into() } else { String::new() },
            precisions(d).join(" "),
            d.features.join(" "),
        ]);
    }
    say(table)?;
    devices.iter().flat_map(reasons).try_for_each(say)
}

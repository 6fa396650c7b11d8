//! `askem devices`: what there is to compute on.

use serde::Serialize;

use super::table::Table;
use super::{Common, say, say_json};
use crate::device::{self, DeviceReport};
use crate::error::Result;
use crate::gpu::{Cores, CoresFrom};

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    backend: &'a str,
    kind: &'a str,
    cores: Option<u32>,
    features: &'a [String],
    precisions: Vec<String>,
    self_test: &'a str,
    auto: bool,
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
    say(table)
}

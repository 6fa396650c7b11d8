//! Nothing is left out: every pass has a parity test and a place in the table of operations.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use askem_kernels::SIGNATURES;

use crate::ops::TESTED;

#[test]
fn every_pass_has_a_parity_test() {
    let all: BTreeSet<_> = SIGNATURES.iter().map(|signature| signature.name).collect();
    let tested: BTreeSet<_> = TESTED.iter().copied().collect();
    assert_eq!(tested, all);
    assert_eq!(tested.len(), TESTED.len(), "a pass is tested twice");
}

/// Op and passes of each row of the table of operations.
fn table() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = fs::read_to_string(path).expect("the table is there");
    let table = text.lines().skip_while(|line| *line != "| op | passes |").skip(2);
    let row = |line: &str| {
        let quoted = |cell: &str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let (op, passes) = line.trim_matches('|').split_once('|').expect("two cells");
        let [op] = &quoted(op)[..] else { panic!("a row names one op: {line}") };
        (op.clone(), quoted(passes))
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn the_table_lists_every_op_with_its_passes() {
    let mut listed = table();
    listed.sort();
    let mut ops: Vec<(String, Vec<String>)> = Vec::new();
    for signature in SIGNATURES {
        match ops.iter_mut().find(|(op, _)| op == signature.op) {
            Some((_, passes)) => passes.push(signature.pass.into()),
            None => ops.push((signature.op.into(), vec![signature.pass.into()])),
        }
    }
    ops.sort();
    assert_eq!(listed, ops);
}

/// The op's name is the same everywhere.
#[test]
fn every_op_has_its_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for signature in SIGNATURES {
        for file in [
            format!("kernels/src/{}.rs", signature.op),
            format!("wgsl/shaders/{}.wgsl", signature.op),
        ] {
            assert!(root.join(&file).is_file(), "{} has no {file}", signature.name);
        }
    }
}

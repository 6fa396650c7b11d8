//! Microsoft's compiler on the HLSL.

use std::io::Write as _;
use std::process::{Command, Stdio};

use naga::valid::Capabilities;
use serde_json::{Value, json};

use crate::modules::{self, Candidate};
use crate::tools::tool;

/// What the compiler is asked: the text and wgpu's arguments.
fn job(name: &str, text: &str, entry_point: &str, model: &str, half: bool) -> Value {
    let profile = format!("cs_{model}");
    // naga does not write HLSL 2021.
    let mut arguments =
        vec!["-E", entry_point, "-T", &profile, "-HV", "2018", "-no-warnings", "-Ges"];
    if half {
        arguments.push("-enable-16bit-types");
    }
    json!({ "name": name, "source": text, "arguments": arguments })
}

/// All that a module is compiled as.
fn jobs(candidate: &Candidate) -> Vec<Value> {
    let half = candidate.needs(Capabilities::SHADER_FLOAT16);
    let jobs = candidate.shader_models().map(|model| {
        let (text, entry_point) = candidate.hlsl(model).expect("another test says which fail");
        let name = format!("{} for model {}", candidate.name, model.to_str());
        job(&name, &text, &entry_point, model.to_str(), half)
    });
    jobs.collect()
}

/// Compiles in a process of its own. For each job the compiler's message, or the bytes of the object.
fn compile(jobs: &[Value]) -> Vec<Result<usize, String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/platforms/dxc.py");
    let mut python = Command::new(tool("python3"))
        .arg(script)
        .arg(tool("libdxcompiler.so"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = python.stdin.take().expect("it is a pipe");
    // The script reads everything before it answers.
    let sent = input.write_all(json!(jobs).to_string().as_bytes());
    drop(input);
    let output = python.wait_with_output().expect("the script ends");
    assert!(output.status.success() && sent.is_ok(), "{:?}: see above", output.status);
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).expect("it answers in JSON");
    assert_eq!(answers.len(), jobs.len());
    let answer = |answer: &Value| match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer["bytes"].as_u64().expect("an error or a size") as usize),
    };
    answers.iter().map(answer).collect()
}

#[test]
fn every_module_compiles() {
    let jobs: Vec<_> = modules::all().iter().flat_map(jobs).collect();
    let failed: Vec<String> = jobs
        .iter()
        .zip(compile(&jobs))
        .filter_map(|(job, answer)| match answer {
            Ok(bytes) if bytes > 0 => None,
            Ok(_) => Some(format!("{}: no object", job["name"])),
            Err(error) => Some(format!("{}: {error}", job["name"])),
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), jobs.len(), failed.join("\n"));
    eprintln!("{} texts compile", jobs.len());
}

/// The compiler, and the way it is called here, sees what is wrong.
#[test]
fn wrong_texts_are_refused() {
    let all = modules::all();
    let candidate = |name: &str| all.iter().find(|c| c.name == name).expect("it is there");
    let model = naga::back::hlsl::ShaderModel::V6_2;
    let (text, entry_point) = candidate("probe f16").hlsl(model).expect("it translates");
    let (relu, forward) = candidate("relu::forward").hlsl(model).expect("it translates");
    let undeclared =
        relu.replacen("return", "undeclared = 1; return", 1) + "\nint undeclared2 = x;";
    let jobs = [
        job("right", &text, &entry_point, "6_2", true),
        job("f16 without 16-bit types", &text, &entry_point, "6_0", true),
        job("a name that is not declared", &undeclared, &forward, "6_0", false),
        job("no such entry point", &relu, "elsewhere", "6_0", false),
        job("right too", &relu, &forward, "6_0", false),
    ];
    let answers = compile(&jobs);
    assert!(answers[0].is_ok() && answers[4].is_ok(), "{answers:?}");
    let error = |i: usize| answers[i].clone().expect_err("it is wrong");
    assert!(error(1).contains("16bit") || error(1).contains("16-bit"), "{}", error(1));
    assert!(error(2).contains("undeclared identifier"), "{}", error(2));
    assert!(error(3).contains("elsewhere") || error(3).contains("entry"), "{}", error(3));
}

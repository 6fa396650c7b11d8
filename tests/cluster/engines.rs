//! HyperQueue with a server and workers of this machine, and the schema of Kubernetes.

use std::fs::File;
use std::process::Command;

use crate::pool::{Owned, Pool, scripts};
use crate::tools::tool;

#[test]
fn hyperqueue_scores_and_chooses_through_a_kill() {
    let pool = Pool::new();
    let log = |name: &str| File::create(pool.path(name)).unwrap();
    let script = Command::new(tool("engines/bin/python"))
        .arg(scripts().join("hyperqueue/submit.py"))
        .args(["--local", "3", "--logs"])
        .args([pool.path("logs"), pool.path("pool.env")])
        .stdout(log("submit.out"))
        .stderr(log("submit.err"))
        .spawn();
    let mut script = Owned(script.unwrap());
    pool.survives_a_kill(|| {
        if let Some(status) = script.0.try_wait().unwrap() {
            assert!(status.success(), "{status}; {}", pool.logs());
        }
    });
    assert!(script.0.wait().unwrap().success(), "{}", pool.logs());
    assert!(pool.logs().contains("askem was killed (status 137, attempt 1 of 3)"));
}

#[test]
fn manifests_fit_the_schema_of_kubernetes() {
    let manifests = scripts().join("kubernetes");
    let validate = |path: &std::path::Path| {
        Command::new(tool("engines/bin/kubernetes-validate"))
            .args(["--strict", "--kubernetes-version", "1.33"])
            .arg(path)
            .output()
            .unwrap()
    };
    for name in ["score.yaml", "select.yaml"] {
        let output = validate(&manifests.join(name));
        assert!(output.status.success(), "{name}: {output:?}");
    }
    // The judge can say no.
    let folder = tempfile::tempdir().unwrap();
    let wrong = std::fs::read_to_string(manifests.join("score.yaml")).unwrap();
    let wrong = wrong.replace("completionMode:", "completionModes:");
    let path = folder.path().join("wrong.yaml");
    std::fs::write(&path, wrong).unwrap();
    assert!(!validate(&path).status.success());
}

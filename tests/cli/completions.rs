//! What shells and manuals know of the commands.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::program::askem;

#[test]
fn each_shell_gets_a_script_that_names_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = askem(["completions", shell]).succeed().stdout;
        for word in ["compare", "annotate", "holdout", "label-offset"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let other = askem(["completions", "csh"]).run();
    assert!(other.code == Some(2) && other.stderr.contains("zsh"), "{other:#?}");
    askem(["completions", "bash", "--json"]).run().refuses(2, &["--json", "a script"]);
    let folder = tempdir().unwrap();
    let path = folder.path().join("askem.bash");
    fs::write(&path, askem(["completions", "bash"]).succeed().stdout).unwrap();
    let ask = format!(
        "source {}; COMP_WORDS=(askem co); COMP_CWORD=1; _askem askem co askem; echo \"${{COMPREPLY[@]}}\"",
        path.display()
    );
    let found = Command::new("bash").args(["-c", &ask]).stderr(Stdio::null()).output();
    let found = found.expect("bash, by which test.sh runs too");
    let words = String::from_utf8(found.stdout).unwrap();
    let words: BTreeSet<&str> = words.split_whitespace().collect();
    assert_eq!(words, BTreeSet::from(["compare", "completions"]));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempdir().unwrap();
    let dir = folder.path().join("man/man1");
    askem(["man", "--json"]).args([&dir]).run().refuses(2, &["--json", "pages"]);
    assert!(!dir.exists());
    let outcome = askem(["man"]).args([&dir]).succeed();
    assert!(outcome.stdout.contains("askem.1"), "{outcome:#?}");
    for (page, text) in [
        ("askem.1", "compare"),
        ("askem-run.1", "strategy"),
        ("askem-train.1", "holdout"),
        ("askem-bench-score.1", "patches"),
    ] {
        let page = fs::read_to_string(dir.join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(page.starts_with(".ie") && page.contains(".TH askem"), "{page}");
        assert!(page.contains(text), "{text}: {page}");
    }
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    askem(["man"]).args([&file]).run().refuses(1, &["file", "can't make the folder"]);
}

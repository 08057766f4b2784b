//! The commands as their users run them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::daemon::programs;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn kakou(arguments: &[&str]) -> Output {
    Command::new(programs().join("kakou")).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .unwrap_or_else(|e| panic!("{e}: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn no_command_prints_what_a_terminal_acts_on_whoever_has_written_it() {
    let folder = tempfile::tempdir().unwrap();
    let kakou = |arguments: &[&str]| {
        let out = Command::new(programs().join("kakou"))
            .current_dir(folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let name = "gate\u{1b}[2J\u{9b}1m\u{202e}\r.toml";
    std::fs::write(folder.path().join(name), kakou(&["profile", "show", "school-gate"])).unwrap();
    let printed = kakou(&["profile", "check", name]);
    assert!(printed.contains("in order"), "{printed:?}");
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!printed.contains(acts), "{printed:?}");
}

#[test]
fn a_pass_is_issued_and_verified_and_a_changed_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (key, trust, qr) =
        (path(folder.path(), "a.pk8"), path(folder.path(), "trust.json"), path(folder.path(), "a.svg"));
    let made = kakou(&["pass", "key", "--out", &key, "--trust", &trust, "--usage", "vehicle-pass"]);
    assert!(made.status.success(), "{made:?}");
    let fields =
        ["plate=辽P12345", "category=emergency-supplies", "from=211400", "to=210100", "uses=1", "crew=2"];
    let issue = [
        &["pass", "issue", "--key", &key, "--kind", "vehicle-pass", "--qr", &qr, "--json"],
        fields.as_slice(),
    ]
    .concat();
    let text = json(&kakou(&issue))["text"].as_str().unwrap().to_owned();
    assert!(std::fs::read_to_string(&qr).unwrap().starts_with("<svg"));

    let good = kakou(&["verify", &text, "--trust", &trust, "--json"]);
    assert_eq!(good.status.code(), Some(0));
    let report = json(&good);
    assert_eq!(
        (&report["verified"], &report["code"], &report["format"]),
        (&true.into(), &"OK".into(), &"KP1".into())
    );
    assert_eq!(report["claims"]["plate"], "辽P12345");

    let flipped = text[..text.len() - 3].to_owned() + "000";
    let bad = kakou(&["verify", &flipped, "--trust", &trust, "--json"]);
    assert_eq!((bad.status.code(), &json(&bad)["code"]), (Some(3), &Value::from("C_BADSIG")));
    let late = kakou(&["verify", &text, "--trust", &trust, "--at", "2040-01-01T00:00:00Z", "--json"]);
    assert_eq!((late.status.code(), &json(&late)["code"]), (Some(3), &Value::from("C_EXPIRED")));
    assert_eq!(kakou(&["verify", &text]).status.code(), Some(2), "a trust list is needed");
    assert_eq!(kakou(&["verify", &text, "--trust", "/nowhere"]).status.code(), Some(2));
    let wrong = kakou(&["pass", "issue", "--key", &key, "--kind", "vehicle-pass", "plate=辽P12345"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("field category is missing"), "{wrong:?}");
}

#[test]
fn profiles_are_checked_with_line_and_allowed_values() {
    assert!(kakou(&["profile", "check", "--json"]).status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "bad.toml");
    let shipped = String::from_utf8(kakou(&["profile", "show", "school-gate"]).stdout).unwrap();
    std::fs::write(&file, shipped.replace("kind = \"temperature\"", "kind = \"thermometer\"")).unwrap();
    let bad = kakou(&["profile", "check", &file]);
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(1));
    assert!(text.contains("bad.toml:") && text.contains("allowed: scan, temperature"), "{text}");
}

#[test]
fn help_teaches() {
    for arguments in
        [&["--help"][..], &["demo", "--help"], &["verify", "--help"], &["pass", "issue", "--help"]]
    {
        let help = kakou(arguments);
        assert!(help.status.success() && help.stdout.len() > 200, "{arguments:?}");
    }
    assert!(String::from_utf8_lossy(&kakou(&["openapi"]).stdout).contains("/api/v1/lanes/{lane}/actions"));
}

#[test]
fn a_command_whose_program_is_absent_names_the_package_that_brings_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let alone = folder.path().join("kakou");
    std::fs::hard_link(programs().join("kakou"), &alone).unwrap();
    let commands: [(&[&str], &str, &str); 6] = [
        (&["demo", "--headless"], "kakou-demo", "demo"),
        (&["central", "--help"], "kakou-central", "central"),
        (&["ca", "list"], "kakou-central", "ca"),
        (&["fleet", "watch"], "kakou-central", "fleet"),
        (&["feed", "make"], "kakou-central", "feed"),
        (&["pass", "issue", "--kind", "vehicle-pass"], "kakou-central", "pass issue"),
    ];
    for (arguments, package, command) in commands {
        let out = Command::new(&alone).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{said}");
        let what = format!("install the package {package}, which brings `kakou {command}`");
        assert!(said.contains(&what) && !said.contains("panicked"), "{said}");
    }
    let shown = Command::new(&alone).args(["pass", "show", "R-1"]).output().unwrap();
    assert!(shown.status.success(), "what a code says, a box shows without another program: {shown:?}");
}

#[test]
fn the_demo_runs_by_itself_and_loses_nothing() {
    for separator in [false, true] {
        let mut arguments = vec!["demo"];
        if separator {
            arguments.push("--");
        }
        arguments.extend(["--headless", "--seconds", "8", "--json"]);
        let demo = kakou(&arguments);
        let figures = json(&demo);
        assert!(demo.status.success(), "{demo:?}");
        let at_least =
            |key: &str, least: u64| assert!(figures[key].as_u64().unwrap() >= least, "{key}: {figures}");
        for (key, least) in
            [("visits", 3), ("admit", 1), ("events", 10), ("published", 10), ("receipted", 10)]
        {
            at_least(key, least);
        }
        for key in ["refer", "hold", "deny", "seals", "photos", "rss_mb"] {
            assert!(figures[key].is_number(), "{key}: {figures}");
        }
        assert_eq!(figures["lost"], 0, "{figures}");
    }
}

/// The command with a standard output, and perhaps a standard error, that nobody reads any more.
fn unread(program: &str, arguments: &[&str], error_too: bool) -> Output {
    let pipe = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut command = Command::new(programs().join(program));
    command.args(arguments).stdout(pipe());
    if error_too {
        command.stderr(pipe());
    } else {
        command.stderr(Stdio::piped());
    }
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_command_whose_output_nobody_reads_ends_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let (key, trust) = (path(folder.path(), "a.pk8"), path(folder.path(), "trust.json"));
    let config = path(folder.path(), "kakou.toml");
    std::fs::write(&config, "").unwrap();
    let commands: [&[&str]; 8] = [
        &["openapi"],
        &["asyncapi"],
        &["profile", "list"],
        &["profile", "show", "school-gate"],
        &["profile", "check"],
        &["devices", "drivers"],
        &["pass", "key", "--out", &key, "--trust", &trust, "--usage", "vehicle-pass"],
        &["verify", "x", "--trust", "/nowhere"],
    ];
    for command in commands {
        let out = unread("kakou", command, false);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{command:?}: {said}");
        let code = out.status.code();
        assert!(matches!(code, Some(141 | 2)), "{command:?}: {code:?} {said}");
        // What went wrong has nobody to hear it either.
        let code = unread("kakou", command, true).status.code();
        assert!(matches!(code, Some(141 | 1 | 2)), "{command:?}: {code:?}");
    }
    let checked = unread("kakoud", &["--check", "--config", &config], true).status.code();
    assert!(checked.is_some_and(|code| code != 101), "{checked:?}");
}

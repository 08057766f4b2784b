//! What a program is made of: what belongs to another side of the house is not linked into it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// What no box is made of: the central side with its database, its tables and what it lays out for printers, the authority,
/// the demo with its broker, and what drives a browser.
const NOT_IN_A_BOX: [&str; 9] = [
    "kakou-central",
    "tokio-postgres",
    "csv",
    "tower-http",
    "kakou-authority",
    "pdf-writer",
    "kakou-demo",
    "mqtt5",
    "thirtyfour",
];
/// What a shape that two programs share does not need: it waits for nothing and stores nothing.
const NOT_IN_A_SHAPE: [&str; 6] = ["tokio", "rusqlite", "rumqttc-next", "hyper", "axum", "rustix"];

/// The names of everything that a crate is made of, itself as well.
fn made_of(name: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", name, "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names = String::from_utf8(tree.stdout).unwrap();
    names.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

#[test]
fn a_box_is_made_of_nothing_that_belongs_to_the_central_side_the_authority_or_the_demo() {
    let made = made_of("kakou-gateway");
    for known in ["kakou-core", "kakou-wire", "kakou-drivers", "rusqlite"] {
        assert!(made.iter().any(|name| name == known), "the list says what is there: {known}");
    }
    let (demo, tests) = (made_of("kakou-demo"), ["thirtyfour"]);
    for name in NOT_IN_A_BOX.iter().filter(|name| !tests.contains(name)) {
        assert!(demo.iter().any(|made| made == name), "nothing has the name {name}");
    }
    let wrong: Vec<_> = made.iter().filter(|name| NOT_IN_A_BOX.contains(&name.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn shapes_and_the_core_need_no_runtime_no_store_and_no_network() {
    for name in ["kakou-core", "kakou-wire"] {
        let made = made_of(name);
        assert!(made.iter().any(|name| name == "serde"), "the list says what is there");
        let wrong: Vec<_> = made.iter().filter(|name| NOT_IN_A_SHAPE.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

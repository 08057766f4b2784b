//! How the programs are linked: those of the gateway, of the central side and of the demo.

fn main() {
    // No file but this one decides: whoever names none is run again with each change of any.
    println!("cargo:rerun-if-env-changed=CARGO_CFG_TARGET_ARCH");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|v| v == value);
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        // Addresses that the loader fills in take up a megabyte otherwise, which it reads from end to end.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

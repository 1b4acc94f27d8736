//! How the executable is linked: 2 MiB of addresses between its pieces, so that each can be moved to huge pages (src/huge.rs).
//! The alignment that the linker then writes into the file is taken out of it by ../build.py: the kernel would put the
//! executable at one of 512 times fewer addresses.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(key).unwrap_or_default();
    if target("CARGO_CFG_TARGET_ARCH") == "x86_64" && target("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,max-page-size=2097152");
    }
}

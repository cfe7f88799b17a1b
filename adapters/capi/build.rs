//! Gives the shared library its soname: programs ask for `libcamlane.so.0`, whichever 0.x is installed.

fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcamlane.so.{major}");
    println!("cargo:rerun-if-changed=build.rs");
}

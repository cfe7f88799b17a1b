//! Gives the shared library its soname: programs ask for `libcamlane.so.0`, whichever 0.x is installed. And keeps it in
//! memory once it is loaded: its threads, and what a thread of the program keeps of it, must not outlive its code.

fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcamlane.so.{major}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}

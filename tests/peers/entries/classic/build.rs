//! Compiles the programs in C and C++.

fn main() {
    for file in ["src/header24.cpp", "src/mutex.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    cc::Build::new()
        .cpp(true)
        .file("src/header24.cpp")
        .opt_level(2)
        .warnings_into_errors(true)
        .compile("header24");
    cc::Build::new().file("src/mutex.c").opt_level(2).warnings_into_errors(true).compile("mutex");
}

//! Compiles the pipelines in C against the GStreamer that is installed.

fn main() {
    println!("cargo::rerun-if-changed=src/pipelines.c");
    let library = match pkg_config::probe_library("gstreamer-app-1.0") {
        Ok(library) => library,
        Err(error) => panic!("GStreamer's development files are missing: {error}"),
    };
    let mut build = cc::Build::new();
    build.file("src/pipelines.c").opt_level(2).warnings_into_errors(true).includes(&library.include_paths);
    build.compile("pipelines");
    // After the object file that needs them.
    for name in &library.libs {
        println!("cargo::rustc-link-lib={name}");
    }
    println!("cargo::rustc-env=GSTREAMER_VERSION={}", library.version);
}

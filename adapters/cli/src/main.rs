//! The program `camlane`; see the library.

fn main() -> std::process::ExitCode {
    camlane_cli::main()
}

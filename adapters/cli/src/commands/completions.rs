//! `camlane completions`: what a shell needs to complete the commands.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde::Serialize;

use crate::output::Output;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(camlane completions bash)
  camlane completions zsh > ~/.zfunc/_camlane
  camlane completions fish > ~/.config/fish/completions/camlane.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Serialize)]
struct Script {
    shell: String,
    script: String,
}

impl Completions {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        // Hidden commands would be offered in some shells: only what can be seen is described.
        let program = super::Program::command();
        let mut visible = clap::Command::new("camlane")
            .version(env!("CARGO_PKG_VERSION"))
            .args(program.get_arguments().cloned())
            .subcommands(program.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut visible, "camlane", &mut script);
        if output.json {
            let script = String::from_utf8_lossy(&script).into_owned();
            output.value(&Script { shell: self.shell.to_string(), script })?;
        } else {
            io::stdout().lock().write_all(&script)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

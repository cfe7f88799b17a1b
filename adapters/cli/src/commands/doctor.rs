//! `camlane doctor`: is this machine ready, and if not, what to do.

mod checks;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::output::{Output, Paint};

/// Check this machine: shared memory, limits, kernel, leftovers; and say what to do
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane doctor
  camlane doctor --json | jq '.checks[] | select(.verdict != \"ok\")'

Exit status: 1 if a check failed; a warning is no failure.")]
pub(crate) struct Doctor {}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Report {
    checks: Vec<Check>,
    passed: bool,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let checks = checks::all();
        let passed = checks.iter().all(|check| check.verdict != Verdict::Fail);
        if output.json {
            output.value(&Report { checks, passed })?;
        } else {
            print(&checks, output)?;
        }
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(checks: &[Check], output: Output) -> std::io::Result<()> {
    let paint = Paint::stdout();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => paint.paint("32", "ok  "),
            Verdict::Warn => paint.paint("33", "warn"),
            Verdict::Fail => paint.paint("1;31", "FAIL"),
        };
        output.line(format_args!("{mark}  {}: {}", check.what, check.found))?;
        if let Some(advice) = &check.advice {
            output.line(format_args!("      {advice}"))?;
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    output.line(format_args!(
        "\n{} ok, {} warnings, {} failed",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail)
    ))
}

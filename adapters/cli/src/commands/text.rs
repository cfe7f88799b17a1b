//! `camlane text`: a message in a shared-memory object, as programs with `shm_open` and `strcpy` have it.

use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use camlane::legacy::{ObjectName, Opened, Text};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::commands::{self, TimedOut};
use crate::output::Output;
use crate::stop;

/// Read or write the message in a shared-memory object of an old program
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane text set backdoor 'a message'     makes the object if there is none
  camlane text get /backdoor                the same object; the slash changes nothing
  camlane text get backdoor --timeout 5     waits for the object and for a message in it

Exit status: 3 if there is no such object, 4 if none came in time.")]
pub(crate) struct TextArgs {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Write the message to standard output
    Get {
        /// Name of the object; a path names a regular file
        #[arg(value_parser = commands::object)]
        object: ObjectName,
        /// Wait so long for the object and for a message that is not empty
        #[arg(long, value_name = "SECONDS", value_parser = commands::seconds)]
        timeout: Option<Duration>,
    },
    /// Write a message into the object
    Set {
        /// Name of the object; a path names a regular file
        #[arg(value_parser = commands::object)]
        object: ObjectName,
        /// The message; - to read it from standard input
        message: String,
        /// Permissions of an object that is made, in octal
        #[arg(long, value_name = "MODE", default_value = "600", value_parser = commands::mode)]
        mode: u32,
    },
}

/// What was read or written.
#[derive(Debug, Serialize)]
struct Done {
    object: String,
    created: bool,
    text: String,
}

impl TextArgs {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        stop::on_signals()?;
        match self.order {
            Order::Get { object, timeout } => get(&object, timeout, output),
            Order::Set { object, message, mode } => set(&object, message, mode, output),
        }
    }
}

fn get(object: &ObjectName, timeout: Option<Duration>, output: Output) -> anyhow::Result<ExitCode> {
    let until = Instant::now() + timeout.unwrap_or_default();
    let message = loop {
        let found = Text::open(object).and_then(|text| text.get());
        let waits = timeout.is_some() && Instant::now() < until;
        match found {
            Ok(message) if !message.is_empty() || timeout.is_none() => break message,
            Ok(_) if !waits => return Err(TimedOut::after(timeout.unwrap_or_default()).into()),
            Err(error) if !waits => return Err(error.into()),
            _ if stop::sleep_until(until.min(Instant::now() + Duration::from_millis(5))) => {
                return Ok(ExitCode::FAILURE);
            }
            _ => {}
        }
    };
    if output.json {
        let text = String::from_utf8_lossy(&message).into_owned();
        output.value(&Done { object: object.to_string(), created: false, text })?;
    } else {
        let mut out = io::stdout().lock();
        out.write_all(&[&message[..], b"\n"].concat())?; // its bytes: nobody says that they are UTF-8
    }
    Ok(ExitCode::SUCCESS)
}

fn set(object: &ObjectName, message: String, mode: u32, output: Output) -> anyhow::Result<ExitCode> {
    let message = if message == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        bytes
    } else {
        message.into_bytes()
    };
    let (text, opened) = Text::open_or_create(object, mode)?;
    text.set(&message)?;
    if output.json {
        let text = String::from_utf8_lossy(&message).into_owned();
        output.value(&Done { object: object.to_string(), created: opened == Opened::Created, text })?;
    }
    Ok(ExitCode::SUCCESS)
}

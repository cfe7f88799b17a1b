//! `camlane cameras`: what cameras this machine has, and what they can do.

use std::process::ExitCode;

use anyhow::Context as _;
use camlane_v4l2::{Control, ControlKind, Device, Found, Mode, Offer, Rates, Sizes, cameras, find};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::{self, Output, Table};

/// List the cameras: formats, sizes, rates, controls
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  camlane cameras                            every camera, one a line
  camlane cameras /dev/video0                its formats, sizes, rates and controls
  camlane cameras 'HD Webcam'                the same by a part of its name
  camlane cameras --json | jq -r '.[].device'

Publish one with: camlane publish front-door --from camera:NAME")]
pub(crate) struct Cameras {
    /// One camera: its device, a link to it, its name or a part of it
    camera: Option<String>,
}

/// A camera, for programs.
#[derive(Debug, Serialize)]
struct CameraFacts {
    device: String,
    name: String,
    driver: String,
    bus: String,
    links: Vec<String>,
    multiplanar: bool,
    /// Ways into memory that the driver says that it has; `null` while another program streams.
    memory: Option<Vec<&'static str>>,
    formats: Vec<Value>,
    controls: Vec<Value>,
}

impl Cameras {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let mut all = cameras();
        if let Some(wanted) = &self.camera {
            let node = std::fs::canonicalize(find(wanted)?).unwrap_or_else(|_| wanted.into());
            let device = Device::open(&node)?; // says why, if it cannot be had
            all.retain(|found| found.path == device.path());
            drop(device);
        }
        if output.json {
            let facts: Vec<_> = all.iter().filter_map(|found| facts(found).ok()).collect();
            output.value(&facts)?;
            return Ok(ExitCode::SUCCESS);
        }
        match (&self.camera, all.first()) {
            (Some(_), Some(found)) => details(found, output)?,
            (_, None) => output
                .note("no cameras here that this user may open; `ls -l /dev/video*` shows whose they are"),
            (None, Some(_)) => table(&all).print(output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(all: &[Found]) -> Table {
    let mut table = Table::new(&["DEVICE", "NAME", "DRIVER", "WHERE"]);
    for Found { path, identity, .. } in all {
        table.row(vec![
            path.display().to_string(),
            identity.name.clone(),
            identity.driver.clone(),
            identity.bus.clone(),
        ]);
    }
    table
}

fn facts(found: &Found) -> anyhow::Result<CameraFacts> {
    let device = Device::open(&found.path)?;
    Ok(CameraFacts {
        device: found.path.display().to_string(),
        name: found.identity.name.clone(),
        driver: found.identity.driver.clone(),
        bus: found.identity.bus.clone(),
        links: found.links.iter().map(|link| link.display().to_string()).collect(),
        multiplanar: found.multiplanar,
        memory: device.memory_paths().ok().map(|paths| paths.iter().map(|path| path.name()).collect()),
        formats: device.offers()?.iter().map(format_facts).collect(),
        controls: device.controls()?.iter().map(control_facts).collect(),
    })
}

fn format_facts(offer: &Offer) -> Value {
    let sizes = match &offer.sizes {
        Sizes::Unknown => Value::Null,
        Sizes::Discrete(modes) => modes
            .iter()
            .map(|Mode { size: (width, height), rates }| json!({"width": width, "height": height, "rates": rate_facts(rates)}))
            .collect(),
        Sizes::Range { least, most, step, rates } => {
            json!({"least": least, "most": most, "step": step, "rates": rate_facts(rates)})
        }
    };
    json!({
        "fourcc": offer.fourcc.to_string(),
        "format": offer.format.map(|format| format.name()),
        "description": offer.description,
        "emulated": offer.emulated,
        "sizes": sizes,
    })
}

fn rate_facts(rates: &Rates) -> Value {
    match rates {
        Rates::Unknown => Value::Null,
        Rates::Discrete(rates) => json!(rates),
        Rates::Range { slowest, fastest } => json!({"slowest": slowest, "fastest": fastest}),
    }
}

fn control_facts(control: &Control) -> Value {
    let takes = match &control.kind {
        ControlKind::Integer { least, most, step } => json!({"least": least, "most": most, "step": step}),
        ControlKind::Boolean => json!("boolean"),
        ControlKind::Menu(entries) => json!({"menu": entries}),
        ControlKind::Bitmask(mask) => json!({"bits": mask}),
        _ => json!("button"),
    };
    json!({
        "name": control.name,
        "value": control.value,
        "default": control.default,
        "takes": takes,
        "read_only": control.read_only,
        "inactive": control.inactive,
    })
}

fn details(found: &Found, output: Output) -> anyhow::Result<()> {
    let device = Device::open(&found.path)?;
    output.line(format_args!(
        "{}: {} ({})",
        found.path.display(),
        found.identity.name,
        found.identity.driver
    ))?;
    for link in &found.links {
        output.line(format_args!("  also {}", link.display()))?;
    }
    let paths = device.memory_paths().context("another program streams from it")?;
    let names: Vec<_> = paths.iter().map(|path| path.name()).collect();
    output.line(format_args!("  memory: {}", names.join(", ")))?;
    let mut formats = Table::new(&["FORMAT", "CODE", "SIZES", "RATES"]);
    for offer in device.offers()? {
        let name = offer.format.map_or("-", |format| format.name());
        for (sizes, rates) in size_texts(&offer.sizes) {
            formats.row(vec![name.to_owned(), offer.fourcc.to_string(), sizes, rates]);
        }
    }
    formats.print(output)?;
    let mut controls = Table::new(&["CONTROL", " VALUE", " DEFAULT", "TAKES"]);
    for control in device.controls()? {
        let value = control.value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        controls.row(vec![control.name.clone(), value, control.default.to_string(), takes(&control)]);
    }
    output.line("")?;
    controls.print(output)?;
    Ok(())
}

fn size_texts(sizes: &Sizes) -> Vec<(String, String)> {
    match sizes {
        Sizes::Unknown => vec![("?".to_owned(), "?".to_owned())],
        Sizes::Discrete(modes) => modes
            .iter()
            .map(|Mode { size: (width, height), rates }| (format!("{width}x{height}"), rate_text(rates)))
            .collect(),
        Sizes::Range { least, most, step, rates } => {
            let text =
                format!("{}x{} to {}x{}, step {}x{}", least.0, least.1, most.0, most.1, step.0, step.1);
            vec![(text, rate_text(rates))]
        }
    }
}

fn rate_text(rates: &Rates) -> String {
    match rates {
        Rates::Unknown => "?".to_owned(),
        Rates::Discrete(rates) => rates.iter().map(|rate| output::rate(*rate)).collect::<Vec<_>>().join(" "),
        Rates::Range { slowest, fastest } => {
            format!("{} to {}", output::rate(*slowest), output::rate(*fastest))
        }
    }
}

fn takes(control: &Control) -> String {
    let text = match &control.kind {
        ControlKind::Integer { least, most, step: 0 | 1 } => format!("{least} to {most}"),
        ControlKind::Integer { least, most, step } => format!("{least} to {most}, step {step}"),
        ControlKind::Boolean => "off, on".to_owned(),
        ControlKind::Menu(entries) => {
            entries.iter().map(|(number, name)| format!("{number} {name}")).collect::<Vec<_>>().join(", ")
        }
        ControlKind::Bitmask(mask) => format!("bits of {mask:#x}"),
        _ => "a push".to_owned(),
    };
    match (control.read_only, control.inactive) {
        (true, _) => format!("{text} (read only)"),
        (_, true) => format!("{text} (without effect now)"),
        _ => text,
    }
}

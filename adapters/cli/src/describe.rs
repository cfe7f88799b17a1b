//! Frames and lanes in words and in JSON: what `ls`, `info`, `watch` and `snap` show.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;

use camlane::{Details, Flags, FrameDetails, FrameMeta, Health, LaneStatus, Pause};
use camlane_v4l2::MemoryPath;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// A frame's description, for programs. Times are nanoseconds, on the clock that is named; 0 is unknown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FrameFacts {
    pub(crate) number: u64,
    format: String,
    width: u32,
    height: u32,
    bytes: u32,
    planes: Vec<PlaneFacts>,
    capture_ns: u64,
    clock: &'static str,
    reference: &'static str,
    publish_ns: u64,
    source_sequence: u32,
    flags: Vec<String>,
    /// By which way a camera's driver wrote it; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<&'static str>,
    /// Copies on its way into the slot.
    copies: u32,
    user_bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<DetailFacts>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PlaneFacts {
    offset: u32,
    stride: u32,
    rows: u32,
    bytes: u32,
}

/// What few readers need; absent is not stated. Gains and the lens position are plain numbers here.
#[derive(Clone, Copy, Debug, Serialize)]
struct DetailFacts {
    /// Primaries, transfer, matrix (ITU-T H.273), range, chroma site.
    colour: [u8; 5],
    significant_bits: u8,
    orientation: u8,
    exposure_ns: Option<u64>,
    frame_duration_ns: Option<u64>,
    analogue_gain: Option<f64>,
    digital_gain: Option<f64>,
    colour_temperature_k: Option<u32>,
    lens_position: Option<f64>,
    sensor_temperature_c: Option<f64>,
    trigger: Option<u32>,
    region_of_interest: Option<[u32; 4]>,
    binning: Option<[u16; 2]>,
}

impl FrameFacts {
    /// Puts a frame's description into plain types.
    pub(crate) fn new(number: u64, meta: &FrameMeta) -> Self {
        let layout = &meta.layout;
        let planes = layout.planes().iter().map(|plane| PlaneFacts {
            offset: plane.offset,
            stride: plane.stride,
            rows: plane.rows,
            bytes: plane.bytes,
        });
        Self {
            number,
            format: layout.format.to_string(),
            width: layout.width,
            height: layout.height,
            bytes: layout.bytes,
            planes: planes.collect(),
            capture_ns: meta.capture_ns,
            clock: meta.clock.name(),
            reference: meta.reference.name(),
            publish_ns: meta.publish_ns,
            source_sequence: meta.source_sequence,
            flags: flag_names(meta),
            memory: MemoryPath::of(meta.flags).map(MemoryPath::name),
            copies: meta.flags.contains(Flags::COPIED).into(),
            user_bytes: meta.user_len,
            details: meta.details.as_ref().map(DetailFacts::new),
        }
    }
}

impl DetailFacts {
    fn new(details: &FrameDetails) -> Self {
        let fixed = |value: Option<u32>| value.map(|value| f64::from(value) / 65536.0);
        let colour = details.colour;
        Self {
            colour: [colour.primaries, colour.transfer, colour.matrix, colour.range, colour.chroma_site],
            significant_bits: details.significant_bits,
            orientation: details.orientation,
            exposure_ns: details.exposure_ns,
            frame_duration_ns: details.frame_duration_ns,
            analogue_gain: fixed(details.analogue_gain),
            digital_gain: fixed(details.digital_gain),
            colour_temperature_k: details.colour_temperature_k,
            lens_position: fixed(details.lens_position),
            sensor_temperature_c: details.sensor_temperature_mc.map(|mc| f64::from(mc) / 1000.0),
            trigger: details.trigger,
            region_of_interest: details.region_of_interest.map(|r| [r.x, r.y, r.width, r.height]),
            binning: details.binning,
        }
    }
}

/// The flags by name. core writes them as a set, `{KEY, COPIED}`, and is the one place that knows the names.
fn flag_names(meta: &FrameMeta) -> Vec<String> {
    let set = format!("{:?}", meta.flags);
    let names = set.trim_matches(['{', '}']).split(", ").filter(|name| !name.is_empty());
    names.map(ToOwned::to_owned).collect()
}

/// A lane, for programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LaneFacts {
    pub(crate) lane: String,
    /// The socket of a sealed lane; `None`: a named one.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) health: &'static str,
    #[serde(flatten)]
    pub(crate) usable: Option<UsableFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// What a lane that can be read says of itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UsableFacts {
    pub(crate) kind: &'static str,
    pub(crate) format: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rate: [u32; 2],
    /// Modulo 2^30.
    pub(crate) published: u32,
    pub(crate) dropped: u32,
    /// Why no frames come, if the producer says so.
    pub(crate) pause: Option<PauseFacts>,
    pub(crate) producer: ProcessFacts,
    /// `None`: this user may not look.
    pub(crate) consumers: Option<Vec<ConsumerFacts>>,
    pub(crate) memory_bytes: u64,
    pub(crate) slots: u32,
    pub(crate) slot_bytes: u32,
    pub(crate) seats: u32,
    pub(crate) pins: u32,
    pub(crate) history: u32,
    pub(crate) user_bytes: u32,
    pub(crate) frame_id: String,
    pub(crate) calibration: String,
    pub(crate) incarnation: String,
    pub(crate) made_seconds_ago: Option<f64>,
}

/// A pause in the frames.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PauseFacts {
    reason: &'static str,
    errno: Option<i32>,
    lasted_ns: u64,
    pub(crate) text: String,
}

impl From<Pause> for PauseFacts {
    fn from(pause: Pause) -> Self {
        let Pause { reason, errno, lasted, .. } = pause;
        Self { reason: reason.name(), errno, lasted_ns: lasted.as_nanos() as u64, text: pause.to_string() }
    }
}

/// A process, as far as it can be seen from here.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProcessFacts {
    pub(crate) pid: u32,
    pub(crate) command: Option<String>,
    #[serde(skip)]
    dead: bool,
}

/// A consumer in its seat.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConsumerFacts {
    pub(crate) seat: u32,
    #[serde(flatten)]
    pub(crate) process: ProcessFacts,
    /// Frames that it holds.
    pub(crate) holds: u32,
    pub(crate) sleeps: bool,
    /// How far its newest frame lies behind the lane's; `None` before its first.
    pub(crate) behind: Option<u32>,
}

impl LaneFacts {
    /// Puts a lane's state into plain types.
    pub(crate) fn new(status: &LaneStatus) -> Self {
        let health = match status.health {
            Health::Running => "running",
            Health::Stale => "stale",
            Health::Unusable => "unusable",
            Health::Unknown => "unknown",
        };
        let usable = status.lane.as_ref().map(|lane| UsableFacts::new(lane, status.health));
        let socket = status.address.socket().map(ToOwned::to_owned);
        Self { lane: status.address.to_string(), socket, health, usable, problem: status.problem.clone() }
    }
}

impl UsableFacts {
    fn new(lane: &Details, health: Health) -> Self {
        let (shape, info) = (&lane.shape, &lane.info);
        // A dead producer's number may be another process's by now.
        let producer = match health {
            Health::Stale => ProcessFacts { pid: info.creator.0, command: None, dead: true },
            _ => ProcessFacts::of(info.creator.0),
        };
        let consumers = lane.seats.as_ref().map(|seats| {
            let facts = seats.iter().map(|seat| ConsumerFacts {
                seat: seat.seat,
                process: ProcessFacts::of(seat.pid),
                holds: seat.pins,
                sleeps: seat.sleeping,
                behind: (seat.cursor != 0).then(|| lane.published.wrapping_sub(seat.cursor) & NUMBERS),
            });
            facts.collect()
        });
        let [a, b, c, d] = lane.incarnation;
        Self {
            kind: if shape.is_stream() { "bytes" } else { "frames" },
            format: info.format.to_string(),
            width: info.size.0,
            height: info.size.1,
            rate: info.rate.into(),
            published: lane.published,
            dropped: lane.dropped,
            // A dead producer waits for nothing.
            pause: lane.pause.filter(|_| health != Health::Stale).map(PauseFacts::from),
            producer,
            consumers,
            memory_bytes: shape.footprint(),
            slots: shape.slots(),
            slot_bytes: shape.slot_size(),
            seats: shape.seats(),
            pins: shape.pins(),
            history: shape.history(),
            user_bytes: shape.user_bytes(),
            frame_id: info.frame_id.as_str().to_owned(),
            calibration: info.calibration.as_str().to_owned(),
            incarnation: format!("{a:08x}{b:08x}{c:08x}{d:08x}"),
            made_seconds_ago: since_boottime(lane.created_ns).map(|age| age.as_secs_f64()),
        }
    }
}

/// Where the numbers that a lane's words carry wrap.
const NUMBERS: u32 = (1 << 30) - 1;

impl ProcessFacts {
    /// Looks a process up in proc(5).
    pub(crate) fn of(pid: u32) -> Self {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok().map(|bytes| {
            let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
            words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" ")
        });
        // Empty for a zombie and a kernel thread.
        Self { pid, command: line.filter(|line| !line.is_empty()), dead: false }
    }

    /// The command, cut to fit a table.
    pub(crate) fn short(&self) -> String {
        const MOST: usize = 48;
        let Some(command) = &self.command else {
            let why = if self.dead { "died" } else { "not visible from here" };
            return format!("{} ({why})", self.pid);
        };
        let command = match command.char_indices().nth(MOST) {
            Some((end, _)) => format!("{}...", &command[..end]),
            None => command.clone(),
        };
        format!("{} {command}", self.pid)
    }
}

/// Time since a moment on CLOCK_BOOTTIME; `None` for 0, unknown.
fn since_boottime(then_ns: u64) -> Option<Duration> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    (then_ns != 0).then(|| now.saturating_sub(Duration::from_nanos(then_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane::{Clock, PixelFormat};

    #[test]
    fn a_frame_is_described_with_names_instead_of_numbers() {
        let mut meta = FrameMeta::new(PixelFormat::NV12.layout(8, 4, 1).unwrap());
        (meta.clock, meta.flags) = (Clock::MONOTONIC, Flags::KEY | Flags::COPIED);
        let json = serde_json::to_value(FrameFacts::new(7, &meta)).unwrap();
        assert_eq!(json["flags"], serde_json::json!(["KEY", "COPIED"]));
        assert_eq!((json.get("memory"), &json["copies"]), (None, &1.into()), "no camera made it");
        meta.flags = MemoryPath::Mmap.flags();
        let json = serde_json::to_value(FrameFacts::new(7, &meta)).unwrap();
        assert_eq!(
            (&json["memory"], &json["flags"]),
            (&"mmap".into(), &serde_json::json!(["COPIED", "MMAP"]))
        );
        assert_eq!((&json["format"], &json["clock"]), (&"NV12".into(), &"monotonic".into()));
        assert_eq!(json["planes"][1], serde_json::json!({"offset": 32, "stride": 8, "rows": 2, "bytes": 16}));
        assert_eq!(json.get("details"), None);
    }

    #[test]
    fn a_frame_without_flags_has_an_empty_list() {
        let meta = FrameMeta::bytes(4);
        assert!(flag_names(&meta).is_empty());
    }

    #[test]
    fn this_process_is_seen_with_its_command() {
        let facts = ProcessFacts::of(std::process::id());
        assert!(facts.command.as_ref().is_some_and(|command| !command.is_empty()));
        assert!(facts.short().starts_with(&std::process::id().to_string()));
    }
}

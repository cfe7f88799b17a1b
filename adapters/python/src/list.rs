//! Which lanes there are.

use camlane::Health;
use pyo3::prelude::*;

/// Looks at all lanes of this machine, in the order of their names.
#[pyfunction]
pub(crate) fn list(py: Python<'_>) -> Vec<LaneStatus> {
    py.detach(camlane::LaneStatus::all).into_iter().map(LaneStatus::from).collect()
}

/// What a lane says about itself; the frames themselves are authoritative.
#[pyclass(frozen, get_all, module = "camlane")]
#[derive(Clone)]
pub(crate) struct LaneInfo {
    /// The lane's name.
    name: String,
    /// Format that most frames have.
    format: String,
    /// Pixels across that most frames have.
    width: u32,
    /// Pixels down that most frames have.
    height: u32,
    /// Frames per second as a fraction; (0, 1): variable.
    rate: (u32, u32),
    /// The camera's optical frame.
    frame_id: String,
    /// Where the calibration is.
    calibration: String,
    /// The producer's process.
    pid: u32,
}

impl From<camlane::LaneInfo> for LaneInfo {
    fn from(info: camlane::LaneInfo) -> Self {
        Self {
            name: info.name.as_str().to_owned(),
            format: info.format.to_string(),
            width: info.size.0,
            height: info.size.1,
            rate: info.rate,
            frame_id: info.frame_id.as_str().to_owned(),
            calibration: info.calibration.as_str().to_owned(),
            pid: info.creator.0,
        }
    }
}

#[pymethods]
impl LaneInfo {
    fn __repr__(&self) -> String {
        format!("<camlane.LaneInfo '{}': {} {}x{}>", self.name, self.format, self.width, self.height)
    }
}

/// A lane as it stands in shared memory.
#[pyclass(frozen, get_all, module = "camlane")]
pub(crate) struct LaneStatus {
    /// Its name.
    name: String,
    /// "running", "stale" (its producer died), "unusable", or "unknown" (may not be asked).
    health: &'static str,
    /// Why it cannot be used, if so.
    problem: Option<String>,
    /// What it says about itself.
    info: Option<LaneInfo>,
    /// Frames published, modulo 2**30.
    published: Option<u32>,
    /// Frames that its producer could not take.
    dropped: Option<u32>,
    /// Bytes of shared memory that it takes.
    footprint: Option<u64>,
    /// Consumers that can be attached at once.
    seats: Option<u32>,
    /// Processes that are attached; None if that may not be seen.
    consumers: Option<Vec<u32>>,
}

impl From<camlane::LaneStatus> for LaneStatus {
    fn from(status: camlane::LaneStatus) -> Self {
        let health = match status.health {
            Health::Running => "running",
            Health::Stale => "stale",
            Health::Unusable => "unusable",
            Health::Unknown => "unknown",
        };
        let lane = status.lane;
        let ask = lane.as_ref();
        Self {
            name: status.name.to_string(),
            health,
            problem: status.problem,
            info: ask.map(|lane| lane.info.clone().into()),
            published: ask.map(|lane| lane.published),
            dropped: ask.map(|lane| lane.dropped),
            footprint: ask.map(|lane| lane.shape.footprint()),
            seats: ask.map(|lane| lane.shape.seats()),
            consumers: lane
                .and_then(|lane| lane.seats)
                .map(|seats| seats.iter().map(|seat| seat.pid).collect()),
        }
    }
}

#[pymethods]
impl LaneStatus {
    fn __repr__(&self) -> String {
        format!("<camlane.LaneStatus '{}': {}>", self.name, self.health)
    }
}

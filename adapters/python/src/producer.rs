//! The end of a lane that writes.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use camlane::{Flags, FrameLayout, FrameMeta, LaneOptions, PauseReason, PixelFormat, Sharing};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyTuple;

use crate::error::{exception, forked, invalid, not_picklable, released};
use crate::loan::Loan;
use crate::policy::Admission;
use crate::source;
use crate::stamp::{Stamp, with_bytes};

/// Makes a lane, or takes over the name of one whose producer is gone.
///
/// name: the lane, for example "front-door".
/// width, height: pixels.
/// format: camlane's or ffmpeg's name of the pixel format: "BGR8", "GRAY8", "NV12", "YUYV", "JPEG" ...
/// rate: frames per second, a number or a pair (30000, 1001), for viewers; nothing is paced by it.
/// seats: consumers that can be attached at once.
/// pins: frames that each of them can hold at once, 1 to 8; a `for` loop needs 2, as it holds one while it waits.
/// history: newest frames that stay readable, so how far a reader of every frame may fall behind without a loss.
/// loans: slots that this producer can fill at the same time.
/// row_align: bytes to whose multiple rows are padded; 1 packs them.
/// max_bytes: bytes of the largest frame, for compressed formats.
/// user_bytes: room for the user's own metadata with each frame.
/// sharing: who may read: "owner", "group", or "everyone" (others may only observe).
/// policy: whom a sealed lane admits, a camlane.Policy; a named lane goes by `sharing`.
/// frame_id, calibration: texts of at most 64 bytes for consumers.
///
/// Raises LaneTaken, NoSharedMemory, NotPermitted, Invalid.
#[pyfunction]
#[pyo3(signature = (
    name, *, width, height, format = "BGR8", rate = None, seats = 8, pins = 2, history = 4, loans = 2, row_align = 1,
    max_bytes = None, user_bytes = 192, sharing = "owner", frame_id = "", calibration = "", policy = None
))]
#[allow(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn create(
    py: Python<'_>,
    name: &str,
    width: u32,
    height: u32,
    format: &str,
    rate: Option<Rate>,
    seats: u32,
    pins: u32,
    history: u32,
    loans: u32,
    row_align: u32,
    max_bytes: Option<u32>,
    user_bytes: u32,
    sharing: &str,
    frame_id: &str,
    calibration: &str,
    policy: Option<Admission>,
) -> PyResult<Py<Producer>> {
    let format = PixelFormat::from_name(format)
        .ok_or_else(|| invalid(format!("format={format:?}: no such pixel format; see camlane.FORMATS")))?;
    let layout = match max_bytes {
        None => format.layout(width, height, row_align),
        Some(max_bytes) => format.blob(width, height, max_bytes),
    };
    let layout = layout.map_err(|error| invalid(error.to_string()))?;
    let sharing = match sharing {
        "owner" => Sharing::Owner,
        "group" => Sharing::Group,
        "everyone" => Sharing::Everyone,
        other => {
            return Err(invalid(format!("sharing={other:?}: choose \"owner\", \"group\" or \"everyone\"")));
        }
    };
    let (numerator, denominator) = rate.map_or(Ok((0, 1)), Rate::fraction)?;
    let options = LaneOptions::for_frames(&layout)
        .rate(numerator, denominator)
        .seats(seats)
        .pins(pins)
        .history(history)
        .loans(loans)
        .user_bytes(user_bytes)
        .sharing(sharing)
        .frame_id(frame_id)
        .calibration(calibration);
    let options = policy.into_iter().fold(options, |options, policy| options.policy(policy.into()));
    let producer = py.detach(|| camlane::Producer::create(name, &options)).map_err(exception)?;
    let addresses = producer.addresses();
    let producer = Producer {
        name: producer.name().to_string(),
        addresses: (addresses.start, addresses.end),
        layout,
        pid: std::process::id(),
        end: Mutex::new(Some(producer)),
    };
    let producer = Py::new(py, producer)?;
    py.import("camlane._exit")?.getattr("PRODUCERS")?.call_method1("add", (&producer,))?;
    Ok(producer)
}

/// Frames per second.
#[derive(FromPyObject)]
pub(crate) enum Rate {
    Whole(u32),
    Fraction(u32, u32),
    Real(f64),
}

impl Rate {
    fn fraction(self) -> PyResult<(u32, u32)> {
        match self {
            Self::Whole(rate) => Ok((rate, 1)),
            Self::Fraction(_, 0) => Err(invalid("rate: the second number of a pair cannot be 0")),
            Self::Fraction(numerator, denominator) => Ok((numerator, denominator)),
            Self::Real(rate) if (0.0..=1e6).contains(&rate) => Ok(((rate * 1000.0).round() as u32, 1000)),
            Self::Real(rate) => Err(invalid(format!("rate={rate}: give frames per second"))),
        }
    }
}

/// The end of a lane that writes. Leaving its `with` ends the stream; frames that consumers hold stay good.
#[pyclass(frozen, weakref, module = "camlane")]
pub(crate) struct Producer {
    name: String,
    addresses: (usize, usize),
    layout: FrameLayout,
    pid: u32,
    end: Mutex<Option<camlane::Producer>>,
}

impl Producer {
    /// How its frames are laid out.
    pub(crate) const fn layout(&self) -> &FrameLayout {
        &self.layout
    }

    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<camlane::Producer>>> {
        match self.end.try_lock() {
            Ok(end) => Ok(end),
            Err(TryLockError::Poisoned(end)) => Ok(end.into_inner()),
            // A thread of the parent's held it when this child was forked, and will never give it back.
            Err(TryLockError::WouldBlock) if std::process::id() != self.pid => Err(forked()),
            Err(TryLockError::WouldBlock) => {
                Ok(self.end.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn with<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&camlane::Producer) -> Result<T, camlane::Error>,
    ) -> PyResult<T> {
        let end = self.lock(py)?;
        let end = end.as_ref().ok_or_else(|| released(format!("producer '{}' was closed", self.name)))?;
        work(end).map_err(exception)
    }

    pub(crate) fn publish_loan(
        &self,
        py: Python<'_>,
        mut loan: camlane::Loan,
        mut meta: FrameMeta,
        user: &[u8],
    ) -> PyResult<u64> {
        let room = loan.user_mut();
        let room_len = room.len();
        let Some(room) = room.get_mut(..user.len()) else {
            return Err(invalid(format!(
                "{} bytes of user metadata do not fit the {room_len} of the lane: create it with more user_bytes",
                user.len()
            )));
        };
        room.copy_from_slice(user);
        meta.user_len = user.len() as u32;
        self.with(py, |end| end.publish(loan, &meta))
    }
}

#[pymethods]
impl Producer {
    /// The lane's name.
    #[getter]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// First and last-plus-one address of the lane's memory in this process.
    #[getter]
    const fn addresses(&self) -> (usize, usize) {
        self.addresses
    }

    /// Frames published so far.
    #[getter]
    fn published(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |end| Ok(end.published()))
    }

    /// Lends a slot to fill in place. Never waits for a consumer.
    ///
    /// Raises NoFreeSlot if consumers hold every slot, which only a lane with too few of them allows.
    fn loan(slf: Bound<'_, Self>) -> PyResult<Loan> {
        let this = slf.get();
        let loan = this.with(slf.py(), camlane::Producer::loan)?;
        Ok(Loan::new(slf.unbind(), loan))
    }

    /// Copies a picture into a slot, publishes it, and returns its number.
    ///
    /// picture: an array of the lane's shape and type (any strides), a tuple of one array for each plane, or bytes.
    /// capture_time_ns: when it was taken, on `clock`, at `reference`.
    /// source_sequence: the camera's own count.
    /// flags: camlane.Flags.
    /// user: bytes of your own, at most the lane's user_bytes.
    /// details: camlane.Details.
    #[pyo3(signature = (
        picture, *, capture_time_ns = None, clock = "monotonic", reference = "unknown", source_sequence = 0, flags = 0,
        user = None, details = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn publish<'py>(
        &self,
        py: Python<'py>,
        picture: &Bound<'py, PyAny>,
        capture_time_ns: Option<u64>,
        clock: &'py str,
        reference: &'py str,
        source_sequence: u32,
        flags: u32,
        user: Option<&[u8]>,
        details: Option<Bound<'py, PyAny>>,
    ) -> PyResult<u64> {
        let flags = flags | Flags::COPIED.0;
        let stamp = Stamp { capture_time_ns, clock, reference, source_sequence, flags, details };
        let mut loan = self.with(py, camlane::Producer::loan)?;
        let bytes = source::copy_into(&mut loan, &self.layout, picture)?;
        self.publish_loan(py, loan, stamp.meta(with_bytes(self.layout, bytes))?, user.unwrap_or_default())
    }

    /// Counts frames that the source lost before they reached the lane.
    #[pyo3(signature = (frames = 1))]
    fn count_dropped(&self, py: Python<'_>, frames: u32) -> PyResult<()> {
        self.with(py, |end| {
            end.count_dropped(frames);
            Ok(())
        })
    }

    /// Tells readers why no frames come, until `resume()`: `lane.pause` and the text of Timeout say it.
    ///
    /// reason: "intended", "unplugged", "busy", "failed", "no-signal", "suspended" or "silent".
    /// errno: the system's error behind it.
    #[pyo3(signature = (reason = "intended", errno = None))]
    fn pause(&self, py: Python<'_>, reason: &str, errno: Option<i32>) -> PyResult<()> {
        let known = PauseReason::ALL.into_iter().find(|known| known.name() == reason);
        let reason = known.ok_or_else(|| {
            let names = PauseReason::ALL.map(PauseReason::name).join(", ");
            invalid(format!("reason={reason:?}: choose one of {names}"))
        })?;
        self.with(py, |end| {
            end.pause(reason, errno);
            Ok(())
        })
    }

    /// Takes back what `pause()` told.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |end| {
            end.resume();
            Ok(())
        })
    }

    /// Ends the stream: consumers read what is left, and are told.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let end = self.lock(py)?.take();
        py.detach(|| drop(end));
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable("producer", "create the lane in the process that fills it"))
    }

    fn __repr__(&self) -> String {
        let FrameLayout { format, width, height, .. } = self.layout;
        format!("<camlane.Producer '{}': {format} {width}x{height}>", self.name)
    }
}

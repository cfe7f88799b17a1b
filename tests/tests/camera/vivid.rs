//! vivid's devices, one test at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use camlane::{LaneOptions, Loan, Producer};
use camlane_tests::lane::TestLane;
use camlane_tests::skip::skipped;
use camlane_v4l2::{Device, Event, Frame, MemoryPath, Picture, Plan, Streaming, Wish, cameras};

/// How long a frame may take: emulated processors are slow, and two busy ones slower.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Buffers that the driver has at a time.
const BUFFERS: u32 = 4;

/// A device that nobody else uses meanwhile.
#[derive(Debug)]
pub(crate) struct Vivid {
    pub(crate) path: std::path::PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// Which interface a device speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Api {
    Single,
    Multi,
}

/// What a vivid camera looks at, by vivid's own numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    Webcam = 0,
    Hdmi = 3,
}

impl Vivid {
    /// The first vivid camera that speaks an interface; `None`, said aloud, where there is none and none is demanded.
    ///
    /// # Panics
    /// If `CAMLANE_REQUIRE_CAMERA=1` and there is none.
    pub(crate) fn find(api: Api) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let all = cameras();
        let found = all
            .iter()
            .find(|found| found.identity.driver == "vivid" && found.multiplanar == (api == Api::Multi));
        match found {
            Some(found) => {
                let this = Self { path: found.path.clone(), _alone: alone };
                this.reset();
                Some(this)
            }
            None if std::env::var_os("CAMLANE_REQUIRE_CAMERA").is_some_and(|value| value == "1") => {
                panic!("CAMLANE_REQUIRE_CAMERA is set, and there is no vivid camera of {api:?}: {all:?}")
            }
            None => {
                static ONCE: std::sync::Once = std::sync::Once::new();
                ONCE.call_once(|| {
                    skipped("and others: no vivid camera here; tests/camera.sh boots a machine that has one");
                });
                None
            }
        }
    }

    /// Chooses what the camera looks at. camlane leaves that as it is: a person, or a capture card's own tool, decides.
    pub(crate) fn set_input(&self, input: Input) {
        let mut command = std::process::Command::new("v4l2-ctl");
        let done =
            command.arg("-d").arg(&self.path).arg("-i").arg((input as u32).to_string()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// Takes back what an earlier test may have set.
    fn reset(&self) {
        self.set_input(Input::Webcam);
        let device = self.open();
        device.set_control("percentage_of_dropped_buffers", "0").unwrap();
        device.set_control("wrap_sequence_number", "0").unwrap();
        device.set_control("timestamp_source", "End of Frame").unwrap();
    }

    pub(crate) fn open(&self) -> Device {
        Device::open(&self.path).unwrap()
    }

    /// Opens the camera, sets it, makes a lane for its pictures, and starts it by one way only.
    pub(crate) fn start(&self, wish: &Wish, path: MemoryPath) -> Result<Shoot, camlane_v4l2::Error> {
        let mut device = self.open();
        let picture = device.configure(wish)?;
        Shoot::begin(device, picture, path)
    }
}

/// Tells whether the kernel has what a way needs of it; where it has not, that is said aloud. Debian's 6.1 makes no
/// dma-bufs out of a lane's memory.
pub(crate) fn kernel_has(path: MemoryPath) -> bool {
    let has = path != MemoryPath::DmaBuf || std::path::Path::new("/dev/udmabuf").exists();
    if !has {
        skipped("this kernel has no /dev/udmabuf");
    }
    has
}

/// A camera, and the lane that it fills.
#[derive(Debug)]
pub(crate) struct Shoot {
    pub(crate) camera: Streaming<Loan>,
    pub(crate) producer: Producer,
    pub(crate) address: String,
    _lane: TestLane,
}

impl Shoot {
    pub(crate) fn begin(
        device: Device,
        picture: Picture,
        path: MemoryPath,
    ) -> Result<Self, camlane_v4l2::Error> {
        let lane = TestLane::new("camera");
        let mut layout = picture.layout;
        layout.bytes = picture.slot_bytes;
        let options = LaneOptions::for_frames(&layout).seats(2).loans(BUFFERS + 1);
        let sealed = format!("sealed:{}", lane.name());
        let (address, options) = match path {
            MemoryPath::DmaBuf => (sealed, options.dma_bufs(picture.part_offsets())),
            _ => (lane.name().to_owned(), options),
        };
        let producer = Producer::create(&address, &options).unwrap();
        assert!(producer.no_dma_bufs().is_none(), "{:?}", producer.no_dma_bufs());
        let loans = (0..BUFFERS).map(|_| blank(&producer)).collect();
        let copy = if path == MemoryPath::Mmap {
            |to: &mut [u8], from: &[u8]| camlane::copy::copy(to, from, camlane::CopyKind::for_len(from.len()))
        } else {
            |_: &mut [u8], _: &[u8]| panic!("a way without copies copied")
        };
        let plan = Plan { memory: vec![path], copy, ..Plan::default() };
        let camera = device.stream(picture, &plan, loans).map_err(|failed| failed.error)?;
        Ok(Self { camera, producer, _lane: lane, address })
    }

    /// The next frame of the driver's.
    pub(crate) fn frame(&mut self) -> Frame<Loan> {
        match self.camera.dequeue(PATIENCE).unwrap() {
            Event::Frame(frame) => frame,
            other => panic!("no frame but {other:?}"),
        }
    }

    /// Publishes a frame and queues another slot.
    pub(crate) fn publish(&mut self, frame: Frame<Loan>) -> u64 {
        let number = self.producer.publish(frame.loan, &frame.meta).unwrap();
        self.camera.queue(blank(&self.producer)).unwrap();
        number
    }
}

/// What a slot holds before the driver writes: vivid's pictures have other bytes, too.
pub(crate) const BLANK: u8 = 0xa5;

/// A slot of which no byte is from an earlier frame.
pub(crate) fn blank(producer: &Producer) -> Loan {
    let mut loan = producer.loan().unwrap();
    loan.fill(BLANK);
    loan
}

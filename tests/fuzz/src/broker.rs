//! A sealed lane's broker, and what strangers may say to it: whatever it was, the next honest consumer gets in, reads the
//! newest frame, and no seat is lost.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use camlane::{FrameMeta, LaneOptions, Policy, Producer};
use camlane_tests::raw::{self, OBSERVE, PIN};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Seats of the lane, all of which must be free again.
const SEATS: u32 = 2;
const BYTES: u32 = 64;
/// Longer than that the broker does not take to see a connection end.
const PATIENCE: Duration = Duration::from_secs(20);

struct Lane {
    socket: PathBuf,
    producer: std::sync::Mutex<Producer>,
    _folder: tempfile::TempDir,
}

fn lane() -> &'static Lane {
    static LANE: OnceLock<Lane> = OnceLock::new();
    LANE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("fuzz.sock");
        let policy = Policy::default().connections(8).connections_per_user(8);
        let options = LaneOptions::for_bytes(BYTES).seats(SEATS).pins(1).policy(policy);
        let producer = Producer::create(&format!("sealed:{}", socket.display()), &options).expect("a lane");
        Lane { socket, producer: producer.into(), _folder: folder }
    })
}

pub(crate) fn run(bytes: &[u8]) {
    crate::with(bytes, strangers);
    let lane = lane();
    let producer = lane.producer.lock().expect("nobody panicked with it");
    let loan = producer.loan().expect("strangers do not make a loan fail");
    producer.publish(loan, &FrameMeta::bytes(BYTES)).expect("nor a publish");
    let began = Instant::now();
    let mut inside = Vec::new();
    while inside.len() < SEATS as usize {
        match raw::join(&lane.socket, PIN, false) {
            Ok(joined) => inside.push(joined),
            Err(error) => assert!(began.elapsed() < PATIENCE, "a seat is not free again: {error}"),
        }
    }
    assert!(inside.iter().all(|joined| joined.seat.is_some()));
}

/// Some connections at once, and what is said on each.
fn strangers(input: &mut Unstructured<'_>) -> Result<()> {
    let lane = lane();
    let mut open: Vec<OwnedFd> = Vec::new();
    for _ in 0..12 {
        if input.is_empty() {
            break;
        }
        match input.int_in_range(0..=4)? {
            0 if open.len() < 6 => open.extend(raw::dial(&lane.socket)),
            1 if !open.is_empty() => drop(open.swap_remove(input.choose_index(open.len())?)),
            2 => {
                let producer = lane.producer.lock().expect("nobody panicked with it");
                drop(producer.loan());
            }
            _ if !open.is_empty() => {
                let socket = &open[input.choose_index(open.len())?];
                say(input, socket)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Says a hello or something like it, with or without descriptors, and hears the answer or the end.
fn say(input: &mut Unstructured<'_>, socket: &OwnedFd) -> Result<()> {
    let mut packet = raw::hello(if input.arbitrary()? { PIN } else { OBSERVE }, input.arbitrary()?).to_vec();
    for _ in 0..input.int_in_range(0..=2)? {
        let at = input.choose_index(packet.len())?;
        packet[at] = input.arbitrary()?;
    }
    match input.int_in_range(0..=7)? {
        0 => packet.truncate(input.int_in_range(0..=32)?),
        1 => packet.extend(input.bytes(input.len().min(64))?),
        2 => packet = input.bytes(input.len().min(300))?.to_vec(),
        _ => {}
    }
    let objects: Vec<OwnedFd> = (0..input.int_in_range(0..=2)?)
        .filter_map(|_| memfd_create("stranger", MFdFlags::MFD_CLOEXEC).ok())
        .collect();
    let numbers: Vec<i32> = objects.iter().map(OwnedFd::as_raw_fd).collect();
    if raw::tell(socket, &packet, &numbers).is_ok() && !packet.is_empty() {
        let _ = raw::hear(socket);
    }
    Ok(())
}

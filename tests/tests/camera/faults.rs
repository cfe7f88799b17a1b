//! What goes wrong with cameras, as vivid's controls make it go wrong.

use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use camlane::{Clock, Flags, Reference};
use camlane_v4l2::{Error, Event, MemoryPath, NO_DMA_BUF, Pages, Plan, Wish};
use rstest::rstest;

use crate::vivid::{Api, Input, Vivid, blank};

fn small() -> Wish {
    Wish {
        formats: vec![camlane::PixelFormat::YUYV],
        size: Some((320, 180)),
        rate: Some((30, 1)),
        ..Wish::default()
    }
}

#[rstest]
fn a_damaged_frame_arrives_and_is_marked(
    #[values(MemoryPath::UserPtr, MemoryPath::Mmap)] path: MemoryPath,
    #[values(Api::Single, Api::Multi)] api: Api,
) {
    let Some(vivid) = Vivid::find(api) else { return };
    let mut shoot = vivid.start(&small(), path).unwrap();
    let frame = shoot.frame();
    shoot.publish(frame);
    shoot.camera.set_control("inject_v4l2_buf_flag_error", "1").unwrap();
    let mut damaged = 0;
    for _ in 0..8 {
        let frame = shoot.frame();
        damaged += u64::from(frame.meta.flags.contains(Flags::CORRUPT));
        shoot.publish(frame);
    }
    assert_eq!((damaged, shoot.camera.statistics().damaged), (1, 1));
}

#[test]
fn frames_that_the_driver_drops_are_counted_by_its_own_numbers() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut shoot = vivid.start(&small(), MemoryPath::UserPtr).unwrap();
    let first = shoot.frame();
    let mut last = first.meta.source_sequence;
    shoot.publish(first);
    shoot.camera.set_control("percentage_of_dropped_buffers", "50").unwrap();
    let (mut gaps, mut marked) = (0, 0);
    for _ in 0..20 {
        let frame = shoot.frame();
        let gap = frame.meta.source_sequence.saturating_sub(last + 1);
        marked += u32::from(frame.meta.flags.contains(Flags::DISCONTINUITY));
        assert_eq!(gap > 0, frame.meta.flags.contains(Flags::DISCONTINUITY));
        (gaps, last) = (gaps + gap, frame.meta.source_sequence);
        shoot.publish(frame);
    }
    assert!(gaps > 0 && marked > 0, "half of the frames were to be dropped");
    let told = shoot.camera.statistics();
    assert_eq!((told.lost_by_driver, told.no_room), (u64::from(gaps), 0));
}

#[test]
fn a_number_that_wraps_is_no_loss() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    vivid.open().set_control("wrap_sequence_number", "1").unwrap(); // it begins 128 before its wrap
    let mut shoot = vivid.start(&Wish { rate: Some((60, 1)), ..small() }, MemoryPath::UserPtr).unwrap();
    let (mut frames, mut last) = (0, shoot.frame());
    let first = last.meta.source_sequence;
    assert!(first >= u32::MAX - 127, "it begins at {first}");
    while last.meta.source_sequence >= first || last.meta.source_sequence < 3 {
        shoot.publish(last);
        (frames, last) = (frames + 1, shoot.frame());
    }
    let passed = u64::from(last.meta.source_sequence.wrapping_sub(first));
    let told = shoot.camera.statistics();
    assert_eq!((told.frames, told.lost_by_driver + told.frames), (frames + 1, passed + 1 + told.repeated));
    shoot.publish(last);
}

#[rstest]
#[case::the_end("End of Frame", Reference::END_OF_FRAME)]
#[case::the_start("Start of Exposure", Reference::START_OF_EXPOSURE)]
fn a_frame_says_of_which_moment_its_time_is(#[case] source: &str, #[case] expected: Reference) {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    vivid.open().set_control("timestamp_source", source).unwrap();
    let mut shoot = vivid.start(&small(), MemoryPath::UserPtr).unwrap();
    let frame = shoot.frame();
    assert_eq!((frame.meta.reference, frame.meta.clock), (expected, Clock::MONOTONIC));
    shoot.publish(frame);
}

#[test]
fn a_buffer_that_the_driver_refuses_comes_back_and_goes_in_again() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut shoot = vivid.start(&small(), MemoryPath::UserPtr).unwrap();
    let frame = shoot.frame();
    shoot.producer.publish(frame.loan, &frame.meta).unwrap();
    shoot.camera.set_control("inject_vidioc_qbuf_error", "1").unwrap();
    let loan = blank(&shoot.producer);
    let slot = loan.slot();
    let refused = shoot.camera.queue(loan).unwrap_err();
    assert!(refused.error.to_string().contains("hand a buffer to"), "{}", refused.error);
    assert_eq!((refused.loan.slot(), shoot.camera.statistics().refused), (slot, 1));
    shoot.camera.queue(refused.loan).unwrap();
    let frame = shoot.frame();
    shoot.publish(frame);
}

#[rstest]
fn a_broken_stream_gives_everything_back_and_starts_again(
    #[values(MemoryPath::UserPtr, MemoryPath::Mmap)] path: MemoryPath,
) {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut shoot = vivid.start(&small(), path).unwrap();
    let frame = shoot.frame();
    shoot.publish(frame);
    let had = shoot.camera.loans();
    shoot.camera.set_control("inject_fatal_streaming_error", "1").unwrap();
    let error = loop {
        match shoot.camera.dequeue(Duration::from_secs(30)) {
            Ok(Event::Frame(frame)) => shoot.camera.queue(frame.loan).unwrap(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_broken_stream(), "{error}");
    let picture = *shoot.camera.picture();
    let stopped = shoot.camera.stop();
    assert_eq!(stopped.loans.len(), had);
    let plan = Plan { memory: vec![path], ..Plan::default() };
    let mut camera = stopped.device.unwrap().stream(picture, &plan, stopped.loans).unwrap();
    assert!(matches!(camera.dequeue(Duration::from_secs(30)), Ok(Event::Frame(_))));
}

/// A driver that loses its device may stop the queue before the node goes: DQBUF then says EINVAL, which once ended the
/// program for good.
#[test]
fn a_queue_that_was_stopped_behind_the_cameras_back_is_a_broken_stream() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut shoot = vivid.start(&small(), MemoryPath::UserPtr).unwrap();
    let frame = shoot.frame();
    shoot.publish(frame);
    // VIDIOC_STREAMOFF on the same open file, which a child inherits.
    let file = shoot.camera.as_fd().try_clone_to_owned().unwrap();
    let stop = "import fcntl; fcntl.ioctl(0, 0x40045613, b'\\x01\\0\\0\\0')";
    let done = Command::new("python3").args(["-c", stop]).stdin(file).status().unwrap();
    assert!(done.success());
    let error = loop {
        match shoot.camera.dequeue(Duration::from_secs(30)) {
            Ok(Event::Frame(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_broken_stream(), "{error}");
    let picture = *shoot.camera.picture();
    let stopped = shoot.camera.stop();
    let loans = (0..4).map(|_| Pages::new(picture.slot_bytes as usize).unwrap()).collect();
    let mut camera = stopped.device.unwrap().stream(picture, &Plan::default(), loans).unwrap();
    assert!(matches!(camera.dequeue(Duration::from_secs(30)), Ok(Event::Frame(_))));
}

#[test]
fn memory_without_dma_bufs_is_refused_with_one_reason() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut device = vivid.open();
    let picture = device.configure(&small()).unwrap();
    let plan = Plan { memory: vec![MemoryPath::DmaBuf], ..Plan::default() };
    let loans = vec![Pages::new(picture.slot_bytes as usize).unwrap()];
    let failed = device.stream(picture, &plan, loans).unwrap_err();
    let Error::NoMemoryPath { tried, .. } = &failed.error else { panic!("{}", failed.error) };
    assert_eq!(*tried, [format!("dmabuf: {NO_DMA_BUF}")]);
    assert_eq!((failed.loans.len(), failed.device.is_some()), (1, true));
}

#[rstest]
#[case::no_buffers("inject_vidioc_reqbufs_error")]
#[case::no_start("inject_vidioc_streamon_error")]
fn a_camera_that_does_not_start_loses_nothing(#[case] control: &str) {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut device = vivid.open();
    let picture = device.configure(&small()).unwrap();
    // The way is chosen here, so that the fault meets this call and not the question which ways there are.
    let loans = || (0..4).map(|_| Pages::new(picture.slot_bytes as usize).unwrap());
    device.set_control(control, "1").unwrap();
    let failed = match device.allocate(picture, MemoryPath::UserPtr, 4, <[u8]>::copy_from_slice) {
        Err(failed) => failed,
        Ok(mut ready) => {
            loans().for_each(|loan| ready.queue(loan).unwrap());
            ready.start().unwrap_err()
        }
    };
    let again: Vec<Pages> = if failed.loans.is_empty() { loans().collect() } else { failed.loans };
    assert_eq!(again.len(), 4);
    let mut camera = failed.device.unwrap().stream(picture, &Plan::default(), again).unwrap();
    assert!(matches!(camera.dequeue(Duration::from_secs(30)), Ok(Event::Frame(_))));
}

#[test]
fn a_camera_that_streams_elsewhere_is_busy_and_says_where() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut shoot = vivid.start(&small(), MemoryPath::UserPtr).unwrap();
    let error = vivid.open().configure(&Wish { size: Some((640, 480)), ..small() }).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    let frame = shoot.frame();
    shoot.publish(frame);
}

#[test]
fn a_slot_that_is_too_small_is_refused_before_the_driver_sees_it() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut device = vivid.open();
    let picture = device.configure(&small()).unwrap();
    let loans = vec![Pages::new(picture.slot_bytes as usize - 1).unwrap()];
    let failed = device.stream(picture, &Plan::default(), loans).unwrap_err();
    assert!(matches!(failed.error, Error::TooSmall { .. }), "{}", failed.error);
    assert_eq!((failed.loans.len(), failed.device.is_some()), (1, true));
}

#[test]
fn pictures_without_room_are_counted_and_the_camera_goes_on() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let mut device = vivid.open();
    let picture = device.configure(&small()).unwrap();
    let loan = Pages::new(picture.slot_bytes as usize).unwrap();
    let plan = Plan { memory: vec![MemoryPath::Mmap], ..Plan::default() };
    let mut camera = device.stream(picture, &plan, vec![loan]).unwrap();
    let Event::Frame(frame) = camera.dequeue(Duration::from_secs(30)).unwrap() else { panic!("no frame") };
    while camera.statistics().no_room == 0 {
        assert!(matches!(camera.dequeue(Duration::from_millis(500)).unwrap(), Event::TimedOut));
    }
    camera.queue(frame.loan).unwrap();
    assert!(matches!(camera.dequeue(Duration::from_secs(30)), Ok(Event::Frame(_))));
}

#[test]
fn a_source_that_changes_is_told_and_the_camera_starts_anew() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    vivid.set_input(Input::Hdmi);
    let mut device = vivid.open();
    let picture = device.configure(&small()).unwrap();
    let loans: Vec<_> = (0..4).map(|_| Pages::new(picture.slot_bytes as usize).unwrap()).collect();
    let mut camera = device.stream(picture, &Plan::default(), loans).unwrap();
    assert!(matches!(camera.dequeue(Duration::from_secs(30)), Ok(Event::Frame(_))));
    camera.set_control("dv_timings_signal_mode", "No Signal").unwrap();
    let changed = (0..100).any(|_| match camera.dequeue(Duration::from_secs(1)).unwrap() {
        Event::SourceChanged => true,
        Event::Frame(frame) => {
            camera.queue(frame.loan).unwrap();
            false
        }
        _ => false,
    });
    assert!(changed, "the driver sent an event");
    let stopped = camera.stop();
    let mut device = stopped.device.unwrap();
    device.set_control("dv_timings_signal_mode", "Current DV Timings").unwrap();
    let picture = device.configure(&small()).unwrap();
    let mut camera = device.stream(picture, &Plan::default(), stopped.loans).unwrap();
    assert!(matches!(camera.dequeue(Duration::from_secs(30)), Ok(Event::Frame(_))));
}

#[test]
fn a_held_buffer_is_the_drivers_own_and_can_be_passed_on_by_its_descriptor() {
    let Some(vivid) = Vivid::find(Api::Multi) else { return };
    let mut device = vivid.open();
    let picture = device.configure(&small()).unwrap();
    let plan =
        Plan { memory: vec![MemoryPath::Mmap], copy: |_, _| panic!("nothing is copied"), ..Plan::default() };
    let mut camera = device.stream::<Pages>(picture, &plan, Vec::new()).unwrap();
    for _ in 0..6 {
        let held = camera.hold(Duration::from_secs(30)).unwrap().unwrap();
        assert!(!held.meta.flags.contains(Flags::COPIED));
        let fd = camera.export(camera.index_of(&held), 0).unwrap();
        let file = std::fs::File::from(fd);
        let len = std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0)).unwrap();
        let bytes = camera.bytes(&held, 0).unwrap();
        assert!(len >= bytes.len() as u64 && bytes.iter().any(|byte| *byte != bytes[0]));
        camera.release(held).unwrap();
    }
}

#[test]
fn controls_are_found_by_name_and_refuse_what_they_cannot_take() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    let device = vivid.open();
    assert_eq!(device.set_control("Brightness", "100").unwrap(), 100);
    let all = device.controls().unwrap();
    assert_eq!(all.iter().find(|control| control.name == "brightness").unwrap().value, Some(100));
    let error = device.set_control("brightness", "1000").unwrap_err().to_string();
    assert!(error.contains("0 to 255"), "{error}");
    assert!(matches!(device.set_control("no such", "1"), Err(Error::NoControl { .. })));
    assert!(device.set_control("menu", "Menu Item 3").is_ok(), "{all:?}");
}

#[test]
fn a_part_of_the_sensor_is_chosen_and_frames_say_which() {
    let Some(vivid) = Vivid::find(Api::Single) else { return };
    vivid.set_input(Input::Hdmi); // as a webcam, vivid has nothing to crop
    let mut device = vivid.open();
    device.configure(&small()).unwrap();
    let bounds = device.crop_bounds().unwrap();
    assert_eq!(device.crop(), device.default_crop());
    let half = camlane::Rect { width: bounds.width / 2, height: bounds.height / 2, ..bounds };
    let obtained = device.set_crop(half).unwrap();
    assert_eq!((obtained.width, obtained.height), (half.width, half.height));
    let picture = device.configure(&small()).unwrap();
    let chosen = device.crop().unwrap();
    assert!(chosen.width < bounds.width, "the camera forgot it: {chosen:?}");
    let loans = (0..4).map(|_| Pages::new(picture.slot_bytes as usize).unwrap()).collect();
    let mut camera = device.stream(picture, &Plan::default(), loans).unwrap();
    let Event::Frame(frame) = camera.dequeue(Duration::from_secs(30)).unwrap() else { panic!("no frame") };
    assert_eq!(frame.meta.details.unwrap().region_of_interest, Some(chosen));
    drop(frame);
    camera.stop().device.unwrap().set_crop(bounds).unwrap();
}

//! What a microcontroller logs, decoded on a host: every public type of camlane-core is a `defmt::Format`.
//!
//! `DEFMT_LOG=info RUST_LOG=info cargo run --manifest-path examples/defmt/Cargo.toml`
//!
//! `DEFMT_LOG` is read when this is compiled, and decides which lines exist; `RUST_LOG` when it runs, and decides which of
//! them are printed. On a board, `defmt2log` makes way for a logger such as `defmt-rtt`; nothing else changes.

use camlane_core::stream::{StreamReader, StreamWriter};
use camlane_core::{
    Clock, Consumer, Details, Flags, FrameMeta, Geometry, InfoSpec, Lane, LaneSpec, PixelFormat, Producer,
    Reference,
};

#[repr(align(64))]
struct Memory([u8; 64 * 1024]);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::builder().format_timestamp(None).format_target(false).init();
    defmt2log::init_from_current_exe();
    frames()?;
    bytes()
}

fn frames() -> Result<(), Box<dyn std::error::Error>> {
    let layout = PixelFormat::NV12.layout(96, 64, 1)?;
    let shape = Geometry::new(layout.bytes).seats(1).pins(1).shape()?;
    defmt::info!("shape {}", shape);

    let mut memory = Memory([0; 64 * 1024]);
    let info = InfoSpec {
        name: "front-door",
        format: layout.format,
        size: (96, 64),
        rate: (30, 1),
        ..InfoSpec::NOTHING
    };
    let spec = LaneSpec { info, ..LaneSpec::anonymous(shape) };
    defmt::info!("spec {}", spec);
    let mut lane = Lane::create_in(&mut memory.0, &spec)?;
    defmt::info!("lane {}", lane.region.info()?);

    let producer: Producer = Producer::new(lane.producer)?;
    let consumer = Consumer::new(lane.seats.next().ok_or("no seat")?, 4711);
    for exposure_us in [8_000, 4_000] {
        let loan = producer.loan()?;
        let details = Details { exposure_ns: Some(exposure_us * 1_000), ..Details::default() };
        let mut meta =
            FrameMeta { capture_ns: 1_234_567_890, details: Some(details), ..FrameMeta::new(layout) };
        (meta.clock, meta.reference, meta.flags) =
            (Clock::MONOTONIC, Reference::START_OF_EXPOSURE, Flags::STARTUP);
        defmt::info!("published {}", producer.publish(loan, &meta)?);
    }

    let frame = consumer.latest()?.ok_or("no frame")?;
    defmt::info!("frame {=u64} missed {=u64} {}", frame.number(), frame.missed(), frame.meta());
    for seat in producer.seats().in_use() {
        defmt::info!("seat {}", seat);
    }
    if let Err(error) = consumer.newest() {
        defmt::warn!("refused {}", error);
    }
    producer.close();
    defmt::info!("state {}", consumer.state());
    Ok(())
}

fn bytes() -> Result<(), Box<dyn std::error::Error>> {
    let mut memory = Memory([0; 64 * 1024]);
    let spec = LaneSpec::anonymous(Geometry::stream(64).shape()?);
    let mut lane = Lane::create_in(&mut memory.0, &spec)?;
    let mut writer = StreamWriter::new(lane.producer)?;
    let mut reader = StreamReader::new(lane.seats.next().ok_or("no seat")?, 4711)?;
    defmt::info!("stream {}", writer.write(b"$GPGGA,123519,4807.038,N")?);
    let grant = reader.read()?;
    defmt::info!("read {=[u8]:a}", grant.slices().0);
    if let Err(error) = grant.release(99) {
        defmt::warn!("refused {}", error);
    }
    Ok(())
}

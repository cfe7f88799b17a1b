//! Exports what a microcontroller calls. `../bare-metal.sh` builds it, and measures these functions and all they reach.
#![no_std]

use camlane_core::format::PixelFormat;

/// Stops here: a board would blink or reset.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// ---- What is measured: every `extern "C"` function from here on is a root of the linked program. ----

/// Returns how many bytes a frame takes, or 0 if there is no such frame.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn frame_bytes(format: u32, width: u32, height: u32) -> u32 {
    PixelFormat(format).layout(width, height, 4).map_or(0, |layout| layout.bytes)
}

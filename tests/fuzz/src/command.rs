//! Command lines, an argument in each line; and the names in them.

use camlane::{Address, LaneName};
use camlane_core::PixelFormat;

pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    camlane_cli::fuzzing::arguments(&text);
    for word in text.lines() {
        if let Ok(address) = word.parse::<Address>() {
            assert_eq!(address.to_string().parse::<Address>().ok(), Some(address));
        }
        if let Ok(name) = LaneName::new(word) {
            assert_eq!(LaneName::new(name.as_str()).ok(), Some(name));
        }
        if let Some(format) = PixelFormat::from_name(word) {
            assert!(format.info().is_some());
        }
    }
}

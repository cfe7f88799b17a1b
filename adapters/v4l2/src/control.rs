//! Controls by name: brightness, exposure, whatever the driver has.

use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::device::Device;
use crate::error::Error;
use crate::sys::{self, ctrl};

/// A control of a camera.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Its name as v4l2-ctl writes it: `white_balance_automatic`.
    pub name: String,
    /// What it takes.
    pub kind: ControlKind,
    /// The value that the driver begins with.
    pub default: i64,
    /// Its value; `None` for a button and what can only be written.
    pub value: Option<i64>,
    /// Can be looked at only.
    pub read_only: bool,
    /// Has no effect now, because another control decides (automatic exposure), but may be set.
    pub inactive: bool,
    /// Refuses to be set while the camera streams.
    pub grabbed: bool,
    id: u32,
}

/// What a control takes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ControlKind {
    /// A number from least to most in steps.
    Integer {
        /// Least.
        least: i64,
        /// Most.
        most: i64,
        /// Step.
        step: u64,
    },
    /// 0 or 1.
    Boolean,
    /// One of these, by number or name.
    Menu(Vec<(i64, String)>),
    /// Bits of this mask.
    Bitmask(u32),
    /// Does something when it is set.
    Button,
}

impl Control {
    /// Reads a value as people write it: a number, in hexadecimal too, on or off, or a menu's entry.
    fn parse(&self, text: &str) -> Result<i64, String> {
        let small = text.to_lowercase();
        let number = match small.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => small.parse().ok(),
        };
        match &self.kind {
            ControlKind::Button => Ok(1),
            ControlKind::Boolean => match (small.as_str(), number) {
                ("on" | "true" | "yes", _) | (_, Some(1)) => Ok(1),
                ("off" | "false" | "no", _) | (_, Some(0)) => Ok(0),
                _ => Err("it is on or off".to_owned()),
            },
            ControlKind::Integer { least, most, step } => {
                let fits = |value: &i64| {
                    let above = value.wrapping_sub(*least).cast_unsigned();
                    (*least..=*most).contains(value) && above % (*step).max(1) == 0
                };
                let steps = if *step > 1 { format!(" in steps of {step}") } else { String::new() };
                number.filter(fits).ok_or_else(|| format!("it takes {least} to {most}{steps}"))
            }
            ControlKind::Menu(entries) => {
                let by_name = entries.iter().find(|(_, name)| normal(name) == normal(text));
                let by_number = entries.iter().find(|(entry, _)| Some(*entry) == number);
                let all = || entries.iter().map(|(number, name)| format!("{number} ({name})"));
                let wrong = || format!("it takes {}", all().collect::<Vec<_>>().join(", "));
                by_name.or(by_number).map(|(entry, _)| *entry).ok_or_else(wrong)
            }
            ControlKind::Bitmask(mask) => {
                let fits = |value: &i64| value & !i64::from(*mask) == 0;
                number.filter(fits).ok_or_else(|| format!("it takes bits of {mask:#x}"))
            }
        }
    }
}

/// A name in small letters, with `_` for whatever is neither letter nor digit: as v4l2-ctl does.
fn normal(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            normal.push(c.to_ascii_lowercase());
        } else if !normal.is_empty() && !normal.ends_with('_') {
            normal.push('_');
        }
    }
    normal.trim_end_matches('_').to_owned()
}

impl Device {
    /// Lists the controls that are numbers, switches, menus or buttons. Arrays and texts are left out.
    ///
    /// # Errors
    /// The driver's, other than "no more".
    pub fn controls(&self) -> Result<Vec<Control>, Error> {
        let mut controls = Vec::new();
        let mut id = ctrl::NEXT_CTRL;
        loop {
            let mut found = sys::QueryControl { id, ..sys::QueryControl::zeroed() };
            match sys::query_control(self.as_fd(), &mut found) {
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::ENOTTY) => return Ok(controls),
                Err(errno) => return Err(self.error("ask for the controls of")(errno)),
            }
            id = found.id | ctrl::NEXT_CTRL;
            if found.flags & ctrl::DISABLED == 0
                && let Some(kind) = self.kind_of(&found)
            {
                controls.push(Control {
                    name: normal(&sys::text(&found.name)),
                    default: found.default,
                    value: self.value(&found, &kind),
                    read_only: found.flags & ctrl::READ_ONLY != 0,
                    inactive: found.flags & ctrl::INACTIVE != 0,
                    grabbed: found.flags & ctrl::GRABBED != 0,
                    id: found.id,
                    kind,
                });
            }
        }
    }

    fn kind_of(&self, found: &sys::QueryControl) -> Option<ControlKind> {
        Some(match found.kind {
            ctrl::INTEGER | ctrl::INTEGER64 => {
                ControlKind::Integer { least: found.minimum, most: found.maximum, step: found.step }
            }
            ctrl::BOOLEAN => ControlKind::Boolean,
            ctrl::BUTTON => ControlKind::Button,
            ctrl::BITMASK => ControlKind::Bitmask(found.maximum as u32),
            ctrl::MENU | ctrl::INTEGER_MENU => ControlKind::Menu(self.menu(found)),
            _ => return None, // a heading, a text, an array, or of tomorrow
        })
    }

    /// The entries of a menu, which may have holes.
    fn menu(&self, found: &sys::QueryControl) -> Vec<(i64, String)> {
        let last = found.maximum.min(found.minimum.saturating_add(1023)); // a driver's nonsense shall not last for ever
        let entry = |number: i64| {
            let index = u32::try_from(number).ok()?;
            let mut entry = sys::QueryMenu { id: found.id, index, ..sys::QueryMenu::zeroed() };
            sys::query_menu(self.as_fd(), &mut entry).ok()?;
            let name = match found.kind {
                ctrl::INTEGER_MENU => {
                    let [a, b, c, d, e, f, g, h, ..] = entry.name;
                    i64::from_le_bytes([a, b, c, d, e, f, g, h]).to_string()
                }
                _ => sys::text(&entry.name),
            };
            Some((number, name))
        };
        (found.minimum..=last).filter_map(entry).collect()
    }

    fn value(&self, found: &sys::QueryControl, kind: &ControlKind) -> Option<i64> {
        if *kind == ControlKind::Button || found.flags & ctrl::WRITE_ONLY != 0 {
            return None;
        }
        let mut control = sys::ExtControl { id: found.id, ..sys::ExtControl::zeroed() };
        sys::control(self.as_fd(), &mut control, false).ok()?;
        let [low, high] = control.value;
        Some(match found.kind {
            ctrl::INTEGER64 => (u64::from(high) << 32 | u64::from(low)).cast_signed(),
            ctrl::BITMASK => low.into(),
            _ => low.cast_signed().into(),
        })
    }

    /// Sets a control by name to a value as people write it (`brightness`, `100`; `power_line_frequency`, `50 Hz`), and
    /// returns the number that was set.
    ///
    /// # Errors
    /// [`Error::NoControl`] lists the names that there are, [`Error::ControlValue`] what the control takes.
    pub fn set_control(&self, name: &str, value: &str) -> Result<i64, Error> {
        let controls = self.controls()?;
        let wanted = normal(name);
        let Some(control) = controls.iter().find(|control| control.name == wanted) else {
            let offered = controls.into_iter().map(|control| control.name).collect();
            return Err(Error::NoControl { device: self.path().into(), name: name.to_owned(), offered });
        };
        let refused = |reason| Error::ControlValue {
            device: self.path().into(),
            name: control.name.clone(),
            value: value.to_owned(),
            reason,
        };
        if control.read_only {
            return Err(refused("it can only be read".to_owned()));
        }
        let number = control.parse(value).map_err(refused)?;
        let bits = number.cast_unsigned();
        let mut asked = sys::ExtControl { id: control.id, ..sys::ExtControl::zeroed() };
        asked.value = [bits as u32, (bits >> 32) as u32];
        match sys::control(self.as_fd(), &mut asked, true) {
            Ok(()) => Ok(number),
            Err(Errno::EBUSY) => {
                Err(refused("not while the camera streams, or another program has it".to_owned()))
            }
            Err(Errno::ERANGE | Errno::EINVAL) => Err(refused("the driver does not take it now".to_owned())),
            Err(errno) => Err(self.error("set a control of")(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::two_words("White Balance, Automatic", "white_balance_automatic")]
    #[case::capitals_and_underscores("Inject V4L2_BUF_FLAG_ERROR", "inject_v4l2_buf_flag_error")]
    #[case::brackets("Gain (dB)", "gain_db")]
    #[case::as_it_is("brightness", "brightness")]
    fn a_name_is_written_as_v4l2_ctl_does(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(normal(name), expected);
    }

    fn control(kind: ControlKind) -> Control {
        Control {
            name: "x".into(),
            kind,
            default: 0,
            value: None,
            read_only: false,
            inactive: false,
            grabbed: false,
            id: 1,
        }
    }

    const NUMBERS: ControlKind = ControlKind::Integer { least: -10, most: 100, step: 5 };

    fn menu() -> ControlKind {
        ControlKind::Menu(vec![(0, "Disabled".into()), (1, "50 Hz".into()), (3, "Auto".into())])
    }

    #[rstest]
    #[case::a_number(NUMBERS, "95", Some(95))]
    #[case::below_zero(NUMBERS, "-5", Some(-5))]
    #[case::off_the_steps(NUMBERS, "96", None)]
    #[case::too_much(NUMBERS, "105", None)]
    #[case::no_number(NUMBERS, "much", None)]
    #[case::all_numbers(ControlKind::Integer { least: i64::MIN, most: i64::MAX, step: 1 }, "-1", Some(-1))]
    #[case::a_step_of_zero(ControlKind::Integer { least: 0, most: 9, step: 0 }, "7", Some(7))]
    #[case::on(ControlKind::Boolean, "on", Some(1))]
    #[case::zero(ControlKind::Boolean, "0", Some(0))]
    #[case::two(ControlKind::Boolean, "2", None)]
    #[case::by_name(menu(), "50 hz", Some(1))]
    #[case::by_number(menu(), "3", Some(3))]
    #[case::a_hole(menu(), "2", None)]
    #[case::hexadecimal(ControlKind::Bitmask(0xf0), "0x30", Some(0x30))]
    #[case::a_bit_outside(ControlKind::Bitmask(0xf0), "1", None)]
    #[case::a_button(ControlKind::Button, "", Some(1))]
    fn a_value_is_read_as_people_write_it(
        #[case] kind: ControlKind,
        #[case] text: &str,
        #[case] expected: Option<i64>,
    ) {
        assert_eq!(control(kind).parse(text).ok(), expected);
    }

    #[test]
    fn what_a_control_takes_is_said() {
        assert_eq!(control(NUMBERS).parse("1").unwrap_err(), "it takes -10 to 100 in steps of 5");
        assert_eq!(control(menu()).parse("x").unwrap_err(), "it takes 0 (Disabled), 1 (50 Hz), 3 (Auto)");
    }
}

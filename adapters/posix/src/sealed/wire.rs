//! The two messages between a consumer and the broker: fixed size, little-endian, one packet each.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use camlane_core::layout::{LAYOUT, MAGIC};

/// What a peer wants to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Takes a seat and pins frames.
    Pin,
    /// Reads and copies.
    Observe,
}

/// The first and only packet from a consumer.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Hello {
    magic: [u8; 8],
    layout: u32,
    role: u32,
    notify: u32,
    _reserved: [u32; 3],
}

impl Hello {
    pub(super) fn new(role: Role, notify: bool) -> Self {
        let role = match role {
            Role::Pin => 1,
            Role::Observe => 2,
        };
        Self { magic: MAGIC, layout: LAYOUT, role, notify: notify.into(), _reserved: [0; 3] }
    }

    /// Reads a packet; `None` if it is anything else.
    pub(super) fn parse(packet: &[u8]) -> Option<(Role, bool, u32)> {
        let hello = Self::read_from_bytes(packet).ok().filter(|hello| hello.magic == MAGIC)?;
        let role = match hello.role {
            1 => Role::Pin,
            2 => Role::Observe,
            _ => return None,
        };
        Some((role, hello.notify != 0, hello.layout))
    }
}

/// The broker's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Welcome,
    Refused,
    SeatsTaken,
    Version,
    Unknown(u32),
}

impl From<u32> for Answer {
    fn from(code: u32) -> Self {
        match code {
            0 => Self::Welcome,
            1 => Self::Refused,
            2 => Self::SeatsTaken,
            3 => Self::Version,
            other => Self::Unknown(other),
        }
    }
}

impl Answer {
    const fn code(self) -> u32 {
        match self {
            Self::Welcome => 0,
            Self::Refused => 1,
            Self::SeatsTaken => 2,
            Self::Version => 3,
            Self::Unknown(code) => code,
        }
    }
}

/// The first packet from the broker; with `Answer::Welcome`, data and, for a pinning consumer, its seat come with it.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Welcome {
    magic: [u8; 8],
    answer: u32,
    pub(super) layout: u32,
    pub(super) seat: u32,
    pub(super) seats: u32,
    _reserved: [u32; 2],
}

impl Welcome {
    pub(super) const fn new(answer: Answer, seat: u32, seats: u32) -> Self {
        Self { magic: MAGIC, answer: answer.code(), layout: LAYOUT, seat, seats, _reserved: [0; 2] }
    }

    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        Self::read_from_bytes(packet).ok().filter(|welcome| welcome.magic == MAGIC)
    }

    pub(super) fn answer(&self) -> Answer {
        self.answer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::pin(Role::Pin, false)]
    #[case::observe_with_notices(Role::Observe, true)]
    fn a_hello_comes_back(#[case] role: Role, #[case] notify: bool) {
        assert_eq!(Hello::parse(Hello::new(role, notify).as_bytes()), Some((role, notify, LAYOUT)));
    }

    #[test]
    fn no_packet_makes_the_parsers_panic() {
        let mut state = 1u32;
        for len in 0..200 {
            let packet: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            assert!(Hello::parse(&packet).is_none() && Welcome::parse(&packet).is_none());
        }
    }
}

//! Packed words: what one 32-bit store says about a slot or a pin.
//!
//! A word has room for the low 30 bits of a frame's number. They wrap; so only equality and forward differences of
//! short numbers exist here, no "greater than". FORMAT.md section 5 tells what the wrap costs and what it does not.

/// Bits of a number that fit beside the state.
#[cfg(not(loom))]
const fn number_bits() -> u32 {
    30
}
#[cfg(loom)]
use crate::model::number_bits;

/// The low bits of a frame's number, as words carry them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Short(u32);

impl Short {
    #[cfg_attr(loom, allow(clippy::missing_const_for_fn))]
    fn mask() -> u32 {
        u32::MAX >> (32 - number_bits())
    }

    pub(crate) fn of(number: u64) -> Self {
        Self(number as u32 & Self::mask())
    }

    /// Steps forward from `earlier` to `self`.
    pub(crate) fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0) & Self::mask()
    }

    pub(crate) fn minus(self, steps: u32) -> Self {
        Self(self.0.wrapping_sub(steps) & Self::mask())
    }

    /// The ring entry of this number. `ring_len` is a power of two that divides the range of numbers.
    pub(crate) fn ring_index(self, ring_len: u32) -> usize {
        (self.0 & ring_len.wrapping_sub(1)) as usize
    }
}

/// What a slot's word says: its state and, while it holds a frame, which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SlotWord(u32);

/// The two low bits of a slot word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SlotState {
    Free,
    Ready,
    Retired,
    Writing,
}

impl SlotWord {
    pub(crate) const FREE: Self = Self(0);
    pub(crate) const WRITING: Self = Self(3);

    pub(crate) fn ready(number: Short) -> Self {
        Self(number.0 << 2 | 1)
    }

    pub(crate) fn retired(number: Short) -> Self {
        Self(number.0 << 2 | 2)
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn state(self) -> SlotState {
        match self.0 & 3 {
            0 => SlotState::Free,
            1 => SlotState::Ready,
            2 => SlotState::Retired,
            _ => SlotState::Writing,
        }
    }

    pub(crate) const fn number(self) -> Short {
        Short(self.0 >> 2)
    }
}

/// A pin: the word in a seat that names the slot being read. 0 is no pin.
///
/// The high half repeats the number for people who look at a dump; the protocol uses the slot alone.
pub(crate) struct PinWord;

impl PinWord {
    pub(crate) const NONE: u32 = 0;

    pub(crate) fn pack(number: Short, slot: usize) -> u32 {
        number.0 << 16 | (slot as u32 + 1) & 0xffff
    }

    /// The slot that the word pins, if it names one of `slots`.
    pub(crate) const fn slot(bits: u32, slots: u32) -> Option<usize> {
        match bits & 0xffff {
            0 => None,
            one_more if one_more <= slots => Some(one_more as usize - 1),
            _ => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::first(1)]
    #[case::largest((1 << 30) - 1)]
    #[case::wrapped(1 << 30)]
    #[case::beyond_32_bits((1 << 40) + 7)]
    fn a_ready_word_gives_back_its_state_and_the_low_bits_of_its_number(#[case] number: u64) {
        let word = SlotWord::from_bits(SlotWord::ready(Short::of(number)).bits());
        assert_eq!(word.state(), SlotState::Ready);
        assert_eq!(u64::from(word.number().0), number & ((1 << 30) - 1));
        assert_eq!(SlotWord::retired(word.number()).state(), SlotState::Retired);
    }

    #[test]
    fn number_zero_after_a_wrap_is_not_the_word_for_nothing() {
        assert_ne!(SlotWord::ready(Short::of(1 << 30)).bits(), 0);
    }

    #[test]
    fn differences_run_forward_across_the_wrap() {
        let before = Short::of((1 << 30) - 2);
        assert_eq!(Short::of((1 << 30) + 3).since(before), 5);
        assert_eq!(Short::of(3).minus(5), before);
    }

    #[test]
    fn a_pin_names_its_slot_and_nothing_beyond_the_last() {
        let pin = PinWord::pack(Short::of(0x1_2345), 65533);
        assert_eq!(PinWord::slot(pin, 65534), Some(65533));
        assert_eq!(PinWord::slot(pin, 65533), None);
        assert_eq!(PinWord::slot(PinWord::NONE, 65534), None);
    }
}

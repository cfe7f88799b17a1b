//! What a producer knows about its slots: the state of each, and the order in which they came into it.
//!
//! All of it is the producer's own. Shared memory repeats it for consumers and is never read back.

use core::cell::Cell;

use crate::sync::Word;

/// The states of a slot.
pub(crate) mod book {
    /// Given back unpublished, or never used.
    pub(crate) const FREE: u32 = 0;
    pub(crate) const CLEAN: u32 = 1;
    pub(crate) const WRITING: u32 = 2;
    pub(crate) const READY: u32 = 3;
    pub(crate) const RETIRED: u32 = 4;
    /// Retired, and seen pinned by the scan that is under way.
    pub(crate) const HELD: u32 = 5;
}

/// One slot's state, and its neighbours in the chain that it is in: eight bytes, so that the books of eight slots fill one
/// cache line.
#[derive(Debug)]
pub(crate) struct Book {
    /// Written by a loan's `Drop` too, which may run on another thread; hence a word.
    pub(crate) state: Word,
    before: Cell<u16>,
    after: Cell<u16>,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self { state: Word::new(book::FREE), before: Cell::new(NONE), after: Cell::new(NONE) }
    }
}

/// Slots in the order in which they came, chained through their books. A slot is in one chain at a time.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) first: Cell<u16>,
    pub(crate) last: Cell<u16>,
    pub(crate) len: Cell<u32>,
}

/// No slot.
const NONE: u16 = u16::MAX;

impl Chain {
    pub(crate) const fn new() -> Self {
        Self { first: Cell::new(NONE), last: Cell::new(NONE), len: Cell::new(0) }
    }

    /// Puts a slot that is in no chain at the end.
    pub(crate) fn push(&self, books: &[Book], slot: u16) {
        let Some(book) = of(books, slot) else { return };
        let last = self.last.replace(slot);
        book.before.set(last);
        book.after.set(NONE);
        match of(books, last) {
            Some(last) => last.after.set(slot),
            None => self.first.set(slot),
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes the slot that came first.
    pub(crate) fn take_first(&self, books: &[Book]) -> Option<u16> {
        self.take(books, self.first.get())
    }

    /// Takes a slot that is in this chain; of an empty one, its `first` and `last` are none.
    pub(crate) fn take(&self, books: &[Book], slot: u16) -> Option<u16> {
        let book = of(books, slot)?;
        let (before, after) = (book.before.get(), book.after.get());
        match of(books, before) {
            Some(before) => before.after.set(after),
            None => self.first.set(after),
        }
        match of(books, after) {
            Some(after) => after.before.set(before),
            None => self.last.set(before),
        }
        self.len.set(self.len.get() - 1);
        Some(slot)
    }
}

fn of(books: &[Book], slot: u16) -> Option<&Book> {
    books.get(usize::from(slot))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_books_of_eight_slots_are_a_cache_line_long() {
        assert_eq!(size_of::<[Book; 8]>(), 64);
    }

    #[test]
    fn a_chain_gives_from_both_ends_what_came_in_order() {
        let books: [Book; 5] = core::array::from_fn(|_| Book::new());
        let chain = Chain::new();
        let last = |chain: &Chain| chain.take(&books, chain.last.get());
        for round in 0..3 {
            for slot in 0..5 {
                chain.push(&books, slot);
            }
            assert_eq!((chain.len.get(), chain.take_first(&books), last(&chain)), (5, Some(0), Some(4)));
            chain.push(&books, 0);
            let rest: [_; 4] = core::array::from_fn(|_| chain.take_first(&books));
            assert_eq!(rest, [Some(1), Some(2), Some(3), Some(0)], "round {round}");
            assert_eq!((chain.len.get(), chain.take_first(&books), last(&chain)), (0, None, None));
        }
        chain.push(&books, 5); // there is no such slot
        assert_eq!((chain.len.get(), chain.take(&books, 5)), (0, None));
        (0..5).for_each(|slot| chain.push(&books, slot));
        let taken = [2, 0, 4].map(|slot| chain.take(&books, slot));
        assert_eq!(
            (taken, chain.len.get()),
            ([Some(2), Some(0), Some(4)], 2),
            "from the middle and both ends"
        );
        assert_eq!([(); 3].map(|()| chain.take_first(&books)), [Some(1), Some(3), None]);
        let other = Chain::new();
        chain.push(&books, 1);
        other.push(&books, 2);
        chain.push(&books, 3);
        assert_eq!((last(&chain), last(&other)), (Some(3), Some(2)));
        assert_eq!((last(&chain), last(&other)), (Some(1), None));
    }
}

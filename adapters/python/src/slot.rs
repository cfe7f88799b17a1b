//! A slot that numpy writes to. The unsafe code here says that its address may go to another thread.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A slot that is being filled, and its memory, which arrays may outlive the loan over.
pub(crate) struct Slot {
    loan: Mutex<Option<camlane::Loan>>,
    base: NonNull<u8>,
    _mapped: camlane::Mapped,
}

// SAFETY: the address is only handed to numpy, and the memory there stays mapped as long as this lives.
unsafe impl Send for Slot {}
// SAFETY: as above; the loan is behind a lock.
unsafe impl Sync for Slot {}

impl Slot {
    pub(crate) fn new(mut loan: camlane::Loan) -> Self {
        let mapped = loan.mapped();
        let base = NonNull::from(&mut *loan).cast();
        Self { loan: Mutex::new(Some(loan)), base, _mapped: mapped }
    }

    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Ends the loan here; arrays stay mapped.
    pub(crate) fn take(&self) -> Option<camlane::Loan> {
        self.lock().take()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Option<camlane::Loan>> {
        self.loan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

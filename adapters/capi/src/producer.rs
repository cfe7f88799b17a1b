//! A lane's one producer, and the loans that it fills.

use std::ffi::c_int;
use std::sync::Mutex;

use crate::boundary::{Given, Out, Slot, Text, empty, export, export_infallible, store_if_wanted};
use crate::error::Failure;
use crate::types::{Details, LaneOptions, Meta, c_structs};

/// A producer, which one thread may use at a time. A second one at the same moment is told -EBUSY.
#[derive(Debug)]
pub(crate) struct Producer(Mutex<posix::Producer>);

c_structs! {
    /// A slot to fill.
    struct Loan = "camlane_loan" {
        data: *mut u8 = "uint8_t *",
        len: usize = "size_t",
        user: *mut u8 = "uint8_t *",
        user_len: usize = "size_t",
        slot: u64 = "uint64_t",
        handle: Option<Box<posix::Loan>> = "void *",
    }
}

impl Loan {
    const NONE: Self = Self {
        data: std::ptr::null_mut(),
        len: 0,
        user: std::ptr::null_mut(),
        user_len: 0,
        slot: 0,
        handle: None,
    };
}

impl Producer {
    fn with<T>(
        this: Option<&Self>,
        work: impl FnOnce(&posix::Producer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let this = this.ok_or_else(|| Failure::null("producer"))?;
        work(&*crate::consumer::alone(&this.0)?)
    }
}

/// Takes a loan out of C's structure, which is empty afterwards.
fn take(loan: Option<&mut Loan>) -> Result<posix::Loan, Failure> {
    let loan = loan.ok_or_else(|| Failure::null("loan"))?;
    let handle = std::mem::replace(loan, Loan::NONE).handle;
    handle
        .map(|handle| *handle)
        .ok_or_else(|| Failure::invalid("this loan was published or returned before".to_owned()))
}

export! {
    fn camlane_producer_create(name: Text<'_>, options: Given<'_, LaneOptions<'_>>, out: Slot<'_, Producer>) {
        let out = empty(out, "producer")?;
        let producer = posix::Producer::create(name.get("name")?, &options.get("options")?.checked()?)?;
        *out = Some(Box::new(Producer(Mutex::new(producer))));
        Ok(0)
    }

    fn camlane_producer_loan(producer: Option<&Producer>, out: Out<'_, Loan>) {
        let out = out.ok_or_else(|| Failure::null("loan"))?;
        let out = out.write(Loan::NONE);
        Producer::with(producer, |producer| {
            let mut loan = Box::new(producer.loan()?);
            let (data, len) = (loan.as_mut_ptr(), loan.len());
            let (user, user_len) = (loan.user_mut().as_mut_ptr(), loan.user_mut().len());
            *out = Loan { data, len, user, user_len, slot: loan.slot().into(), handle: Some(loan) };
            Ok(0)
        })
    }

    fn camlane_producer_publish(
        producer: Option<&Producer>,
        loan: Option<&mut Loan>,
        meta: Given<'_, Meta>,
        details: Given<'_, Details>,
        number: Out<'_, u64>,
    ) {
        let loan = take(loan)?; // from here on, a failure gives the slot back
        let mut described: posix::FrameMeta = (&meta.get("meta")?).try_into()?;
        described.details = details.optional()?.map(|details| (&details).into());
        let published = Producer::with(producer, |producer| Ok(producer.publish(loan, &described)?))?;
        store_if_wanted(number, published);
        Ok(0)
    }

    fn camlane_producer_count_dropped(producer: Option<&Producer>, frames: u32) {
        Producer::with(producer, |producer| {
            producer.count_dropped(frames);
            Ok(0)
        })
    }

    fn camlane_producer_pause(producer: Option<&Producer>, reason: u32, error: c_int) {
        let reason = u16::try_from(reason).ok().filter(|reason| *reason != 0);
        let reason = reason.ok_or_else(|| Failure::invalid("reason: use CAMLANE_PAUSE_*".to_owned()))?;
        Producer::with(producer, |producer| {
            producer.pause(posix::PauseReason(reason), (error != 0).then(|| error.saturating_abs()));
            Ok(0)
        })
    }

    fn camlane_producer_resume(producer: Option<&Producer>) {
        Producer::with(producer, |producer| {
            producer.resume();
            Ok(0)
        })
    }

    fn camlane_producer_counts(producer: Option<&Producer>, published: Out<'_, u64>, dropped: Out<'_, u32>) {
        Producer::with(producer, |producer| {
            store_if_wanted(published, producer.published());
            store_if_wanted(dropped, producer.dropped());
            Ok(0 as c_int)
        })
    }
}

export_infallible! {
    fn camlane_producer_close(producer: Option<Box<Producer>>) -> () {
        drop(producer);
    }

    fn camlane_loan_return(loan: Option<&mut Loan>) -> () {
        if let Some(loan) = loan {
            *loan = Loan::NONE;
        }
    }
}

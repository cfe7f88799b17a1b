//! The one file with unsafe code: it turns what C passes into what Rust may hold.
//!
//! camlane.h asks four things of a caller: a pointer is null or valid for what its type says; a string ends with NUL; a
//! structure's `struct_size` is not larger than the structure; a handle is not used after it was closed. The types below
//! stand for arguments that keep to it. They cannot be made in Rust, so every function that takes them is safe, and a
//! null pointer becomes an error instead of a crash.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Failure, remember};
use crate::types::{ConsumerOptions, Details, Format, Lane, LaneOptions, Meta, StreamOptions};

/// Exports functions to C. The body is a `Result`; a failure becomes its negative errno and the thread's message.
macro_rules! export {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        $(#[$doc])*
        #[allow(unsafe_code, reason = "a name that the linker sees; the prefix keeps it unique")]
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $ty),*) -> ::std::ffi::c_int {
            $crate::boundary::guard(|| $body)
        }
    )*};
}

/// Exports functions that cannot fail, as `export!` does.
macro_rules! export_infallible {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $answer:ty $body:block)*) => {$(
        $(#[$doc])*
        #[allow(unsafe_code, reason = "a name that the linker sees; the prefix keeps it unique")]
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $ty),*) -> $answer {
            $crate::boundary::contain(|| $body)
        }
    )*};
}

pub(crate) use {export, export_infallible};

/// Runs an exported function's body: the one place where a panic is stopped.
pub(crate) fn guard(body: impl FnOnce() -> Result<c_int, Failure>) -> c_int {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(&*payload)));
    outcome.unwrap_or_else(remember)
}

/// As [`guard`], for what answers with a value; after a panic, with that type's nothing.
pub(crate) fn contain<T: Nothing>(body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        remember(panicked(&*payload));
        T::NOTHING
    })
}

/// What a function answers that could not do its work and has no errno to return.
pub(crate) trait Nothing {
    const NOTHING: Self;
}

impl Nothing for () {
    const NOTHING: Self = ();
}
impl Nothing for u32 {
    const NOTHING: Self = 0;
}
impl Nothing for u64 {
    const NOTHING: Self = 0;
}
impl Nothing for usize {
    const NOTHING: Self = 0;
}
impl Nothing for *const c_char {
    const NOTHING: Self = c"".as_ptr();
}

fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let text =
        payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    Failure::new(
        libc::ENOTRECOVERABLE,
        format!("a bug in camlane: {}", text.unwrap_or("a panic without words")),
    )
}

/// A string from C.
///
/// # Invariants
/// Null, or NUL-terminated and unchanged during the call. Made by C callers alone.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Text<'c>(*const c_char, PhantomData<&'c CStr>);

impl<'c> Text<'c> {
    /// The string; null is a mistake.
    pub(crate) fn get(self, what: &str) -> Result<&'c str, Failure> {
        self.optional(what)?.ok_or_else(|| Failure::null(what))
    }

    /// The string; null is none.
    pub(crate) fn optional(self, what: &str) -> Result<Option<&'c str>, Failure> {
        if self.0.is_null() {
            return Ok(None);
        }
        // SAFETY: not null, so by the invariant NUL-terminated and unchanged for 'c, which is the call.
        let text = unsafe { CStr::from_ptr(self.0) };
        text.to_str().map(Some).map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))
    }
}

/// Elements from C; their number is another argument.
///
/// # Invariants
/// Null, or valid for reads of as many elements as the argument after it says. Made by C callers alone.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Array<'c, T>(*const T, PhantomData<&'c [T]>);

impl<'c, T> Array<'c, T> {
    /// The elements. `len` is the argument that C passed with the pointer.
    pub(crate) fn get(self, len: usize, what: &str) -> Result<&'c [T], Failure> {
        if len == 0 {
            return Ok(&[]);
        }
        check(self.0, len, what)?;
        // SAFETY: not null, aligned and of a possible size by `check`; valid for `len` reads by the invariant.
        Ok(unsafe { std::slice::from_raw_parts(self.0, len) })
    }
}

/// Places for values that C has not initialised; their number is another argument.
///
/// # Invariants
/// Null, or valid for writes of as many elements as the argument after it says, by this call alone. Made by C callers alone.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Places<'c, T>(*mut T, PhantomData<&'c mut [T]>);

impl<'c, T> Places<'c, T> {
    /// The places, with a value in each. `len` is the argument that C passed with the pointer.
    pub(crate) fn fill(self, len: usize, what: &str, value: impl Fn() -> T) -> Result<&'c mut [T], Failure> {
        if len == 0 {
            return Ok(&mut []);
        }
        check(self.0, len, what)?;
        for at in 0..len {
            // SAFETY: `at` is less than `len`, for which the pointer is valid by the invariant.
            let place = unsafe { self.0.add(at) };
            // SAFETY: not null and aligned by `check`; valid for this write. What was there, C's, is not dropped.
            unsafe { place.write(value()) };
        }
        // SAFETY: not null, aligned and of a possible size by `check`, initialised just now; nobody else uses it meanwhile.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0, len) })
    }
}

/// Room for bytes, from C; its size is another argument.
///
/// # Invariants
/// Null, or valid for writes of as many bytes as the argument after it says, by this call alone. Made by C callers alone.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Room<'c>(*mut u8, PhantomData<&'c mut [u8]>);

impl<'c> Room<'c> {
    /// The room, with zeros in it: C may never have written there, and nobody may hold a `&mut [u8]` to such bytes. `len`
    /// is the argument that C passed with the pointer.
    pub(crate) fn get(self, len: usize, what: &str) -> Result<&'c mut [u8], Failure> {
        if len == 0 {
            return Ok(&mut []);
        }
        check(self.0, len, what)?;
        // SAFETY: not null by `check`; valid for `len` writes by the invariant.
        unsafe { std::ptr::write_bytes(self.0, 0, len) };
        // SAFETY: not null and of a possible size by `check`, initialised just now; nobody else uses it during the call.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0, len) })
    }
}

fn check<T>(pointer: *const T, len: usize, what: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::null(what));
    }
    if !pointer.is_aligned()
        || len.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err())
    {
        return Err(Failure::invalid(format!("{what}: {len} elements at {pointer:p} cannot be")));
    }
    Ok(())
}

/// A structure that can grow: its first field says how large the caller's is.
///
/// # Safety
/// 1. `repr(C)`, and the first field is a `u32`.
/// 2. Any bytes are a valid value, zeros mean "the default", and every byte belongs to a field (no padding).
pub(crate) unsafe trait Versioned: Copy {
    /// The C type.
    const NAME: &'static str;
    /// Its size when it first had a version; a smaller one is a mistake.
    const FIRST: usize;
}

macro_rules! versioned {
    ($($name:ty, $c:literal, $first:literal;)*) => {$(
        // SAFETY: 1. `c_structs` makes them repr(C), `struct_size` is declared first; 2. they consist of integers, arrays of
        // them and raw pointers, and the test `no_structure_has_padding` adds up their sizes.
        unsafe impl Versioned for $name {
            const NAME: &'static str = $c;
            const FIRST: usize = $first;
        }
    )*};
}

// The sizes that each structure had when it got its version: these numbers never change.
versioned! {
    Meta, "camlane_meta", 128;
    Details, "camlane_details", 128;
    LaneOptions<'_>, "camlane_lane_options", 152;
    ConsumerOptions, "camlane_consumer_options", 24;
    StreamOptions, "camlane_stream_options", 16;
    Lane, "camlane_lane_info", 744;
    Format, "camlane_format_info", 152;
}

/// A structure of options from C, perhaps that of an older or a newer header.
///
/// # Invariants
/// Null, or aligned for T and valid for reads of as many bytes as its first field says. Made by C callers alone.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Given<'c, T>(*const T, PhantomData<&'c T>);

impl<T: Versioned> Given<'_, T> {
    /// A copy; what an older caller does not know is zero. Null is none.
    pub(crate) fn optional(self) -> Result<Option<T>, Failure> {
        if self.0.is_null() {
            return Ok(None);
        }
        // SAFETY: not null, so valid for the size field at the least, which comes first (`Versioned` 1).
        let size = unsafe { self.0.cast::<u32>().read() } as usize;
        check_size::<T>(size)?;
        // SAFETY: all zeros are a value (`Versioned` 2).
        let mut copy = unsafe { MaybeUninit::<T>::zeroed().assume_init() };
        let (into, len) = ((&raw mut copy).cast::<u8>(), size.min(size_of::<T>()));
        // SAFETY: `len` bytes are readable by the invariant and writable in `copy`, which is apart; any bytes are a value.
        unsafe { std::ptr::copy_nonoverlapping(self.0.cast::<u8>(), into, len) };
        let beyond = size.saturating_sub(size_of::<T>());
        // SAFETY: the caller's structure has `size` bytes by the invariant, so the pointer stays inside it or at its end.
        let rest = unsafe { self.0.cast::<u8>().add(size - beyond) };
        // SAFETY: `beyond` bytes from there on, as above. As the kernel does (copy_struct_from_user): zeros ask for
        // nothing that this version does not do.
        if unsafe { std::slice::from_raw_parts(rest, beyond) }.iter().any(|&byte| byte != 0) {
            let text =
                format!("{} asks for something that this libcamlane does not know: use a newer one", T::NAME);
            return Err(Failure::new(libc::E2BIG, text));
        }
        Ok(Some(copy))
    }

    /// A copy; null is a mistake.
    pub(crate) fn get(self, what: &str) -> Result<T, Failure> {
        self.optional()?.ok_or_else(|| Failure::null(what))
    }
}

/// A place for a structure whose size C states in its first field.
///
/// # Invariants
/// Null, or aligned for T and valid for reads and writes of as many bytes as its first field says, by this call alone.
/// Made by C callers alone.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Place<'c, T>(*mut T, PhantomData<&'c mut T>);

impl<T: Versioned> Place<'_, T> {
    /// Writes as much of `value` as the caller knows; its size field keeps what the caller wrote there.
    pub(crate) fn put(self, value: &T, what: &str) -> Result<(), Failure> {
        if self.0.is_null() {
            return Err(Failure::null(what));
        }
        // SAFETY: as in `Given::optional`.
        let size = unsafe { self.0.cast::<u32>().read() } as usize;
        check_size::<T>(size)?;
        let (from, into) = ((&raw const *value).cast::<u8>(), self.0.cast::<u8>());
        let (skip, len) = (size_of::<u32>(), size.min(size_of::<T>()) - size_of::<u32>());
        // SAFETY: `value` has more bytes than its first field.
        let from = unsafe { from.add(skip) };
        // SAFETY: so has the caller's structure: FIRST at least, by `check_size` and the invariant.
        let into = unsafe { into.add(skip) };
        // SAFETY: `len` bytes follow on both sides, by `min` and the invariant; `value` is Rust's and lies apart; no padding is read.
        unsafe { std::ptr::copy_nonoverlapping(from, into, len) };
        Ok(())
    }
}

fn check_size<T: Versioned>(size: usize) -> Result<(), Failure> {
    // A page is more than any structure will ever need: beyond it, the field was never set.
    if (T::FIRST..=4096).contains(&size) {
        return Ok(());
    }
    let name = T::NAME;
    Err(Failure::invalid(format!(
        "struct_size of {name} is {size}: set it to sizeof({name}), at least {}",
        T::FIRST
    )))
}

/// A place for a value that C has not initialised.
pub(crate) type Out<'c, T> = Option<&'c mut MaybeUninit<T>>;

/// A place for a handle: C's pointer, which is null from the beginning of the call until it succeeds.
pub(crate) type Slot<'c, T> = Out<'c, Option<Box<T>>>;

/// Empties a handle's place; a null place is a mistake.
pub(crate) fn empty<'c, T>(slot: Slot<'c, T>, what: &str) -> Result<&'c mut Option<Box<T>>, Failure> {
    Ok(slot.ok_or_else(|| Failure::null(what))?.write(None))
}

/// Stores a value in its place; a null place is a mistake.
pub(crate) fn store<T>(out: Out<'_, T>, value: T, what: &str) -> Result<c_int, Failure> {
    out.ok_or_else(|| Failure::null(what))?.write(value);
    Ok(0)
}

/// Stores a value if C wants it.
pub(crate) fn store_if_wanted<T>(out: Out<'_, T>, value: T) {
    if let Some(out) = out {
        out.write(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(guard(|| panic!("on purpose")), -libc::ENOTRECOVERABLE);
        assert!(crate::error::last_message().contains("on purpose"));
        assert_eq!(contain::<u64>(|| panic!("on purpose")), 0);
    }

    fn given<T>(value: &T) -> Given<'_, T> {
        Given(value, PhantomData)
    }

    #[test]
    fn options_of_an_older_header_are_filled_with_zeros_and_those_of_a_newer_must_be() {
        #[repr(C)]
        struct Newer(ConsumerOptions, u64);
        let mut newer = Newer(ConsumerOptions { read: 1, ..Default::default() }, 0);
        newer.0.struct_size = size_of::<Newer>() as u32;
        let pointer = Given::<ConsumerOptions>((&raw const newer).cast(), PhantomData);
        assert_eq!(pointer.get("options").unwrap().read, 1);
        newer.1 = 1;
        let pointer = Given::<ConsumerOptions>((&raw const newer).cast(), PhantomData);
        assert_eq!(pointer.get("options").unwrap_err().errno, libc::E2BIG);

        let unset = ConsumerOptions { struct_size: 0, ..Default::default() };
        assert_eq!(given(&unset).get("options").unwrap_err().errno, libc::EINVAL);
        let null = Given::<ConsumerOptions>(std::ptr::null(), PhantomData);
        assert!(null.optional().unwrap().is_none());
    }

    #[test]
    fn a_place_takes_no_more_than_its_caller_knows() {
        let value = ConsumerOptions { read: 7, patience_ms: 9, ..Default::default() };
        let mut place = [u32::MAX; size_of::<ConsumerOptions>() / 4 + 1];
        place[0] = size_of::<ConsumerOptions>() as u32;
        Place::<ConsumerOptions>(place.as_mut_ptr().cast(), PhantomData).put(&value, "out").unwrap();
        assert_eq!((place[0], place[1]), (size_of::<ConsumerOptions>() as u32, 7));
        assert_eq!(place.last(), Some(&u32::MAX));
    }
}

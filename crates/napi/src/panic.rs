//! A panic on purpose: a test sees that it becomes an exception and not the end of the process.

#![expect(clippy::panic, reason = "the one place that is meant to")]

use napi::bindgen_prelude::*;

/// Panics inside the addon.
#[napi_derive::napi(catch_unwind)]
pub fn panic_for_test() -> Result<()> {
    panic!("panic_for_test was called")
}

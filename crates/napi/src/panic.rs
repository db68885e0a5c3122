//! Panics on purpose: tests see that one becomes an exception, or ends one connection, and never the process.

#![expect(clippy::panic, reason = "the one place that is meant to")]

use daffi_core::panics;
use napi::bindgen_prelude::*;

/// Panics inside the addon.
#[napi_derive::napi(catch_unwind)]
pub fn panic_for_test() -> Result<()> {
    panic!("panic_for_test was called")
}

/// Has the next task that comes by a place panic, once: an index of the names that are given back.
#[napi_derive::napi(catch_unwind)]
pub fn panic_in_task_for_test(place: u32) -> Vec<String> {
    if let Some(place) = panics::PLACES.get(place as usize) {
        panics::arm(*place);
    }
    panics::PLACES.iter().map(|place| format!("{place:?}")).collect()
}

//! Binds the core to Node-API: conversions, handles, wake-ups. No decision, no default, no retry.

#![cfg_attr(test, allow(dead_code, reason = "the macros export nothing to a test binary"))]

mod certificates;
mod controller;
mod doorbell;
mod dto;
mod node;
mod panic;
mod tls;
mod uv;

/// Keeps the library in memory for the life of the process: the core thread runs its code, and an
/// addon is unloaded when the last worker thread that loaded it ends.
#[napi_derive::module_init]
fn pin() {
    // SAFETY: `dladdr` is given an address inside this library, and `dlopen` its own path.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr((pin as fn()) as *const libc::c_void, &raw mut info) != 0 && !info.dli_fname.is_null() {
            libc::dlopen(info.dli_fname, libc::RTLD_NOW | libc::RTLD_NODELETE);
        }
    }
}

//! The few functions of libuv that a readable socket needs, found at run time: they are outside
//! Node-API's promise, and a host without them gets the guard as reader.

use napi::sys;
use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

pub type PollCallback = unsafe extern "C" fn(handle: *mut c_void, status: c_int, events: c_int);
pub type CloseCallback = unsafe extern "C" fn(handle: *mut c_void);

/// The functions, by their names in libuv.
#[derive(Clone, Copy)]
pub struct Uv {
    pub poll_init: Init,
    pub poll_start: Start,
    pub poll_stop: Stop,
    pub close: Close,
    pub unref: Unref,
    pub handle_size: HandleSize,
    pub update_time: UpdateTime,
}

/// `UV_READABLE`, the event a link waits for.
pub const READABLE: c_int = 1;

/// `UV_POLL` of `uv_handle_type`, unchanged since libuv 1.0.
pub const POLL: c_int = 8;

type Init = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> c_int;
type Start = unsafe extern "C" fn(*mut c_void, c_int, PollCallback) -> c_int;
type Stop = unsafe extern "C" fn(*mut c_void) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void, CloseCallback);
type Unref = unsafe extern "C" fn(*mut c_void);
type UpdateTime = unsafe extern "C" fn(*mut c_void);
type HandleSize = unsafe extern "C" fn(c_int) -> usize;

/// The functions of the host's libuv; `None` where it exports none.
pub fn uv() -> Option<Uv> {
    static UV: OnceLock<Option<Uv>> = OnceLock::new();
    *UV.get_or_init(|| {
        // SAFETY: each name is that of a libuv function of exactly this signature.
        unsafe {
            Some(Uv {
                poll_init: std::mem::transmute::<*mut c_void, Init>(symbol(c"uv_poll_init")?),
                poll_start: std::mem::transmute::<*mut c_void, Start>(symbol(c"uv_poll_start")?),
                poll_stop: std::mem::transmute::<*mut c_void, Stop>(symbol(c"uv_poll_stop")?),
                close: std::mem::transmute::<*mut c_void, Close>(symbol(c"uv_close")?),
                unref: std::mem::transmute::<*mut c_void, Unref>(symbol(c"uv_unref")?),
                handle_size: std::mem::transmute::<*mut c_void, HandleSize>(symbol(c"uv_handle_size")?),
                update_time: std::mem::transmute::<*mut c_void, UpdateTime>(symbol(c"uv_update_time")?),
            })
        }
    })
}

/// The event loop of this environment; `None` where it has no libuv loop.
pub fn event_loop(env: sys::napi_env) -> Option<*mut c_void> {
    let mut event_loop = std::ptr::null_mut();
    // SAFETY: `env` is the environment of the calling thread.
    let status = unsafe { sys::napi_get_uv_event_loop(env, &raw mut event_loop) };
    (status == sys::Status::napi_ok && !event_loop.is_null()).then_some(event_loop.cast())
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: looks a name up among what the process has loaded.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
